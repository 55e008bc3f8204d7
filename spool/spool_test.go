package spool_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/spool"
)

var background = context.Background()

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openSpool(t testing.TB, cfg spool.Config) *spool.Spool {
	t.Helper()
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 64 << 20
	}
	s := spool.Open(cfg)
	t.Cleanup(func() { _ = s.Close(background) })
	return s
}

// named is the whole record of that name.
func named(epoch, seq uint64) spool.ID { return spool.ID{Epoch: epoch, Seq: seq} }

func record(seq uint64, size int) spool.Record {
	p := bytes.Repeat([]byte{byte(seq)}, max(8, size))
	binary.LittleEndian.PutUint64(p, seq)
	return spool.Record{ID: named(3, seq), Items: 10, TimeMS: time.Now().UnixMilli(), Payload: p}
}

// drain acks everything and returns what it read.
func drain(t testing.TB, s *spool.Spool) (seqs []uint64) {
	t.Helper()
	for {
		r, err := s.Oldest(0, nil)
		if errors.Is(err, spool.ErrEmpty) {
			return seqs
		}
		must(t, err)
		if got := binary.LittleEndian.Uint64(r.Payload); got != r.Seq {
			t.Fatalf("record %d carries the payload of %d", r.Seq, got)
		}
		seqs = append(seqs, r.Seq)
		s.Ack(r.ID, 0)
	}
}

func balanced(t testing.TB, s *spool.Spool) spool.Stats {
	t.Helper()
	st := s.Stats()
	if st.Appended != st.Delivered+st.Evicted+st.Expired+st.Corrupt+st.Dead+st.Points {
		t.Fatalf("totals do not add up: %+v", st)
	}
	return st
}

func TestAppendReadAck(t *testing.T) {
	for _, mode := range []spool.Fsync{spool.FsyncInterval, spool.FsyncAlways, spool.FsyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "not", "there", "yet")
			s := openSpool(t, spool.Config{Dir: dir, Fsync: mode})
			if _, err := s.Oldest(0, nil); !errors.Is(err, spool.ErrEmpty) {
				t.Fatalf("Oldest of a new spool: %v", err)
			}
			for seq := range uint64(10) {
				must(t, s.Append(record(seq, int(seq)*1000)))
			}
			s.Ack(named(3, 4), 0)
			s.Ack(named(3, 0), 0)
			s.Ack(named(3, 99), 0)
			s.Ack(named(9, 5), 0)
			must(t, s.Close(background))
			must(t, s.Close(background))
			if err := s.Append(record(10, 1)); !errors.Is(err, spool.ErrUnavailable) {
				t.Errorf("Append after Close: %v", err)
			}
			if _, err := s.Oldest(0, nil); !errors.Is(err, spool.ErrUnavailable) {
				t.Errorf("Oldest after Close: %v", err)
			}

			s = openSpool(t, spool.Config{Dir: dir, Fsync: mode})
			must(t, s.Append(record(10, 1)))
			st := balanced(t, s)
			if st.Records != 9 || st.Points != 90 || st.Delivered != 20 || st.Appended != 110 || st.OldestMS == 0 {
				t.Errorf("after opening again: %+v", st)
			}
			if got := drain(t, s); !slices.Equal(got, []uint64{1, 2, 3, 5, 6, 7, 8, 9, 10}) {
				t.Errorf("read %v", got)
			}
			must(t, s.Close(background))
			s = openSpool(t, spool.Config{Dir: dir, Fsync: mode})
			if st := balanced(t, s); st.Delivered != 110 || st.DiskBytes != 0 {
				t.Errorf("after everything was delivered: %+v", st)
			}
		})
	}
}

// TestAnySize takes payloads around every size that matters, and gives them
// back after opening again.
func TestAnySize(t *testing.T) {
	dir := t.TempDir()
	const cap = 4 << 20
	s := openSpool(t, spool.Config{Dir: dir, MaxBytes: cap})
	sizes := []int{0, 1, 255<<10 - 128, 256<<10 - 128, 256<<10 - 127, 1 << 20}
	for i, size := range sizes {
		must(t, s.Append(spool.Record{ID: named(1, uint64(i)), Payload: bytes.Repeat([]byte{byte(i)}, size)}))
	}
	for _, r := range []spool.Record{
		{Payload: make([]byte, cap)},
		{Items: -1},
		{Items: math.MaxUint32 + 1},
	} {
		if err := s.Append(r); !errors.Is(err, spool.ErrTooLarge) {
			t.Errorf("Append of %d bytes and %d points: %v", len(r.Payload), r.Items, err)
		}
	}
	must(t, s.Close(background))
	s = openSpool(t, spool.Config{Dir: dir, MaxBytes: cap})
	for i, size := range sizes {
		r, err := s.Oldest(0, nil)
		must(t, err)
		if r.Seq != uint64(i) || !bytes.Equal(r.Payload, bytes.Repeat([]byte{byte(i)}, size)) {
			t.Errorf("record %d of %d bytes came back as %d of %d", i, size, r.Seq, len(r.Payload))
		}
		s.Ack(r.ID, 0)
	}
}

