package spool

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// writtenAgain returns what a process leaves that is killed when records 2 to 4,
// whose fsync failed, are in a new segment too, and the old one, with 1, is not cut
// yet. Record 3 has a note. Before that the process does what before says.
func writtenAgain(t *testing.T, before func(*Spool)) (dir, old, again string) {
	t.Helper()
	s, d := testSpool(t, t.TempDir(), Config{})
	appendAll(t, s, 1, 1, 500)
	must(t, s.Sync(background))
	appendAll(t, s, 2, 4, 500)
	s.Note(named(7, 3), []byte("note"))
	d.syncErr = syscall.EIO
	if err := s.Sync(background); err == nil {
		t.Fatal("no fsync failed")
	}
	old = filepath.Base(files(t, s.cfg.Dir, segmentSuffix)[0])
	d.syncErr, d.syncHook = nil, func(name string) {
		if dir == "" && strings.HasSuffix(name, segmentSuffix) && name != old {
			before(s)
			dir, again = killed(t, s), name
		}
	}
	s.retry()
	if dir == "" {
		t.Fatal("nothing was written again")
	}
	return dir, old, again
}

// killed returns a directory as a kill leaves that of s.
func killed(t *testing.T, s *Spool) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(s.cfg.Dir)))
	return dir
}

func (s *Spool) sorted() []uint64 {
	seqs := s.Waiting()
	slices.Sort(seqs)
	return seqs
}

// TestRecordsThatWereWrittenAgain wait once and count once, also when each later
// process is killed too.
func TestRecordsThatWereWrittenAgain(t *testing.T) {
	dir, _, _ := writtenAgain(t, func(*Spool) {})
	for _, step := range []struct {
		want []uint64
		ack  uint64 // then
	}{{upTo(4), 2}, {[]uint64{1, 3, 4}, 4}, {[]uint64{1, 3}, 1}, {[]uint64{3}, 3}, {nil, 0}} {
		s, _ := testSpool(t, dir, Config{})
		if got := s.sorted(); !slices.Equal(got, step.want) {
			t.Fatalf("%v wait, want %v", got, step.want)
		}
		if st := checkBalance(t, s); st.Appended != points(upTo(4)) || st.Corrupt != 0 {
			t.Errorf("before the ack of %d: %+v", step.ack, st)
		}
		s.Ack(named(7, step.ack), 0)
		must(t, s.Sync(background))
		dir = killed(t, s)
	}
}

// TestRecordsThatWereWrittenAgainAndSettled do not come back, not even if all of
// their segment are settled.
func TestRecordsThatWereWrittenAgainAndSettled(t *testing.T) {
	dir, _, _ := writtenAgain(t, func(s *Spool) {
		for seq := uint64(2); seq <= 4; seq++ {
			s.Ack(named(7, seq), 0)
		}
	})
	s, _ := testSpool(t, dir, Config{})
	if got := s.Waiting(); !slices.Equal(got, upTo(1)) {
		t.Errorf("%v wait, want 1", got)
	}
	if st := checkBalance(t, s); st.Appended != points(upTo(4)) || st.Delivered != points([]uint64{2, 3, 4}) {
		t.Errorf("%+v", st)
	}
}

// TestWrittenAgainButDamaged delivers whichever copy is sound.
func TestWrittenAgainButDamaged(t *testing.T) {
	for seq := 2; seq <= 4; seq++ {
		for _, inNew := range []bool{false, true} {
			dir, old, again := writtenAgain(t, func(*Spool) {})
			path, n := filepath.Join(dir, old), seq-1
			if inNew {
				path, n = filepath.Join(dir, again), seq-2
			}
			b, err := os.ReadFile(path)
			must(t, err)
			b[n*(headerBytes+500)+headerBytes+100]++
			must(t, os.WriteFile(path, b, 0o600))
			s, _ := testSpool(t, dir, Config{})
			got := drain(t, s, 500)
			slices.Sort(got)
			if !slices.Equal(got, upTo(4)) {
				t.Errorf("record %d damaged, in the new segment: %v: %v came, want 1 to 4", seq, inNew, got)
			}
			checkBalance(t, s)
		}
	}
}

// TestANoteThatWasNotWrittenAgain is that of the older copy.
func TestANoteThatWasNotWrittenAgain(t *testing.T) {
	dir, _, again := writtenAgain(t, func(*Spool) {})
	must(t, os.Remove(filepath.Join(dir, strings.TrimSuffix(again, segmentSuffix)+sidecarSuffix)))
	s, _ := testSpool(t, dir, Config{})
	s.WaitingNotes(func(seq uint64, note []byte) {
		if want := map[uint64]string{3: "note"}[seq]; string(note) != want {
			t.Errorf("record %d has the note %q, want %q", seq, note, want)
		}
	})
	if got := s.sorted(); !slices.Equal(got, upTo(4)) {
		t.Errorf("%v wait, want 1 to 4", got)
	}
}

// TestARecordOfOneTick waits, although what a draft had of it is in a newer file.
func TestARecordOfOneTick(t *testing.T) {
	s, _ := testSpool(t, t.TempDir(), Config{})
	appendAll(t, s, 1, 1, 500)
	must(t, s.Draft(rec(2, 500), 0))
	appendAll(t, s, 2, 2, 500)
	s, _ = testSpool(t, killed(t, s), Config{})
	if got := s.Waiting(); !slices.Equal(got, upTo(2)) {
		t.Errorf("%v wait, want 1 and 2", got)
	}
	checkBalance(t, s)
}
