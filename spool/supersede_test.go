package spool

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestRecordsThatWereWrittenAgain kills a process between the writing of records
// whose fsync failed to a new segment and the cutting of the old one, and each
// later process too: every record waits once, and counts once.
func TestRecordsThatWereWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	kill := func() string { // what it leaves
		copied := t.TempDir()
		must(t, os.CopyFS(copied, os.DirFS(dir)))
		return copied
	}
	s, d := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 1, 500)
	must(t, s.Sync(background))
	appendAll(t, s, 2, 4, 500)
	d.syncErr = syscall.EIO
	if err := s.Sync(background); err == nil {
		t.Fatal("no fsync failed")
	}
	old, left := files(t, dir, segmentSuffix), ""
	d.syncErr, d.syncHook = nil, func(name string) {
		if left == "" && strings.HasSuffix(name, segmentSuffix) && !strings.HasSuffix(old[0], name) {
			left = kill()
		}
	}
	s.retry()
	if left == "" {
		t.Fatal("nothing was written again")
	}
	for _, step := range []struct {
		want []uint64
		ack  uint64 // then
	}{{upTo(4), 2}, {[]uint64{1, 3, 4}, 4}, {[]uint64{1, 3}, 1}, {[]uint64{3}, 3}, {nil, 0}} {
		dir = left
		s, _ = testSpool(t, dir, Config{})
		got := s.Waiting()
		slices.Sort(got)
		if !slices.Equal(got, step.want) {
			t.Fatalf("%v wait, want %v", got, step.want)
		}
		if st := checkBalance(t, s); st.Appended != points(upTo(4)) || st.Corrupt != 0 {
			t.Errorf("before the ack of %d: %+v", step.ack, st)
		}
		s.Ack(named(7, step.ack), 0)
		must(t, s.Sync(background))
		left = kill()
	}
}

// TestARecordOfOneTick waits, although what a draft had of it is in a newer file.
func TestARecordOfOneTick(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 1, 500)
	must(t, s.Draft(rec(2, 500), 0))
	appendAll(t, s, 2, 2, 500)
	killed := t.TempDir()
	must(t, os.CopyFS(killed, os.DirFS(dir)))
	s, _ = testSpool(t, killed, Config{})
	if got := s.Waiting(); !slices.Equal(got, upTo(2)) {
		t.Errorf("%v wait, want 1 and 2", got)
	}
	checkBalance(t, s)
}
