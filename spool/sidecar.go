package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A sidecar lies beside a segment and says what became of single records in
// it. An entry is the record's offset (4), a fate (1), the version (1), the
// length of the data (2), the data, and a CRC over the segment's salt and all
// of these (4). It is advisory: an entry that is missing or damaged causes a
// re-send.
const (
	markHeader   = 8
	minMarkBytes = markHeader + 4

	// maxNote bounds the owner's note on a record that reaches the disk.
	maxNote = 1<<16 - 1
)

// fate is what became of a record. The values are part of the format.
type fate uint8

const (
	pending   fate = 0 // in a sidecar: the record waits, and has this note
	delivered fate = 1 // acknowledged, perhaps with points that were refused
	expired   fate = 2
	corrupt   fate = 3
	evicted   fate = 4 // whole segments only, never in a sidecar
	moved     fate = 5 // rewritten to another segment, never in a sidecar
)

// mark is an entry of a sidecar.
type mark struct {
	off  uint32 // of the record
	fate fate
	dead uint32 // of a delivered record: the points that were refused for good
	note []byte // of a pending one
}

// append adds the bytes of an entry to b.
func (m mark) append(b []byte, salt uint32) []byte {
	data := m.note
	if m.dead > 0 {
		data = binary.LittleEndian.AppendUint32(nil, m.dead)
	}
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, m.off)
	b = append(b, byte(m.fate), formatVersion)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, markCRC(salt, b[at:]))
}

// markCRC is the CRC of an entry's first bytes, after the segment's salt.
func markCRC(salt uint32, b []byte) uint32 {
	var s [4]byte
	binary.LittleEndian.PutUint32(s[:], salt)
	return crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, b)
}

// parseMark reads the bytes of an entry whose CRC is right. Entries that say
// nothing this version knows are not ok.
func parseMark(b []byte) (m mark, ok bool) {
	m = mark{off: binary.LittleEndian.Uint32(b), fate: fate(b[4])}
	data := b[markHeader : len(b)-4]
	switch {
	case m.fate == pending:
		m.note = data
	case m.fate == delivered && len(data) == 4:
		m.dead = binary.LittleEndian.Uint32(data)
	default:
		return m, len(data) == 0 && (m.fate == delivered || m.fate == expired || m.fate == corrupt)
	}
	return m, true
}

// maxVain bounds how many bytes are checked in vain, for each byte of a
// sidecar, before the rest is ignored.
const maxVain = 16

// readSidecar shows the sound entries of a sidecar in order; their notes are
// valid until show returns. It returns where the last one ends. After damage it
// goes on with the next offset at which an entry is sound; gap, which may be
// nil, is told of the bytes between, also of those at the end.
func readSidecar(f file, salt uint32, show func(mark), gap func(off, length int64)) (end int64, err error) {
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	size = min(size, maxFileBytes)
	w := window{f: f}
	for off, vain := int64(0), int64(0); off+minMarkBytes <= size && vain <= maxVain*size; {
		b, err := w.mark(off, size, salt)
		if errors.Is(err, errDamaged) {
			vain += int64(len(b))
			off, err = w.nextMark(off+1, size)
			if err != nil {
				break // the end of the file
			}
			continue
		}
		if err != nil {
			return end, err
		}
		if gap != nil && off > end {
			gap(end, off-end)
		}
		if m, ok := parseMark(b); ok {
			show(m)
		}
		off += int64(len(b))
		end = off
	}
	if gap != nil && size > end {
		gap(end, size-end)
	}
	return end, nil
}

// mark returns the entry at off. With errDamaged it returns what it checked.
func (w *window) mark(off, size int64, salt uint32) ([]byte, error) {
	b, err := w.peek(off, minMarkBytes)
	if err != nil {
		return nil, err
	}
	n := minMarkBytes + int(binary.LittleEndian.Uint16(b[6:]))
	if b[5] != formatVersion || off+int64(n) > size {
		return nil, errDamaged
	}
	if b, err = w.peek(off, n); err != nil {
		return nil, err
	}
	b = b[:n]
	if binary.LittleEndian.Uint32(b[n-4:]) != markCRC(salt, b[:n-4]) {
		return b, errDamaged
	}
	return b, nil
}

// nextMark returns the next offset at or after off where an entry could be, or one
// that is not before size. An error says that there is none.
func (w *window) nextMark(off, size int64) (int64, error) {
	for off < size {
		b, err := w.peek(off, minMarkBytes)
		if err != nil {
			return off, err
		}
		if i := bytes.IndexByte(b[5:], formatVersion); i >= 0 {
			return off + int64(i), nil
		}
		off += int64(len(b) - 5)
	}
	return off, nil
}
