package spool

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// spanKind says what a scan met.
type spanKind uint8

const (
	spanRecord  spanKind = iota // a data record; its payload is not checked
	spanEnd                     // the end record
	spanForeign                 // a record of another version or type
	spanHole                    // bytes that are no record, or records that are not there
	spanTorn                    // a sound header whose payload the file does not hold
)

// span is one stretch of a segment.
type span struct {
	kind        spanKind
	off, length int64
	header      header // of all but a hole
	// points are those that a hole or a torn record held. Where counted is
	// false, nothing says how many that were.
	points  uint64
	counted bool
}

// scan reads the headers in the first size bytes of a segment and shows what
// it meets, in order and without an overlap. Damage is stepped over: the
// running count in the next sound header says how much is gone. Payloads are
// not read, nor what lies behind maxFileBytes, which is a hole: the file's size
// may be anything. An error is the disk's.
func scan(f file, size int64, salt uint32, show func(span)) error {
	c := scanner{size: size, show: show, counted: true, hole: -1}
	w := window{f: f}
	limit := min(size, maxFileBytes)
	for c.off < limit {
		h, err := w.header(c.off, salt)
		h.foreign = h.foreign || h.kind == typeNote // at home in dead letters alone
		switch {
		case err != nil && !errors.Is(err, errDamaged):
			return err
		case err != nil || !h.foreign && !c.follows(&h) || !h.fits(c.off):
			if c.hole < 0 {
				c.hole = c.off
			}
			if c.off, err = w.search(c.off+1, limit, salt); err != nil {
				return err
			}
		default:
			c.accept(&h)
		}
	}
	if c.hole < 0 && c.off < size {
		c.hole = c.off
	}
	if c.hole >= 0 {
		show(span{kind: spanHole, off: c.hole, length: size - c.hole})
	}
	return nil
}

// scanner is how far a scan got.
type scanner struct {
	size int64
	show func(span)

	off     int64
	items   uint64 // what the next header should count
	counted bool   // items is known
	hole    int64  // where the damage before off begins, or -1
}

// follows says whether the record at off can have this count of items before
// it: no less than was found, and no more than fits there.
func (c *scanner) follows(h *header) bool {
	return h.before >= c.items && h.before <= uint64(c.off/headerBytes)*math.MaxUint32
}

// accept goes past the sound header at off, and closes the hole before it.
func (c *scanner) accept(h *header) {
	hole := span{kind: spanHole, off: c.off, counted: c.counted && !h.foreign}
	if c.hole >= 0 {
		hole.off, hole.length = c.hole, c.off-c.hole
		c.hole = -1
	}
	if hole.counted {
		hole.points = h.before - c.items
	}
	if hole.length > 0 || hole.points > 0 {
		c.show(hole)
	}
	sp := span{kind: h.spanKind(), off: c.off, length: min(h.length, c.size-c.off), header: *h}
	if c.counted = !h.foreign; c.counted {
		c.items = h.before + uint64(h.items)
		if sp.length < h.length {
			// Torn by a crash: the header says what the payload held.
			sp.kind, sp.points, sp.counted = spanTorn, uint64(h.items), true
		}
	}
	c.show(sp)
	c.off += h.length
}

// fits says whether a record at off is no longer than there can be. What another
// version may write is bounded by the format alone.
func (h *header) fits(off int64) bool {
	end := off + h.length
	return end <= maxFileBytes || h.foreign && end <= math.MaxUint32
}

func (h *header) spanKind() spanKind {
	switch {
	case h.foreign:
		return spanForeign
	case h.kind == typeEnd:
		return spanEnd
	}
	return spanRecord
}

// load builds the index of a segment from its headers; whoever reads a record
// checks its payload.
func (seg *segment) load(f file) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	size = min(size, maxFileBytes)
	seg.size, seg.synced, seg.sealed = size, size, true
	if err := scan(f, size, seg.salt, seg.take); err != nil {
		return err
	}
	seg.covered = len(seg.entries)
	return nil
}

// take adds what a scan met to the index.
func (seg *segment) take(sp span) {
	switch sp.kind {
	case spanRecord:
		seg.reserve()
		seg.add(&sp.header, sp.off)
		seg.ofTicks = seg.ofTicks || sp.header.kind == typeTick
		seg.ended = false
	case spanEnd:
		seg.ended = true
	case spanForeign:
		seg.foreign++
	case spanHole, spanTorn:
		if sp.kind == spanTorn && sp.header.kind == typeData {
			seg.torn, seg.tornAt = sp.header, sp.off
		}
		// Points of records that cannot be found.
		seg.tally.appended += int64(sp.points)
		seg.tally.corrupt += int64(sp.points)
	}
}

// reserve makes room for one more entry in the index of a file of seg.size.
// Doubling from a 64th of what fits to all that fits leaves less behind than
// append would.
func (seg *segment) reserve() {
	if n := len(seg.entries); n == cap(seg.entries) {
		fits := int(min(seg.size, maxFileBytes)/headerBytes) + 1
		seg.entries = append(make([]entry, 0, max(2*n, fits/64+1)), seg.entries...)
	}
}

// mark applies a sidecar to the index, as far as it can be read.
func (seg *segment) mark(sidecar file) {
	end, err := readSidecar(sidecar, seg.salt, seg.apply, nil)
	if err != nil {
		end, _ = sidecar.Size() // what comes next goes behind all of it
	}
	seg.acksSize = end
}

// apply takes over what an entry of the sidecar says.
func (seg *segment) apply(m mark) {
	i, ok := slices.BinarySearchFunc(seg.entries, m.off, func(e entry, off uint32) int { return cmp.Compare(e.off, off) })
	switch {
	case !ok || seg.entries[i].fate != pending:
	case m.fate == pending:
		seg.setNote(i, m.note)
	case m.fate == delivered:
		seg.acknowledge(i, int64(m.dead))
	default:
		seg.settle(i, m.fate)
	}
}
