package spool

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestUnreadable tells a disk that cannot be read from a record that cannot.
func TestUnreadable(t *testing.T) {
	s, d := testSpool(t, t.TempDir(), Config{})
	appendAll(t, s, 1, 3, 100)
	must(t, s.Sync(background))
	d.readErr, d.writeErr = syscall.EIO, syscall.EIO
	for range 5 {
		_, err := s.Oldest(0, nil)
		unavailable(t, err, syscall.EIO)
		s.retry()
	}
	if st := checkBalance(t, s); st.Records != 3 {
		t.Errorf("a disk that is away cost records: %+v", st)
	}
	d.writeErr = nil
	s.retry()
	_, err := s.Oldest(0, nil)
	unavailable(t, err, syscall.EIO)
	d.readErr = nil
	s.retry()
	if got := drain(t, s, 100); !slices.Equal(got, []uint64{2, 3}) {
		t.Errorf("read %v, want all but the one that failed twice", got)
	}
	if st := checkBalance(t, s); st.Corrupt != rec(1, 0).Items {
		t.Errorf("%d points counted as corrupt, want %d", st.Corrupt, rec(1, 0).Items)
	}
}

// TestRemovedDirectory goes on after somebody removed the directory: what was
// in memory is written anew, the rest is counted.
func TestRemovedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "spool")
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 3, 100)
	must(t, s.Sync(background))
	appendAll(t, s, 4, 6, 100)
	must(t, os.RemoveAll(dir))
	s.tick()
	s.retry()
	must(t, s.Append(rec(7, 100)))
	if got := drain(t, s, 100); !slices.Equal(got, []uint64{4, 5, 6, 7}) {
		t.Errorf("read %v", got)
	}
	if st := checkBalance(t, s); st.Corrupt != points(upTo(3)) || st.Cause != nil {
		t.Errorf("after the directory was removed: %+v", st)
	}
	must(t, s.Sync(background))
	if l, err := readLedger(osFS(dir)); err != nil || l.totals.corrupt != points(upTo(3)) {
		t.Errorf("the new ledger says %+v (%v)", l.totals, err)
	}
}

// TestRemovedDirectoryUnsynced finds out within a tick even if it never syncs.
func TestRemovedDirectoryUnsynced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s, _ := testSpool(t, dir, Config{Fsync: FsyncNever})
	appendAll(t, s, 1, 3, 100)
	must(t, os.RemoveAll(dir))
	s.tick()
	must(t, s.Append(rec(4, 100)))
	if got := drain(t, s, 100); !slices.Equal(got, []uint64{4}) {
		t.Errorf("read %v", got)
	}
	if st := checkBalance(t, s); st.Corrupt != points(upTo(3)) {
		t.Errorf("%d points counted as corrupt, want %d", st.Corrupt, points(upTo(3)))
	}
}

// TestStuckRemoval counts a segment that cannot be unlinked once, also over
// restarts, and goes on when it can.
func TestStuckRemoval(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{MaxBytes: 3500})
	appendAll(t, s, 1, 3, 900)
	d.removeErr = syscall.EPERM
	unavailable(t, s.Append(rec(4, 900)), syscall.EPERM)
	lost := checkBalance(t, s).Evicted
	for range 3 {
		s.retry()
		unavailable(t, s.Append(rec(4, 900)), syscall.EPERM)
	}
	_ = s.Close(background)
	s, _ = testSpool(t, dir, Config{MaxBytes: 3500})
	must(t, s.Append(rec(4, 900)))
	if st := checkBalance(t, s); st.Evicted != lost || lost != rec(1, 0).Items {
		t.Errorf("%d points evicted, want %d", st.Evicted, lost)
	}
	if got := drain(t, s, 900); !slices.Equal(got, []uint64{2, 3, 4}) {
		t.Errorf("read %v", got)
	}
}

// TestLedgerBeforeRemoval finds each eviction in the ledger before the segment
// is gone.
func TestLedgerBeforeRemoval(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{MaxBytes: 3500})
	appendAll(t, s, 1, 3, 900)
	must(t, s.Sync(background))
	asked := false
	d.syncHook = func(name string) {
		asked = asked || name == ledgerName
		if n := len(files(t, dir, segmentSuffix)); n != 3 {
			t.Errorf("%d segments while the ledger is not durable, want 3", n)
		}
	}
	must(t, s.Append(rec(4, 900)))
	if !asked {
		t.Error("the ledger was not synced")
	}
	if l, err := readLedger(d); err != nil || l.totals.evicted != rec(1, 0).Items {
		t.Errorf("ledger says %d evicted (%v)", l.totals.evicted, err)
	}
}

