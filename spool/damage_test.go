package spool

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestEveryBit flips each bit of a sealed segment in turn: at most the record
// that it is in may be lost, its points are counted, and nothing wrong is read.
func TestEveryBit(t *testing.T) {
	const n, size = 3, 20
	name, sound := image(t, n, size, true)
	dir := t.TempDir()
	for bit := range len(sound) * 8 {
		b := slices.Clone(sound)
		b[bit/8] ^= 1 << (bit % 8)
		s := reopen(t, dir, name, b)
		got := drain(t, s, size)
		st := checkBalance(t, s)
		want := upTo(n)
		if hit := bit / 8 / (headerBytes + size); hit < n {
			want = slices.Delete(want, hit, hit+1)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("bit %d: read %v, want %v", bit, got, want)
		}
		if lost := points(upTo(n)) - points(want); st.Corrupt != lost || st.Appended != points(upTo(n)) {
			t.Fatalf("bit %d: %d of %d points counted as corrupt, want %d", bit, st.Corrupt, st.Appended, lost)
		}
		must(t, s.Close(context.Background()))
	}
}

// TestEveryTruncation cuts a segment at each length: every record before the
// cut survives, and so does what is appended after.
func TestEveryTruncation(t *testing.T) {
	const n, size = 4, 40
	name, sound := image(t, n, size, false)
	dir := t.TempDir()
	for length := range len(sound) + 1 {
		s := reopen(t, dir, name, sound[:length])
		whole := uint64(length / (headerBytes + size))
		appendAll(t, s, n+1, n+1, size)
		if got, want := drain(t, s, size), append(upTo(whole), n+1); !slices.Equal(got, want) {
			t.Fatalf("cut at %d: read %v, want %v", length, got, want)
		}
		// A header that is whole says what was lost with its payload.
		var lost int64
		if rest := length % (headerBytes + size); rest >= headerBytes {
			lost = rec(whole+1, size).Items
		}
		if st := checkBalance(t, s); st.Corrupt != lost {
			t.Fatalf("cut at %d: %d points counted as corrupt, want %d", length, st.Corrupt, lost)
		}
		must(t, s.Close(context.Background()))
	}
}

// TestSidecarDamage flips each bit and cuts each length of a sidecar: that may
// bring a record back, never take one.
func TestSidecarDamage(t *testing.T) {
	const n, size = 3, 16
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, n, size)
	s.Note(named(7, 3), []byte("a note"))
	s.Ack(named(7, 2), 1)
	must(t, s.Close(context.Background()))
	seg, ack := files(t, dir, segmentSuffix)[0], files(t, dir, sidecarSuffix)[0]
	segment, err := os.ReadFile(seg)
	must(t, err)
	sound, err := os.ReadFile(ack)
	must(t, err)

	try := func(marks []byte, want ...uint64) {
		t.Helper()
		_ = os.Remove(filepath.Join(dir, ledgerName)) // knows the segment as gone
		must(t, os.WriteFile(seg, segment, fileMode))
		must(t, os.WriteFile(ack, marks, fileMode))
		s, _ := testSpool(t, dir, Config{})
		if st := s.Stats(); st.Dead != 0 && (st.Dead != 1 || len(want) != 2) {
			t.Fatalf("sidecar %x: %+v", marks, st)
		}
		s.WaitingNotes(func(seq uint64, note []byte) {
			if len(note) > 0 && (seq != 3 || string(note) != "a note") {
				t.Fatalf("sidecar %x: record %d has note %q", marks, seq, note)
			}
		})
		if got := drain(t, s, size); !slices.Equal(got, want) {
			t.Fatalf("sidecar %x: read %v, want %v", marks, got, want)
		}
		checkBalance(t, s)
		must(t, s.Close(context.Background()))
	}
	try(sound, 1, 3)
	try(append(make([]byte, 13), sound...), 1, 3)
	note := minMarkBytes + len("a note") // that of record 3 comes first
	for bit := range len(sound) * 8 {
		b := slices.Clone(sound)
		b[bit/8] ^= 1 << (bit % 8)
		if bit/8 < note {
			try(b, 1, 3)
		} else {
			try(b, 1, 2, 3)
		}
	}
	for length := range len(sound) {
		try(sound[:length], 1, 2, 3)
	}
}

