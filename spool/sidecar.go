package spool

import (
	"encoding/binary"
	"hash/crc32"
)

// A sidecar lies beside a segment and says what became of single records in
// it, in entries of markBytes: offset (4), fate (1), version (1), part (2) and
// a CRC over the segment's salt and these (4). It is advisory: it is never
// synced, and an entry that is missing or damaged causes a re-send.
const markBytes = 12

// fate is what became of a record. The values are part of the format.
type fate uint8

const (
	pending   fate = 0
	delivered fate = 1
	expired   fate = 2
	corrupt   fate = 3
	evicted   fate = 4 // whole segments only, never in a sidecar
	moved     fate = 5 // rewritten to another segment, never in a sidecar
	dead      fate = 6 // set aside in dead/

	// Of parts; never that of an entry in the index.
	partDelivered fate = 7
	partDead      fate = 8
	partCut       fate = 9
)

// sidecarMark is an entry of a sidecar.
type sidecarMark struct {
	off  uint32 // of the record
	fate fate
	part uint16 // 0 for the whole record
}

// encode returns the bytes of an entry.
func (m sidecarMark) encode(salt uint32) [markBytes]byte {
	var b [markBytes]byte
	binary.LittleEndian.PutUint32(b[:], m.off)
	b[4], b[5] = byte(m.fate), formatVersion
	binary.LittleEndian.PutUint16(b[6:], m.part)
	binary.LittleEndian.PutUint32(b[8:], markCRC(saltCRC(salt), b[:8]))
	return b
}

// markCRC is the CRC of an entry's first bytes, after the segment's salt.
func markCRC(afterSalt uint32, b []byte) uint32 { return crc32.Update(afterSalt, castagnoli, b) }

// saltCRC is what the CRC of each entry of a sidecar begins with.
func saltCRC(salt uint32) uint32 {
	var s [4]byte
	binary.LittleEndian.PutUint32(s[:], salt)
	return crc32.Checksum(s[:], castagnoli)
}

// readMarks calls show for each sound entry at the start of b, and returns
// how many bytes of b it read: whole entries.
func readMarks(b []byte, salt uint32, show func(sidecarMark)) (n int) {
	afterSalt := saltCRC(salt)
	for ; n+markBytes <= len(b); n += markBytes {
		m := b[n:]
		if binary.LittleEndian.Uint32(m[8:]) != markCRC(afterSalt, m[:8]) || m[5] != formatVersion {
			continue
		}
		read := sidecarMark{off: binary.LittleEndian.Uint32(m), fate: fate(m[4])}
		switch read.fate {
		case partDelivered, partDead, partCut:
			if read.part = binary.LittleEndian.Uint16(m[6:]); read.part == 0 {
				continue
			}
			show(read)
		case delivered, expired, corrupt, dead:
			show(read)
		case pending, evicted, moved:
		}
	}
	return n
}
