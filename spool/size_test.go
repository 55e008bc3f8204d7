package spool

import (
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Nothing that a file says of its size, or a header of its record's length, is
// believed before it is proved: neither a start nor a look in takes time or
// memory for it.
func TestClaimedSizesAreBounded(t *testing.T) {
	const salt = 7
	id := segmentID{number: 1, salt: salt}
	payload := []byte("sound")
	sound := header{kind: typeData, ID: ID{1, 1}, items: 2, timeMS: 1, salt: salt, payloadLen: uint32(len(payload)), payloadCRC: crc32.Checksum(payload, castagnoli)}
	whole := append(make([]byte, headerBytes), payload...)
	sound.encode(whole)
	for name, c := range map[string]struct {
		claim   uint32 // the length of a second record, 0 for none
		corrupt int64  // what that costs, once it was asked for
	}{
		"no second record": {0, 0},
		"4 GiB":            {1<<32 - 1, 0},
		"1.9 GiB":          {1900 << 20, 0},
		"120 MiB":          {120 << 20, 5},
		"3 MiB":            {3 << 20, 5},
	} {
		dir := t.TempDir()
		content := append([]byte(nil), whole...)
		if c.claim > 0 {
			claims := header{kind: typeData, ID: ID{1, 2}, items: 5, before: 2, timeMS: 1, salt: salt, payloadLen: c.claim}
			content = append(content, make([]byte, headerBytes)...)
			claims.encode(content[len(whole):])
		}
		for file, content := range map[string][]byte{id.name(): content, id.sidecar(): nil} {
			path := filepath.Join(dir, file)
			if err := errors.Join(os.WriteFile(path, content, 0o600), os.Truncate(path, 20<<30)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Inspect(t.Context(), Query{Dir: dir, Segments: true, Payloads: true}, func(Finding) error { return nil }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s := Open(Config{Dir: dir, MaxBytes: 256 << 20})
		r, err := s.Oldest(0, nil)
		if err != nil || string(r.Payload) != "sound" {
			t.Errorf("%s: the record before it: %+v, %v", name, r, err)
		}
		if _, err := s.Oldest(0, []ID{{1, 1}}); !errors.Is(err, ErrEmpty) {
			t.Errorf("%s: %v, want that nothing else is there", name, err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
			t.Errorf("%s: %d MiB were allocated", name, took>>20)
		}
		if got := s.Stats(); got.Corrupt != c.corrupt || got.Points != 2 {
			t.Errorf("%s: %+v, want %d corrupt", name, got, c.corrupt)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
