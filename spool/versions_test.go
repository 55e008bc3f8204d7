package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestDowngrade opens a directory that a newer version left: what is known is
// used as ever, what is not stays bit for bit, and when the newer version comes
// back nothing is lost.
func TestDowngrade(t *testing.T) {
	const size = 50
	dir := t.TempDir()
	later, mixed := newerDirectory(t, dir, size)
	before := map[string][]byte{}
	for _, name := range append(strangers(t, dir), later, mixed) {
		b, err := os.ReadFile(name)
		must(t, err)
		before[name] = b
	}

	s, _ := testSpool(t, dir, Config{})
	if st := checkBalance(t, s); st.Foreign != 5 || st.Records != 2 || st.Corrupt != 0 {
		t.Errorf("of 5 records of a newer version and 2 others: %+v", st)
	}
	appendAll(t, s, 21, 23, size)
	s.Ack(named(7, 11), 0)
	s.tick()
	must(t, s.Close(background))
	s, _ = testSpool(t, dir, Config{})
	if got := drain(t, s, size); !slices.Equal(got, []uint64{13, 21, 22, 23}) {
		t.Errorf("read %v", got)
	}
	s.Lose("from_now", 1)
	must(t, s.Close(background))
	s, _ = testSpool(t, dir, Config{})
	if got := drain(t, s, size); len(got) != 0 {
		t.Errorf("read %v again", got)
	}
	st := checkBalance(t, s)
	for _, want := range []Loss{{"from_now", 1}, {"from_the_future", 12}} {
		if !slices.Contains(s.Losses(), want) {
			t.Errorf("losses are %v, want %v among them", s.Losses(), want)
		}
	}
	must(t, s.Close(background))
	for name, want := range before {
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s was changed (%v)", filepath.Base(name), err)
		}
	}

	// To the newer version, all of that is of its own making.
	restamp(t, later, size, func(h []byte) { h[offVersion], h[offType] = formatVersion, h[offSpare] })
	restamp(t, mixed, size, func(h []byte) { h[offVersion], h[offType] = formatVersion, h[offSpare] })
	s, _ = testSpool(t, dir, Config{})
	if got := drain(t, s, size); !slices.Equal(got, []uint64{1, 2, 3, 12}) {
		t.Errorf("the newer version reads %v", got)
	}
	if more := checkBalance(t, s).Appended - st.Appended; more != points([]uint64{1, 2, 3, 12}) {
		t.Errorf("the newer version counts %d points more", more)
	}
}

// offSpare is a byte of the header that is reserved.
const offSpare = offBefore - 2

// newerDirectory makes one as a newer version might leave it: records 1 to 3 in
// a segment all of its own, 11 to 13 in one of which only 12 is unknown, files
// of unknown names, and a ledger with an unknown reason. It returns the names
// of the segments.
func newerDirectory(t *testing.T, dir string, size int) (later, mixed string) {
	t.Helper()
	for _, from := range []uint64{1, 11} {
		s, _ := testSpool(t, dir, Config{})
		appendAll(t, s, from, from+2, size)
		s.Lose("from_the_future", 6)
		must(t, s.Close(background))
	}
	segments := files(t, dir, segmentSuffix)
	later, mixed = segments[0], segments[1]
	// A reserved byte remembers the type.
	restamp(t, later, size, func(h []byte) { h[offVersion], h[offSpare] = 9, h[offType] })
	restamp(t, mixed, size, func(h []byte) {
		h[offSpare] = h[offType]
		if binary.LittleEndian.Uint64(h[offSeq:]) == 12 {
			h[offType] = 200
		}
	})
	must(t, os.Mkdir(filepath.Join(dir, "archive"), dirMode))
	for _, name := range strangers(t, dir) {
		must(t, os.WriteFile(name, []byte(name), 0o644))
	}
	return later, mixed
}

// strangers are files that this version knows nothing of.
func strangers(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, name := range []string{
		"notes.txt", "ledger2", "0000000000000001-00000001.seg2", "0000000000000001-00000001.SEG",
		"1-1.seg", "00000000000000001-00000001.seg", "archive/0000000000000001-00000001.seg",
	} {
		names = append(names, filepath.Join(dir, name))
	}
	return names
}

// restamp changes each header of a segment file whose payloads all have that
// size.
func restamp(t *testing.T, name string, size int, change func(h []byte)) {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	for at := 0; at < len(b); at += headerBytes + size {
		h := b[at : at+headerBytes]
		change(h)
		binary.LittleEndian.PutUint32(h[offHeaderCRC:], crc32.Checksum(h[:offHeaderCRC], castagnoli))
	}
	must(t, os.WriteFile(name, b, fileMode))
}