// TestLedgerDamage flips each bit of the newer slot: the older one stands in.
func TestLedgerDamage(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	s.Lose("queue_full", 1)
	must(t, s.Sync(context.Background()))
	s.Lose("queue_full", 10)
	must(t, s.Sync(context.Background()))
	s.Lose("queue_full", 100)
	must(t, s.Sync(context.Background()))
	must(t, s.Close(context.Background()))
	path := filepath.Join(dir, ledgerName)
	sound, err := os.ReadFile(path)
	must(t, err)
	if len(sound) != 2*slotBytes {
		t.Fatalf("ledger has %d bytes", len(sound))
	}
	read := func(b []byte) int64 {
		t.Helper()
		must(t, os.WriteFile(path, b, fileMode))
		l, err := readLedger(osFS(dir))
		must(t, err)
		return l.losses["queue_full"]
	}
	if got := read(sound); got != 111 {
		t.Fatalf("sound ledger says %d, want 111", got)
	}
	// Generation 3 is in slot 1.
	for bit := range slotBytes * 8 {
		if bit%61 != 0 && bit > 1024 {
			continue // the tail is zeros: some of its bits will do
		}
		b := slices.Clone(sound)
		b[slotBytes+bit/8] ^= 1 << (bit % 8)
		if got := read(b); got != 11 {
			t.Fatalf("bit %d flipped: ledger says %d, want 11", bit, got)
		}
	}
	if got := read(nil); got != 0 {
		t.Fatalf("empty ledger says %d", got)
	}
}

// TestForeign leaves records of a newer version and of an unknown type alone.
func TestForeign(t *testing.T) {
	const n, size = 3, 40
	name, sound := image(t, n, size, true)
	for what, change := range map[string]func(h []byte) []byte{
		"newer version": func(h []byte) []byte { h[offVersion] = 9; return h },
		"unknown type":  func(h []byte) []byte { h[offType] = 9; return h },
		"note":          func(h []byte) []byte { h[offType] = typeNote; return h }, // at home in dead letters
		"newer version, longer header": func(h []byte) []byte {
			h[offVersion] = 9
			binary.LittleEndian.PutUint16(h[offHeaderLen:], headerBytes+16)
			return append(h, make([]byte, 16)...)
		},
		"longer header": func(h []byte) []byte {
			binary.LittleEndian.PutUint16(h[offHeaderLen:], headerBytes+16)
			return append(h, make([]byte, 16)...)
		},
	} {
		t.Run(what, func(t *testing.T) {
			at := headerBytes + size
			h := change(slices.Clone(sound[at : at+headerBytes]))
			binary.LittleEndian.PutUint32(h[len(h)-4:], crc32.Checksum(h[:len(h)-4], castagnoli))
			b := slices.Concat(sound[:at], h, sound[at+headerBytes:])
			dir := t.TempDir()
			s := reopen(t, dir, name, b)
			if got, want := drain(t, s, size), []uint64{1, 3}; !slices.Equal(got, want) {
				t.Errorf("read %v, want %v", got, want)
			}
			if st := checkBalance(t, s); st.Foreign != 1 || st.Corrupt != 0 {
				t.Errorf("%d foreign records and %d corrupt points, want 1 and 0", st.Foreign, st.Corrupt)
			}
			must(t, s.Close(context.Background()))
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !slices.Equal(got, b) {
				t.Errorf("the segment was changed (%v)", err)
			}
		})
	}
}