// TestLedgerSparesItsNewestSlot has the write after a removal that failed go to
// the other slot: were it torn in place, the count of what did get removed
// would be gone.
func TestLedgerSparesItsNewestSlot(t *testing.T) {
	s, d := testSpool(t, t.TempDir(), Config{MaxBytes: 3500})
	appendAll(t, s, 1, 3, 900)
	must(t, s.Sync(background))
	d.removeErr = syscall.EPERM
	unavailable(t, s.Append(rec(4, 900)), syscall.EPERM)
	before, err := readLedger(d)
	must(t, err)
	s.retry()
	after, err := readLedger(d)
	must(t, err)
	if after.generation != before.generation+1 || after.totals != before.totals {
		t.Errorf("generation %d %+v was followed by %d %+v", before.generation, before.totals, after.generation, after.totals)
	}
}

// TestReplacedDirectory has a spool whose directory another process made anew
// touch nothing in it, and go on when that one is gone.
func TestReplacedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s, _ := testSpool(t, dir, Config{})
	must(t, os.RemoveAll(dir))
	other, _ := testSpool(t, dir, Config{})
	must(t, other.Append(rec(1, 100)))
	other.Lose("theirs", 5)
	must(t, other.Sync(background))
	want := files(t, dir, "")

	unavailable(t, s.Append(rec(2, 100)), errLost)
	if err := s.writeLetter([]gathered{{}}); err != errLost { //nolint:errorlint // itself
		t.Errorf("a dead letter: %v", err)
	}
	s.Lose("ours", 7)
	s.retry()
	unavailable(t, s.Append(rec(2, 100)), errLocked)
	if got := files(t, dir, ""); !slices.Equal(got, want) {
		t.Errorf("the directory of the other holds %v, want %v", got, want)
	}
	if l, err := readLedger(osFS(dir)); err != nil || l.losses["theirs"] != 5 || l.losses["ours"] != 0 {
		t.Errorf("the ledger of the other says %v (%v)", l.losses, err)
	}

	must(t, other.Close(background))
	s.retry()
	must(t, s.Append(rec(2, 100)))
	checkBalance(t, s)
}

// TestCloseAfterRemovedDirectory counts what the directory took with it also
// when nobody has asked for it before the end.
func TestCloseAfterRemovedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 6, 100)
	s.Ack(named(7, 2), 0)
	must(t, s.Sync(background))
	appendAll(t, s, 7, 9, 100)
	s.Ack(named(7, 8), 0)
	must(t, os.RemoveAll(dir))
	must(t, s.Close(background))
	s, _ = testSpool(t, dir, Config{})
	st := checkBalance(t, s)
	if want := points([]uint64{1, 3, 4, 5, 6}); st.Corrupt != want || st.Appended != points(upTo(9)) || st.Delivered != points([]uint64{2, 8}) {
		t.Errorf("want %d points lost of %d: %+v", want, points(upTo(9)), st)
	}
	if got := drain(t, s, 100); !slices.Equal(got, []uint64{7, 9}) {
		t.Errorf("read %v, want what was in memory", got)
	}
}

// TestLedgerAfterAFailedFsync removes the ledger, and has the second try to make
// it anew win over what the first one wrote to both slots.
func TestLedgerAfterAFailedFsync(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{})
	s.Lose("queue_full", 1)
	must(t, s.Sync(background))
	must(t, os.Remove(filepath.Join(dir, ledgerName)))
	s.Lose("queue_full", 1)
	d.syncErr = syscall.EIO
	if err := s.Sync(background); err == nil {
		t.Fatal("Sync without an fsync succeeded")
	}
	d.syncErr = nil
	s.Lose("queue_full", 1)
	must(t, s.Sync(background))
	if l, err := readLedger(osFS(dir)); err != nil || l.losses["queue_full"] != 3 {
		t.Errorf("the ledger says %v (%v), want 3 lost", l.losses, err)
	}
}

// brokenDir is a disk whose directory cannot be synced for a while.
type brokenDir struct {
	*memFS
	broken bool
}

func (d *brokenDir) SyncDir(dir string) error {
	if d.broken {
		return syscall.EIO
	}
	return d.memFS.SyncDir(dir)
}

// TestLedgerNameAfterAFailedFsync has a Sync that succeeds in the end make the
// name of the ledger durable too.
func TestLedgerNameAfterAFailedFsync(t *testing.T) {
	d := &brokenDir{newMemFS(rand.New(rand.NewPCG(1, 1))), true}
	s := open(Config{MaxBytes: 1 << 20}, d)
	s.Lose("queue_full", 1)
	if err := s.Sync(background); err == nil {
		t.Fatal("Sync without an fsync of the directory succeeded")
	}
	d.broken = false
	must(t, s.Sync(background))
	if d.durable[ledgerName] == nil {
		t.Error("a power cut takes the ledger")
	}
}
