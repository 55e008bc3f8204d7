package spool

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"
)

// This is a second reader, written from docs/spool-format.md as plainly as
// that can be, for the fuzzers to compare the first with.

// refHeader is what the first bytes of b say, if they are a sound header.
type refHeader struct {
	version, kind byte
	n, payload    int64 // bytes
	epoch, seq    uint64
	part          uint16
	items         int64
	before        uint64
	timeMS        int64
	payloadCRC    uint32
}

func (h *refHeader) known() bool {
	return h.version == 1 && h.n == 64 && (h.kind == 1 || h.kind == 2)
}

func readRefHeader(b []byte, salt uint32) (h refHeader, sound bool) {
	le := binary.LittleEndian
	if len(b) < 64 || string(b[:4]) != "HKSR" || le.Uint32(b[12:]) != salt {
		return h, false
	}
	h.n = int64(le.Uint16(b[6:]))
	if h.n < 64 || h.n > 1024 || h.n > int64(len(b)) || le.Uint32(b[h.n-4:]) != refCRC(b[:h.n-4]) {
		return h, false
	}
	h.version, h.kind, h.payload = b[4], b[5], int64(le.Uint32(b[8:]))
	h.epoch, h.seq, h.items = le.Uint64(b[16:]), le.Uint64(b[24:]), int64(le.Uint32(b[32:]))
	h.part = le.Uint16(b[36:])
	h.before, h.timeMS, h.payloadCRC = le.Uint64(b[40:]), int64(le.Uint64(b[48:])), le.Uint32(b[56:])
	return h, true
}

func refCRC(b ...[]byte) (sum uint32) {
	for _, b := range b {
		sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), b)
	}
	return sum
}

// refRecord is a record and what became of it.
type refRecord struct {
	refHeader
	body    []byte
	fate    byte           // of the whole; 0 while it waits
	settled map[byte]int64 // items, by the fate of a whole
	spans   []refSpan      // of items that are settled, no two the same
	marks   []Mark
}

// refSpan is some neighbouring items.
type refSpan struct{ from, to int64 }

// refEntry is an entry of a sidecar.
type refEntry struct {
	fate byte
	part uint16
}

// apply takes the next entry about a record.
func (r *refRecord) apply(e refEntry) {
	if e.fate <= 6 {
		e.part = 1
	}
	span := refPart(e.part, r.items)
	free := span.to - span.from
	for _, s := range r.spans {
		free -= max(0, min(s.to, span.to)-max(s.from, span.from))
	}
	switch {
	case r.fate != 0:
	case e.fate <= 6:
		r.fate = e.fate
		r.settled[e.fate] += free
	case free == 0:
	case e.fate == 9:
		if m := (Mark{e.part, PartCut}); !slices.Contains(r.marks, m) {
			r.marks = append(r.marks, m)
		}
	default:
		// Two parts lie one within the other or apart.
		r.spans = slices.DeleteFunc(r.spans, func(s refSpan) bool { return span.from <= s.from && s.to <= span.to })
		r.spans = append(r.spans, span)
		whole, is := byte(1), PartDelivered
		if e.fate == 8 {
			whole, is = 6, PartDead
		}
		r.settled[whole] += free
		r.marks = append(r.marks, Mark{e.part, is})
		if r.left() == 0 {
			r.fate = 1
		}
	}
}

// left is how many items are not settled.
func (r *refRecord) left() int64 {
	n := r.items
	for _, settled := range r.settled {
		n -= settled
	}
	return n
}

// refPart says which of n items a part has, if they are numbered.
func refPart(part uint16, n int64) refSpan {
	if part <= 1 {
		return refSpan{0, n}
	}
	around := refPart(part/2, n)
	middle := around.from + (around.to-around.from+1)/2
	if part%2 == 0 {
		return refSpan{around.from, middle}
	}
	return refSpan{middle, around.to}
}

// refSegment is what a segment and its sidecar hold.
type refSegment struct {
	records []refRecord
	lost    int64 // items
	foreign int64
}

func readRefSegment(b, sidecar []byte, salt uint32) (seg refSegment) {
	entries := readRefSidecar(sidecar, salt)
	var next uint64 // what the running count should be, unless jumped
	jumped := false
	for off := int64(0); off < int64(len(b)); {
		h, sound := readRefHeader(b[off:], salt)
		end := off + h.n + h.payload
		switch {
		case !sound || end > math.MaxUint32,
			h.known() && (h.before < next || h.before > uint64(off/64*math.MaxUint32)):
			off++
			continue
		case !h.known():
			seg.foreign++
			jumped = true
			off = end
			continue
		case !jumped:
			seg.lost += int64(h.before - next)
		}
		jumped = false
		next = h.before + uint64(h.items)
		switch {
		case end > int64(len(b)):
			seg.lost += h.items
		case h.kind == 1:
			r := refRecord{refHeader: h, body: b[off+64 : end], settled: map[byte]int64{}}
			for _, e := range entries[off] {
				r.apply(e)
			}
			seg.records = append(seg.records, r)
		}
		off = end
	}
	return seg
}

// readRefSidecar returns the entries about each offset, in order.
func readRefSidecar(b []byte, salt uint32) map[int64][]refEntry {
	le := binary.LittleEndian
	entries := map[int64][]refEntry{}
	for ; len(b) >= 12; b = b[12:] {
		f, part := b[4], le.Uint16(b[6:])
		known := f >= 1 && f <= 3 || f == 6 || f >= 7 && f <= 9 && part > 0
		if known && b[5] == 1 && le.Uint32(b[8:]) == refCRC(le.AppendUint32(nil, salt), b[:8]) {
			off := int64(le.Uint32(b))
			entries[off] = append(entries[off], refEntry{f, part})
		}
	}
	return entries
}

// stats is what Stats should say when the segment was opened.
func (seg *refSegment) stats() (st Stats) {
	st.Appended, st.Corrupt, st.Foreign = seg.lost, seg.lost, seg.foreign
	for _, r := range seg.records {
		st.Appended += r.items
		st.Delivered += r.settled[1]
		st.Expired += r.settled[2]
		st.Corrupt += r.settled[3]
		st.Dead += r.settled[6]
		if r.fate == 0 {
			st.Records++
			st.Points += r.left()
			st.Bytes += r.payload
		}
	}
	return st
}

// deliverable returns the records that are to be read, in order, how many of
// their items wait, and how many turn out to be damaged.
func (seg *refSegment) deliverable() (records []Record, waiting, damaged int64) {
	for _, r := range seg.records {
		switch {
		case r.fate != 0:
		case refCRC(r.body) != r.payloadCRC:
			damaged += r.left()
		default:
			waiting += r.left()
			id := ID{r.epoch, r.seq, r.part}
			records = append(records, Record{id, r.items, r.timeMS, r.body, r.marks})
		}
	}
	return records, waiting, damaged
}