// TestForeignIsNotEvicted makes room with the records that it can count, and
// refuses new ones when there are none.
func TestForeignIsNotEvicted(t *testing.T) {
	const size = 900
	name, b := image(t, 3, size, true)
	h := b[:headerBytes]
	h[offVersion] = 9
	binary.LittleEndian.PutUint32(h[offHeaderCRC:], crc32.Checksum(h[:offHeaderCRC], castagnoli))
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, name), b, fileMode))
	s, _ := testSpool(t, dir, Config{MaxBytes: 8 << 10})
	for seq := range uint64(20) {
		must(t, s.Append(rec(seq+10, size)))
	}
	if st := checkBalance(t, s); st.Evicted == 0 || st.Foreign != 1 {
		t.Errorf("%+v", st)
	}
	if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !slices.Equal(got, b) {
		t.Errorf("the segment of another version was changed (%v)", err)
	}
	must(t, s.Close(context.Background()))

	s, _ = testSpool(t, dir, Config{MaxBytes: 3 << 10})
	for _, seq := range []uint64{40, 41} {
		unavailable(t, s.Append(rec(seq, size)), errUnknown)
		s.retry()
	}
	if st := checkBalance(t, s); st.Records != 2 || st.Foreign != 1 {
		t.Errorf("%+v", st)
	}
	must(t, s.Close(context.Background()))
	if records, _, err := Purge(context.Background(), dir); err != nil || records != 0 {
		t.Errorf("purged %d records (%v)", records, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !slices.Equal(got, b) {
		t.Errorf("purged, the segment of another version was changed (%v)", err)
	}
}

// TestStaleBytes reads nothing from a segment whose records carry the salt of
// another, nor from a record inside a payload.
func TestStaleBytes(t *testing.T) {
	name, b := image(t, 3, 40, true)
	id, _, _ := parseName(name)
	id.salt++
	s := reopen(t, t.TempDir(), id.name(), b)
	if got := drain(t, s, 40); len(got) != 0 {
		t.Errorf("read %v of another segment", got)
	}

	dir := t.TempDir()
	s, _ = testSpool(t, dir, Config{})
	must(t, s.Append(Record{ID: named(1, 1), Items: 5, Payload: b}))
	must(t, s.Close(context.Background()))
	path := files(t, dir, segmentSuffix)[0]
	outer, err := os.ReadFile(path)
	must(t, err)
	outer[offSeq] ^= 1
	s = reopen(t, t.TempDir(), filepath.Base(path), outer)
	if got := drain(t, s, 40); len(got) != 0 {
		t.Errorf("read %v from inside a payload", got)
	}
	if st := checkBalance(t, s); st.Corrupt != 5 {
		t.Errorf("%d points counted as corrupt, want 5", st.Corrupt)
	}
}

// TestImpossibleCount takes a header for damage that says, soundly, that more
// came before it than fits there: the totals would wrap.
func TestImpossibleCount(t *testing.T) {
	const n, size = 4, 40
	name, b := image(t, n, size, true)
	for _, before := range []uint64{math.MaxUint32 + 1, 1 << 63, math.MaxUint64} {
		b := slices.Clone(b)
		h := b[headerBytes+size:][:headerBytes]
		binary.LittleEndian.PutUint64(h[offBefore:], before)
		binary.LittleEndian.PutUint32(h[offHeaderCRC:], crc32.Checksum(h[:offHeaderCRC], castagnoli))
		s := reopen(t, t.TempDir(), name, b)
		if got, want := drain(t, s, size), []uint64{1, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("%d before: read %v, want %v", before, got, want)
		}
		if st := checkBalance(t, s); st.Corrupt != rec(2, 0).Items || st.Appended != points(upTo(n)) {
			t.Errorf("%d before: %+v", before, st)
		}
	}
}

// TestGapInTheMiddle loses a run of records, headers and all, and still counts
// each point.
func TestGapInTheMiddle(t *testing.T) {
	const n, size = 100, 3000
	name, b := image(t, n, size, false)
	clear(b[10*(headerBytes+size)+7 : 60*(headerBytes+size)+9])
	s := reopen(t, t.TempDir(), name, b)
	want := slices.Delete(upTo(n), 10, 61)
	if got := drain(t, s, size); !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if st := checkBalance(t, s); st.Corrupt != points(upTo(n))-points(want) {
		t.Errorf("%d points counted as corrupt, want %d", st.Corrupt, points(upTo(n))-points(want))
	}
}

// TestMisdirectedWrite finds a whole record in the place of another.
func TestMisdirectedWrite(t *testing.T) {
	const size = 40
	name, b := image(t, 4, size, true)
	copy(b[2*(headerBytes+size):], b[:headerBytes+size])
	s := reopen(t, t.TempDir(), name, b)
	if got, want := drain(t, s, size), []uint64{1, 2, 4}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if st := checkBalance(t, s); st.Corrupt != rec(3, 0).Items {
		t.Errorf("%d points counted as corrupt, want %d", st.Corrupt, rec(3, 0).Items)
	}
}
