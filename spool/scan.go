package spool

import (
	"bytes"
	"cmp"
	"errors"
	"io"
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
	known := true // seg.items is what the next header should count
	for off := int64(0); off < size; {
		h, err := readHeader(f, off, seg.salt)
		switch {
		case err != nil && !errors.Is(err, errDamaged):
			return err
		case err != nil || !h.foreign && !seg.follows(&h, off) || off+h.length > math.MaxUint32:
			if off, err = resync(f, off+1, size, seg.salt); err != nil {
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

// resync returns where the next sound header of the segment starts at or after
// off, or size.
func resync(f file, off, size int64, salt uint32) (int64, error) {
	b := make([]byte, min(64<<10, max(size-off, 0)))
	for off < size {
		n, err := f.ReadAt(b, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return off, err
		}
		for at := 0; ; at++ {
			i := bytes.Index(b[at:n], magic[:])
			if i < 0 {
				break
			}
			at += i
			switch _, err := readHeader(f, off+int64(at), salt); {
			case err == nil:
				return off + int64(at), nil
			case !errors.Is(err, errDamaged):
				return off, err
			}
		}
		if n < len(magic) {
			break
		}
		// The magic may straddle two reads.
		off += int64(n - len(magic) + 1)
	}
	return size, nil
}

// mark applies the sidecar to the index.
func (seg *segment) mark(sidecar []byte) {
	readMarks(sidecar, seg.salt, func(off uint32, f fate) {
		i, ok := slices.BinarySearchFunc(seg.entries, off, func(e entry, off uint32) int { return cmp.Compare(e.off, off) })
		if ok && seg.entries[i].fate == pending {
			seg.settle(i, f)
		}
	})
}