// TestEviction stays under the cap at every moment and gives up the oldest.
func TestEviction(t *testing.T) {
	dir := t.TempDir()
	const cap, n = 1 << 20, 3000
	s := openSpool(t, spool.Config{Dir: dir, MaxBytes: cap})
	for seq := range uint64(n) {
		must(t, s.Append(record(seq, 1000)))
		if st := balanced(t, s); st.DiskBytes > cap {
			t.Fatalf("%d bytes on disk", st.DiskBytes)
		}
	}
	var onDisk int64
	found, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	must(t, err)
	for _, name := range found {
		st, err := os.Stat(name)
		must(t, err)
		onDisk += st.Size()
	}
	st := balanced(t, s)
	if onDisk != st.DiskBytes || onDisk > cap || onDisk < cap/2 {
		t.Errorf("%d bytes on disk, %d by Stats, cap %d", onDisk, st.DiskBytes, cap)
	}
	want := []spool.Loss{{Reason: "spool_corrupt"}, {Reason: "spool_dead"}, {Reason: "spool_evicted", Points: st.Evicted}, {Reason: "spool_expired"}}
	if !slices.Equal(s.Losses(), want) {
		t.Errorf("losses are %v, want %v", s.Losses(), want)
	}
	got := drain(t, s)
	if len(got) == 0 || got[len(got)-1] != n-1 || int64(n-len(got))*10 != st.Evicted {
		t.Errorf("%d records left, %d points evicted", len(got), st.Evicted)
	}
	for i, seq := range got {
		if seq != got[0]+uint64(i) {
			t.Fatalf("record %d follows %d", seq, got[i-1])
		}
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cfg := spool.Config{Dir: dir, MaxAge: time.Hour}
		s := openSpool(t, cfg)
		must(t, s.Append(record(1, 10)))
		time.Sleep(40 * time.Minute)
		must(t, s.Append(record(2, 10)))
		must(t, s.Append(record(3, 10)))
		time.Sleep(30 * time.Minute)
		if r, err := s.Oldest(0, nil); err != nil || r.Seq != 2 {
			t.Errorf("oldest young enough is %d (%v), want 2", r.Seq, err)
		}
		if st := balanced(t, s); st.Expired != 10 {
			t.Errorf("%d points expired, want 10", st.Expired)
		}
		ctx, stop := context.WithCancel(background)
		go func() { _ = s.Run(ctx) }()
		time.Sleep(time.Hour)
		if st := balanced(t, s); st.Expired != 30 || st.Records != 0 || st.DiskBytes != 0 {
			t.Errorf("long after: %+v", st)
		}
		stop()
		synctest.Wait()
		must(t, s.Close(background))
		if st := balanced(t, openSpool(t, cfg)); st.Expired != 30 || st.Appended != 30 {
			t.Errorf("after opening again: %+v", st)
		}
	})
}

func TestLose(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, spool.Config{Dir: dir})
	s.Lose("queue_full", 5)
	s.Lose("rejected", 0)
	must(t, s.Close(background))
	// Losses from before the directory was ours are added when it is.
	first := openSpool(t, spool.Config{Dir: dir})
	second := openSpool(t, spool.Config{Dir: dir})
	second.Lose("queue_full", 2)
	second.Lose("bad", 1)
	must(t, first.Close(background))
	must(t, second.MakeRoom())
	must(t, second.Close(background))
	s = openSpool(t, spool.Config{Dir: dir})
	got := slices.DeleteFunc(s.Losses(), func(l spool.Loss) bool { return strings.HasPrefix(l.Reason, "spool_") })
	if want := []spool.Loss{{Reason: "bad", Points: 1}, {Reason: "queue_full", Points: 7}}; !slices.Equal(got, want) {
		t.Errorf("losses are %v, want %v", got, want)
	}
}

// TestLoseTooMuch keeps all other totals.
func TestLoseTooMuch(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		s := openSpool(t, spool.Config{Dir: dir})
		must(t, s.Append(record(1, 10)))
		drain(t, s)
		s.Lose("queue_full", math.MaxInt64)
		must(t, s.Close(background))
	}
	if st := balanced(t, openSpool(t, spool.Config{Dir: dir})); st.Delivered != 30 {
		t.Errorf("%+v", st)
	}
}

func TestPermissions(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "spool")
	mode := func(name string) os.FileMode {
		st, err := os.Stat(name)
		must(t, err)
		return st.Mode().Perm()
	}
	fill := func() {
		s := openSpool(t, spool.Config{Dir: dir})
		must(t, s.Append(record(1, 10)))
		must(t, s.Append(record(2, 10)))
		s.Ack(named(3, 1), 0)
		must(t, s.Close(background))
	}
	check := func(wantDir os.FileMode) {
		t.Helper()
		if got := mode(dir); got != wantDir {
			t.Errorf("directory has mode %o, want %o", got, wantDir)
		}
		found, err := filepath.Glob(filepath.Join(dir, "*"))
		must(t, err)
		if len(found) < 4 {
			t.Errorf("only %v", found)
		}
		for _, name := range found {
			if got := mode(name); filepath.Ext(name) != ".txt" && got != 0o600 {
				t.Errorf("%s has mode %o", name, got)
			}
		}
	}
	fill()
	check(0o700)
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	for _, name := range found {
		must(t, os.Chmod(name, 0o644))
	}
	must(t, os.Chmod(dir, 0o755))
	fill()
	check(0o700)
	// A directory that holds more than a spool may be anybody's.
	must(t, os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o644))
	must(t, os.Chmod(dir, 0o755))
	fill()
	check(0o755)
}

// TestTwins acks the one of two records of the same name that was read.
func TestTwins(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{10, 20} {
		s := openSpool(t, spool.Config{Dir: dir})
		must(t, s.Append(record(1, size)))
		must(t, s.Close(background))
	}
	s := openSpool(t, spool.Config{Dir: dir})
	for _, size := range []int{10, 20} {
		r, err := s.Oldest(0, nil)
		must(t, err)
		if len(r.Payload) != size || !s.Ack(r.ID, 0) {
			t.Errorf("read %d bytes, want %d", len(r.Payload), size)
		}
	}
}
