package spool

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"path"
	"strings"
)

// A dead letter is a file of two records: a note, whose payload is the reason,
// and the record that was set aside. Its name tells the record's time, epoch,
// seq and part, so that names sort by age.
const (
	letterSuffix = ".dead"
	replaySuffix = ".replay" // to be appended again

	// maxNote bounds the reason, in bytes; a longer one is cut.
	maxNote = 4 << 10
)

func letterName(timeMS int64, id ID) string {
	part := ""
	if id.Part != 0 {
		part = fmt.Sprintf("-%04x", id.Part)
	}
	return fmt.Sprintf("%016x-%016x-%016x%s%s", uint64(timeMS), id.Epoch, id.Seq, part, letterSuffix)
}

// encodeLetter makes the file of a record, header and payload, that has been
// checked.
func encodeLetter(h header, record []byte, reason string) []byte {
	reason = strings.ToValidUTF8(reason[:min(len(reason), maxNote)], "")
	note := header{
		kind: typeNote, payloadLen: uint32(len(reason)), ID: h.ID,
		timeMS: h.timeMS, payloadCRC: crc32.Checksum([]byte(reason), castagnoli),
	}
	b := make([]byte, headerBytes, 2*headerBytes+len(reason)+len(record))
	note.encode(b)
	b = append(b, reason...)
	at := len(b)
	b = append(b, record...)
	h.salt, h.before = 0, 0
	h.encode(b[at:])
	return b
}

// readLetter returns the record and the reason. A letter that is not whole, or
// of another name, is errDamaged: the name tells stale bytes, as a salt does.
func readLetter(disk looker, name string) (r Record, reason string, err error) {
	f, err := disk.Open(name)
	if err != nil {
		return r, "", err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	note, text, err := readRecord(f, 0)
	if err != nil || note.kind != typeNote || note.payloadLen > maxNote {
		return r, "", cmp.Or(err, errDamaged)
	}
	h, payload, err := readRecord(f, note.length)
	if err != nil || h.kind != typeData {
		return r, "", cmp.Or(err, errDamaged)
	}
	stem := strings.TrimSuffix(path.Base(name), path.Ext(name)) + letterSuffix
	if stem != letterName(note.timeMS, note.ID) || stem != letterName(h.timeMS, h.ID) {
		return r, "", errDamaged
	}
	return Record{ID: h.ID, Items: int64(h.items), TimeMS: h.timeMS, Payload: payload}, string(text), nil
}

// readRecord reads and checks the record of a letter at off.
func readRecord(f file, off int64) (header, []byte, error) {
	w := window{f: f}
	h, err := w.header(off, 0)
	if err != nil || h.foreign {
		return h, nil, cmp.Or(err, errDamaged)
	}
	if size, err := f.Size(); err != nil || off+h.length > size {
		return h, nil, cmp.Or(err, errDamaged)
	}
	payload := make([]byte, h.payloadLen)
	if err := readFull(f, payload, off+headerBytes); err != nil {
		return h, nil, err
	}
	if h.payloadCRC != crc32.Checksum(payload, castagnoli) {
		return h, nil, errDamaged
	}
	return h, payload, nil
}
