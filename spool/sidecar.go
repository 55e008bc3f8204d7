package spool

import (
	"encoding/binary"
	"hash/crc32"
)

// A sidecar lies beside a segment and says what became of single records in
// it, in entries of markBytes: offset (4), fate (1), version (1), zero (2) and
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
)

// encodeMark returns the sidecar entry for the record at off.
func encodeMark(salt, off uint32, f fate) [markBytes]byte {
	var b [markBytes]byte
	binary.LittleEndian.PutUint32(b[:], off)
	b[4], b[5] = byte(f), formatVersion
	binary.LittleEndian.PutUint32(b[8:], markCRC(salt, b[:8]))
	return b
}

func markCRC(salt uint32, b []byte) uint32 {
	var s [4]byte
	binary.LittleEndian.PutUint32(s[:], salt)
	return crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, b)
}

// readMarks calls settled for each sound entry at the start of b, and returns
// how many bytes of b it read: whole entries.
func readMarks(b []byte, salt uint32, settled func(off uint32, f fate)) (n int) {
	for ; n+markBytes <= len(b); n += markBytes {
		m := b[n:]
		if binary.LittleEndian.Uint32(m[8:]) != markCRC(salt, m[:8]) || m[5] != formatVersion {
			continue
		}
		switch f := fate(m[4]); f {
		case delivered, expired, corrupt, dead:
			settled(binary.LittleEndian.Uint32(m), f)
		case pending, evicted, moved:
		}
	}
	return n
}
