package spool

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// load builds the index of a segment from its headers. Damage is stepped over:
// the running count in the next sound header says how much is gone. Payloads
// are not read; whoever reads a record checks its payload.
func (seg *segment) load(f file) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	seg.size, seg.synced, seg.sealed = size, size, true
	w := window{f: f}
	known := true // seg.items is what the next header should count
	for off := int64(0); off < size; {
		h, err := w.header(off, seg.salt)
		switch {
		case err != nil && !errors.Is(err, errDamaged):
			return err
		case err != nil || !h.foreign && !seg.follows(&h, off) || off+h.length > math.MaxUint32:
			if off, err = w.search(off+1, size, seg.salt); err != nil {
				return err
			}
			continue
		case h.foreign || h.kind == typeNote:
			seg.foreign++
			known = false
			off += h.length
			continue
		}
		if known {
			seg.lost(h.before - seg.items)
		}
		known = true
		seg.items = h.before + uint64(h.items)
		if off+h.length > size {
			// Torn by a crash: the header says what the payload held.
			seg.lost(uint64(h.items))
			break
		}
		if h.kind == typeData {
			seg.reserve(size)
			seg.add(&h, off)
		}
		seg.ended = h.kind == typeEnd
		off += h.length
	}
	seg.covered = len(seg.entries)
	return nil
}

// follows says whether a record at off can have this count of items before it:
// no less than was found, and no more than fits there.
func (seg *segment) follows(h *header, off int64) bool {
	return h.before >= seg.items && h.before <= uint64(off/headerBytes)*math.MaxUint32
}

// lost counts points of records that cannot be found.
func (seg *segment) lost(points uint64) {
	seg.tally.appended += int64(points)
	seg.tally.corrupt += int64(points)
}

// reserve makes room for one more entry in the index of a file of that size.
// Doubling from a 64th of what fits to all that fits leaves less behind than
// append would.
func (seg *segment) reserve(size int64) {
	if n := len(seg.entries); n == cap(seg.entries) {
		fits := int(size/headerBytes) + 1
		seg.entries = append(make([]entry, 0, max(2*n, fits/64+1)), seg.entries...)
	}
}

// mark applies a sidecar to the index, as far as it can be read.
func (seg *segment) mark(sidecar file) {
	w := window{f: sidecar}
	for off := int64(0); ; {
		b, err := w.peek(off, markBytes)
		if err != nil {
			return
		}
		off += int64(readMarks(b, seg.salt, seg.note))
	}
}

// note gives the record at off the fate that the sidecar says.
func (seg *segment) note(off uint32, f fate) {
	i, ok := slices.BinarySearchFunc(seg.entries, off, func(e entry, off uint32) int { return cmp.Compare(e.off, off) })
	if ok && seg.entries[i].fate == pending {
		seg.settle(i, f)
	}
}
