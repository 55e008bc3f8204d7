package spool

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// The record header, little-endian; docs/spool-format.md has the same table.
// Magic, version, type, lengths and salt stay where they are in every version,
// and the last four bytes of a header are its CRC, so that an older reader can
// step over what it does not know.
const (
	headerBytes    = 64
	maxHeaderBytes = 1 << 10 // in any version

	offVersion    = 4
	offType       = 5
	offHeaderLen  = 6
	offPayloadLen = 8
	offSalt       = 12
	offEpoch      = 16
	offSeq        = 24
	offItems      = 32
	offBefore     = 40 // 4 bytes before it are reserved
	offTime       = 48
	offPayloadCRC = 56
	offHeaderCRC  = 60
)

// maxFileBytes bounds what is read of a segment, a sidecar or a letter: whatever a
// file's size or a record's length claims, nothing this version writes is longer.
// It is twice the largest batch.
const maxFileBytes = 128 << 20

// largeBytes is how long a record may claim to be without proof: of a longer one
// the checksum is computed in small pieces before it gets memory.
const largeBytes = 2 << 20

const (
	formatVersion = 2

	typeData = 1 // carries a payload
	typeEnd  = 2 // seals a segment: "before" is all that it ever held
	typeNote = 3 // in a dead letter: why the record after it is there
	typeTick = 4 // as data, but of a draft
)

var (
	magic = [4]byte{'H', 'K', 'S', 'R'}

	// castagnoli is never written to after this line.
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	// errDamaged says that bytes are not the record that should be there.
	errDamaged = errors.New("damaged record")
)

// header is a record's header in memory.
type header struct {
	version    byte
	kind       byte // one of the types
	payloadLen uint32
	salt       uint32
	ID
	items      uint32
	before     uint64 // items in the segment before this record
	timeMS     int64
	payloadCRC uint32

	// foreign marks a header that checks out but is of an unknown version, type
	// or length; only these are meaningful then.
	foreign bool
	// length is that of the whole record, header and payload.
	length int64
}

// encode writes h to the first headerBytes of b.
func (h *header) encode(b []byte) {
	le := binary.LittleEndian
	copy(b, magic[:])
	b[offVersion] = formatVersion
	b[offType] = h.kind
	le.PutUint16(b[offHeaderLen:], headerBytes)
	le.PutUint32(b[offPayloadLen:], h.payloadLen)
	le.PutUint32(b[offSalt:], h.salt)
	le.PutUint64(b[offEpoch:], h.Epoch)
	le.PutUint64(b[offSeq:], h.Seq)
	le.PutUint32(b[offItems:], h.items)
	le.PutUint32(b[offItems+4:], 0)
	le.PutUint64(b[offBefore:], h.before)
	le.PutUint64(b[offTime:], uint64(h.timeMS))
	le.PutUint32(b[offPayloadCRC:], h.payloadCRC)
	le.PutUint32(b[offHeaderCRC:], crc32.Checksum(b[:offHeaderCRC], castagnoli))
}

// parseHeader reads the header at the start of b, which holds the whole of it.
// Anything but a header that belongs to the segment with this salt is
// errDamaged.
func parseHeader(b []byte, salt uint32) (header, error) {
	le := binary.LittleEndian
	n := headerLen(b)
	if n < headerBytes || n > min(len(b), maxHeaderBytes) || !bytes.Equal(b[:4], magic[:]) || le.Uint32(b[offSalt:]) != salt ||
		le.Uint32(b[n-4:]) != crc32.Checksum(b[:n-4], castagnoli) {
		return header{}, errDamaged
	}
	h := header{version: b[offVersion], kind: b[offType], payloadLen: le.Uint32(b[offPayloadLen:]), salt: salt}
	h.length = int64(n) + int64(h.payloadLen)
	if h.version != formatVersion || n != headerBytes || h.kind < typeData || h.kind > typeTick {
		h.foreign = true
		return h, nil
	}
	h.ID = ID{le.Uint64(b[offEpoch:]), le.Uint64(b[offSeq:])}
	h.items = le.Uint32(b[offItems:])
	h.before = le.Uint64(b[offBefore:])
	h.timeMS = int64(le.Uint64(b[offTime:]))
	h.payloadCRC = le.Uint32(b[offPayloadCRC:])
	return h, nil
}

// proveRecord is errDamaged for a large record at off that is not sound as a whole.
func proveRecord(f file, off, length int64, salt uint32) error {
	if length <= largeBytes {
		return nil
	}
	w := window{f: f}
	h, err := w.header(off, salt)
	if err != nil || h.length != length {
		return cmp.Or(err, errDamaged)
	}
	sum, b := uint32(0), make([]byte, 64<<10)
	for at, end := off+headerBytes, off+length; at < end; at += int64(len(b)) {
		b = b[:min(int64(len(b)), end-at)]
		if err := readFull(f, b, at); err != nil {
			return err
		}
		sum = crc32.Update(sum, castagnoli, b)
	}
	if sum != h.payloadCRC {
		return errDamaged
	}
	return nil
}

// headerLen is the length that the header at the start of b claims.
func headerLen(b []byte) int {
	if len(b) < headerBytes {
		return 0
	}
	return int(binary.LittleEndian.Uint16(b[offHeaderLen:]))
}

// readFull fills b from off; a file that ends before is errDamaged.
func readFull(f file, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return errDamaged
	}
	return err
}
