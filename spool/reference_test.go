package spool

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// This is a second reader, written from docs/spool-format.md as plainly as
// that can be, for the fuzzers to compare the first with.

// refHeader is what the first bytes of b say, if they are a sound header.
type refHeader struct {
	version, kind byte
	n, payload    int64 // bytes
	epoch, seq    uint64
	items         int64
	before        uint64
	timeMS        int64
	payloadCRC    uint32
}

func (h *refHeader) known() bool {
	return h.version == 2 && h.n == 64 && (h.kind == 1 || h.kind == 2)
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
	body []byte
	fate byte  // 0 while it waits
	dead int64 // items, if it is delivered
	note []byte
}

// apply takes the next entry about a record.
func (r *refRecord) apply(fate byte, data []byte) {
	switch {
	case r.fate != 0:
	case fate == 0:
		r.note = data
	case fate == 1 && len(data) == 4:
		r.fate, r.dead = 1, min(int64(binary.LittleEndian.Uint32(data)), r.items)
	case fate >= 1 && fate <= 3 && len(data) == 0:
		r.fate = fate
	}
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
		case !sound || end > math.MaxUint32, h.known() && end > 128<<20,
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
			r := refRecord{refHeader: h, body: b[off+64 : end]}
			for _, e := range entries[off] {
				r.apply(e.fate, e.data)
			}
			seg.records = append(seg.records, r)
		}
		off = end
	}
	return seg
}

// refEntry is an entry of a sidecar.
type refEntry struct {
	fate byte
	data []byte
}

// readRefSidecar returns the entries about each offset, in order.
func readRefSidecar(b []byte, salt uint32) map[int64][]refEntry {
	le := binary.LittleEndian
	entries := map[int64][]refEntry{}
	for len(b) >= 12 {
		n := 12 + int(le.Uint16(b[6:]))
		if b[5] != 2 || n > len(b) || le.Uint32(b[n-4:]) != refCRC(le.AppendUint32(nil, salt), b[:n-4]) {
			b = b[1:]
			continue
		}
		off := int64(le.Uint32(b))
		entries[off] = append(entries[off], refEntry{b[4], b[8 : n-4]})
		b = b[n:]
	}
	return entries
}

// stats is what Stats should say when the segment was opened.
func (seg *refSegment) stats() (st Stats) {
	st.Appended, st.Corrupt, st.Foreign = seg.lost, seg.lost, seg.foreign
	for _, r := range seg.records {
		st.Appended += r.items
		switch r.fate {
		case 0:
			st.Records++
			st.Points += r.items
			st.Bytes += r.payload
		case 1:
			st.Delivered += r.items - r.dead
			st.Dead += r.dead
		case 2:
			st.Expired += r.items
		case 3:
			st.Corrupt += r.items
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
			damaged += r.items
		default:
			waiting += r.items
			records = append(records, Record{ID{r.epoch, r.seq}, r.items, r.timeMS, r.body, r.note})
		}
	}
	return records, waiting, damaged
}
