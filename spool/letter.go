package spool

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"slices"
	"strings"
)

// A letter is a file of records, two for each entry: a note, whose payload is
// the reason and which has the name of the record whose points these are, and
// the entry's own record. Its name says when it was begun, so that names sort by
// age, how many points it has, and the salt that is in all of its headers.
const (
	letterSuffix = ".dead"
	replaySuffix = ".replay" // to be appended again

	// maxReasonBytes bounds the reason of a letter; a longer one is cut.
	maxReasonBytes = 4 << 10
)

// Letter is a copy of points that the backend refused for good, with the
// reason, for a person to look at and to have sent again.
type Letter struct {
	// Of is the record whose points these are.
	Of ID
	// Reason says in a few words why they were refused, at most 4 KiB.
	Reason string
	// Record is a record of its own, whose ID should follow from Of and the
	// points alone: of two entries with the same ID the later one counts. The
	// note is not kept.
	Record
}

// bytes is what a letter's entry takes in its file.
func (l *Letter) bytes() int64 { return 2*headerBytes + int64(len(l.Reason)+len(l.Payload)) }

// letterID is what the name of a letter's file says.
type letterID struct {
	timeMS, points uint64
	salt           uint32
}

func (id letterID) name() string {
	return fmt.Sprintf("%016x-%016x-%08x%s", id.timeMS, id.points, id.salt, letterSuffix)
}

// parseLetterName reads the name of a letter, to be sent again or not; only
// what name makes is one.
func parseLetterName(name string) (id letterID, ok bool) {
	suffix := path.Ext(name)
	stem := strings.TrimSuffix(name, suffix)
	if _, err := fmt.Sscanf(stem, "%016x-%016x-%08x", &id.timeMS, &id.points, &id.salt); err != nil {
		return id, false
	}
	return id, (suffix == letterSuffix || suffix == replaySuffix) && stem+letterSuffix == id.name()
}

// encodeLetters makes the content of a file.
func encodeLetters(letters []Letter, salt uint32) []byte {
	var size int64
	for i := range letters {
		size += letters[i].bytes()
	}
	b := make([]byte, 0, size)
	for i := range letters {
		l := &letters[i]
		note := header{kind: typeNote, ID: l.Of, timeMS: l.TimeMS}
		b = note.append(b, salt, []byte(l.Reason))
		data := header{kind: typeData, ID: l.ID, timeMS: l.TimeMS, items: uint32(l.Items)}
		b = data.append(b, salt, l.Payload)
	}
	return b
}

// append adds a record to b.
func (h *header) append(b []byte, salt uint32, payload []byte) []byte {
	h.salt, h.payloadLen, h.payloadCRC = salt, uint32(len(payload)), crc32.Checksum(payload, castagnoli)
	at := len(b)
	b = append(b, make([]byte, headerBytes)...)
	h.encode(b[at:])
	return append(b, payload...)
}

// letterEntry is one entry of a file, and where it is.
type letterEntry struct {
	Letter
	name   string // of the file
	off    int64
	length int64
}

// readLetter shows the sound entries of a letter's file, in order; what they
// hold is the caller's. damaged says that not all of the file is such entries.
func readLetter(disk looker, name string, show func(letterEntry) error) (damaged bool, err error) {
	id, _ := parseLetterName(path.Base(name))
	f, err := disk.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	size, err := f.Size()
	if err != nil {
		return false, err
	}
	whole := size
	size = min(size, maxFileBytes)
	var points uint64
	for off := int64(0); off < size; {
		e, err := readEntry(f, off, size, id.salt)
		if errors.Is(err, errDamaged) {
			damaged = true
			w := window{f: f}
			off, err = w.search(off+1, size, id.salt)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return damaged, err
		}
		e.name = name
		points += uint64(e.Items)
		off += e.length
		if err := show(e); err != nil {
			return damaged, err
		}
	}
	return damaged || size < whole || points != id.points, nil
}

// readEntry reads and checks the two records of an entry at off.
func readEntry(f file, off, size int64, salt uint32) (e letterEntry, err error) {
	note, reason, err := readRecord(f, off, size, salt)
	if err != nil || note.kind != typeNote || note.payloadLen > maxReasonBytes {
		return e, cmp.Or(err, errDamaged)
	}
	h, payload, err := readRecord(f, off+note.length, size, salt)
	if err != nil || h.kind != typeData {
		return e, cmp.Or(err, errDamaged)
	}
	r := Record{ID: h.ID, Items: int64(h.items), TimeMS: h.timeMS, Payload: payload}
	return letterEntry{Letter: Letter{note.ID, string(reason), r}, off: off, length: note.length + h.length}, nil
}

// readRecord reads and checks the record at off.
func readRecord(f file, off, size int64, salt uint32) (header, []byte, error) {
	w := window{f: f}
	h, err := w.header(off, salt)
	if err != nil || h.foreign || off+h.length > size {
		return h, nil, cmp.Or(err, errDamaged)
	}
	if err := proveRecord(f, off, h.length, salt); err != nil {
		return h, nil, err
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

// place says where an entry of a letter is.
type place struct {
	name string
	off  int64
}

// lastPlaces finds the entry that counts of each ID: the last one. What cannot
// be read is left out.
func lastPlaces(disk looker, names []string) map[ID]place {
	last := map[ID]place{}
	for _, name := range names {
		_, _ = readLetter(disk, name, func(e letterEntry) error {
			last[e.ID] = place{stem(name), e.off}
			return nil
		})
	}
	return last
}

// counts says that no later entry has the same ID.
func (e *letterEntry) counts(last map[ID]place) bool {
	return last[e.ID] == place{stem(e.name), e.off}
}

// stem is the name of a letter, whether or not it is to be sent again.
func stem(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

// letterPaths returns the letters among the names in dead/, by age.
func letterPaths(names []string) []string {
	var paths []string
	for _, name := range slices.Sorted(slices.Values(names)) {
		if _, ok := parseLetterName(name); ok {
			paths = append(paths, deadDir+"/"+name)
		}
	}
	return paths
}
