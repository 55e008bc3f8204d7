package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var background = context.Background()

func unavailable(t testing.TB, err, cause error) {
	t.Helper()
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, cause) {
		t.Fatalf("got error %v, want unavailable because of %v", err, cause)
	}
}

// TestDiskFull has a full disk evict nothing, serve what is there, and take
// records again by itself.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []error
		s, d := testSpool(t, t.TempDir(), Config{Notify: func(err error) { told = append(told, err) }})
		ctx, stop := context.WithCancel(background)
		go func() { _ = s.Run(ctx) }()
		appendAll(t, s, 1, 20, 1000)
		d.set(func() { d.limited, d.room = true, 1500 })
		must(t, s.Append(rec(21, 1000)))
		unavailable(t, s.Append(rec(22, 1000)), syscall.ENOSPC)
		for range 100 {
			unavailable(t, s.Append(rec(22, 1000)), syscall.ENOSPC)
			time.Sleep(time.Second)
		}
		s.mu.Lock()
		owed := s.owed
		s.mu.Unlock()
		if owed != 0 {
			t.Errorf("%d bytes from before the disk was full are not synced", owed)
		}
		if st := checkBalance(t, s); st.Records != 21 || st.Evicted+st.Corrupt != 0 {
			t.Errorf("a full disk cost records: %+v", st)
		}
		d.set(func() { d.limited = false })
		time.Sleep(probeMax)
		must(t, s.Append(rec(22, 1000)))
		if len(told) != 2 || !errors.Is(told[0], syscall.ENOSPC) || told[1] != nil {
			t.Errorf("Notify was told %v", told)
		}
		if got := drain(t, s, 1000); !slices.Equal(got, upTo(22)) {
			t.Errorf("read %v", got)
		}
		checkBalance(t, s)
		stop()
		synctest.Wait()
	})
}

// TestTornWrite has half a record on a full disk cost nothing after a restart.
func TestTornWrite(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 3, 1000)
	d.limited, d.room = true, 700
	unavailable(t, s.Append(rec(4, 1000)), syscall.ENOSPC)
	_ = s.Close(background) // has no room for a ledger, which nobody needs yet
	s, _ = testSpool(t, dir, Config{})
	if got := drain(t, s, 1000); !slices.Equal(got, upTo(3)) {
		t.Errorf("read %v", got)
	}
	if st := checkBalance(t, s); st.Corrupt != 0 {
		t.Errorf("%d points counted as corrupt", st.Corrupt)
	}
}

// TestMakeRoom gives up one segment to a full disk, and none for other causes.
func TestMakeRoom(t *testing.T) {
	s, d := testSpool(t, t.TempDir(), Config{MaxBytes: 5000})
	appendAll(t, s, 1, 3, 900)
	must(t, s.MakeRoom())
	d.writeErr = syscall.EROFS
	unavailable(t, s.Append(rec(4, 900)), syscall.EROFS)
	unavailable(t, s.MakeRoom(), syscall.EROFS)
	if st := checkBalance(t, s); st.Evicted != 0 {
		t.Fatalf("%d points evicted from a read-only disk", st.Evicted)
	}
	d.writeErr = nil
	must(t, s.MakeRoom())
	d.free, s.cfg.MinFree = 1<<20, 2<<20
	unavailable(t, s.Append(rec(4, 900)), errLowSpace)
	unavailable(t, s.MakeRoom(), errLowSpace)
	if st := checkBalance(t, s); st.Evicted != rec(1, 0).Items {
		t.Errorf("%d points evicted, want those of one segment: %d", st.Evicted, rec(1, 0).Items)
	}
	d.free = 0
	must(t, s.MakeRoom())
	must(t, s.Append(rec(4, 900)))
	if got := drain(t, s, 900); !slices.Equal(got, []uint64{2, 3, 4}) {
		t.Errorf("read %v", got)
	}
}

// TestMinFree stops before the disk is full.
func TestMinFree(t *testing.T) {
	s, d := testSpool(t, t.TempDir(), Config{MinFree: 1 << 20})
	must(t, s.Append(rec(1, 1000)))
	d.free = 1<<20 + 500
	unavailable(t, s.Append(rec(2, 1000)), errLowSpace)
	if st := checkBalance(t, s); st.Records != 1 {
		t.Errorf("%d records wait, want 1", st.Records)
	}
	d.free = 2 << 20
	s.retry()
	must(t, s.Append(rec(2, 1000)))
}

// TestNoFreeSpaceKnown works without the guard where statfs says 0, as that of
// a tmpfs without a limit does.
func TestNoFreeSpaceKnown(t *testing.T) {
	s, d := testSpool(t, t.TempDir(), Config{})
	d.free = -1
	appendAll(t, s, 1, 2, 1000)
	refuse(t, s, rec(1, 1000), "400")
	s.down(syscall.EIO)
	s.retry()
	must(t, s.Append(rec(3, 1000)))
}

// TestFailedSync rewrites what an fsync did not cover to another file, once.
func TestFailedSync(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 5, 100)
	must(t, s.Sync(background))
	appendAll(t, s, 6, 10, 100)
	s.Ack(named(7, 8), 0)
	fail := true
	d.syncHook = func(string) {
		d.syncErr = nil
		if fail {
			d.syncErr, fail = syscall.EIO, false
		}
	}
	must(t, s.Sync(background))
	if st := checkBalance(t, s); st.Cause != nil || st.Records != 9 {
		t.Errorf("after one failed fsync: %+v", st)
	}
	if n := len(files(t, dir, segmentSuffix)); n != 2 {
		t.Errorf("%d segments, want the old and the new one", n)
	}
	if l, err := readLedger(d); err != nil || l.totals.delivered != rec(8, 0).Items {
		t.Errorf("the ledger has %d points delivered (%v), want those of record 8", l.totals.delivered, err)
	}
	// As if the process died: nothing more is written.
	other, _ := testSpool(t, copyDir(t, dir), Config{})
	want := slices.Delete(upTo(10), 7, 8)
	if got := drain(t, other, 100); !slices.Equal(got, want) {
		t.Errorf("after a crash read %v, want %v", got, want)
	}
	if got := drain(t, s, 100); !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if st := checkBalance(t, s); st.Appended != points(upTo(10)) {
		t.Errorf("%d points appended, want %d", st.Appended, points(upTo(10)))
	}
}

// TestBrokenDisk keeps un-synced records in memory while fsync fails again and
// again, serves them, and writes them when it works.
func TestBrokenDisk(t *testing.T) {
	for _, part := range []string{"file", "directory"} {
		t.Run(part, func(t *testing.T) {
			dir := t.TempDir()
			s, d := testSpool(t, dir, Config{})
			appendAll(t, s, 1, 5, 100)
			if part == "file" {
				d.syncErr = syscall.EIO
			} else {
				d.dirErr = syscall.EIO
			}
			for range 3 {
				s.tick()
				s.retry()
			}
			unavailable(t, s.Append(rec(6, 100)), syscall.EIO)
			if err := s.Sync(background); !errors.Is(err, syscall.EIO) {
				t.Errorf("Sync of what is in memory alone: %v", err)
			}
			d.readErr = syscall.EIO
			r, err := s.Oldest(0, nil)
			must(t, err)
			must(t, sameRecord(r, rec(1, 100)))
			s.Ack(named(7, 1), 0)
			checkBalance(t, s)
			d.syncErr, d.dirErr, d.readErr = nil, nil, nil
			s.retry()
			must(t, s.Append(rec(6, 100)))
			must(t, s.Close(background))
			s, _ = testSpool(t, dir, Config{})
			if got := drain(t, s, 100); !slices.Equal(got, []uint64{2, 3, 4, 5, 6}) {
				t.Errorf("read %v", got)
			}
			if st := checkBalance(t, s); st.Appended != points(upTo(6)) {
				t.Errorf("%d points appended, want %d", st.Appended, points(upTo(6)))
			}
		})
	}
}

// TestAlwaysRefuses has Append with FsyncAlways keep nothing that it could not
// sync.
func TestAlwaysRefuses(t *testing.T) {
	s, d := testSpool(t, t.TempDir(), Config{Fsync: FsyncAlways})
	must(t, s.Append(rec(1, 100)))
	d.syncErr = syscall.EIO
	unavailable(t, s.Append(rec(2, 100)), syscall.EIO)
	if st := checkBalance(t, s); st.Records != 1 || st.Appended != rec(1, 0).Items {
		t.Errorf("a refused record counts: %+v", st)
	}
	d.syncErr = nil
	s.retry()
	must(t, s.Append(rec(2, 100)))
	if got := drain(t, s, 100); !slices.Equal(got, upTo(2)) {
		t.Errorf("read %v", got)
	}
}

// TestSlowSync has a slow fsync delay no Append and no reader.
func TestSlowSync(t *testing.T) {
	s, d := testSpool(t, t.TempDir(), Config{})
	must(t, s.Append(rec(1, 100)))
	entered, release := make(chan struct{}), make(chan struct{})
	d.syncHook = func(string) { entered <- struct{}{}; <-release }
	done := make(chan struct{})
	go func() { s.tick(); close(done) }()
	<-entered
	// Each of these would wait for ever if it waited for the fsync.
	must(t, s.Append(rec(2, 100)))
	_, err := s.Oldest(0, nil)
	must(t, err)
	s.Ack(named(7, 1), 0)
	s.Lose("queue_full", 1)
	checkBalance(t, s)
	ctx, cancel := context.WithTimeout(background, time.Millisecond)
	defer cancel()
	if err := s.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sync behind a slow fsync: %v", err)
	}
	go func() {
		for range entered {
		}
	}()
	close(release)
	<-done
	must(t, s.Close(background))
	close(entered)
}

// TestIdleTail syncs the last record a second after it came, and then leaves
// the disk alone.
func TestIdleTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := testSpool(t, t.TempDir(), Config{})
		ctx, stop := context.WithCancel(background)
		go func() { _ = s.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(d.writes) != 0 || s.Stats().Fsyncs != 0 {
			t.Errorf("an idle spool wrote %v", d.writes)
		}
		must(t, s.Append(rec(1, 100)))
		time.Sleep(syncEvery + time.Millisecond)
		synctest.Wait()
		if s.owed != 0 {
			t.Errorf("%d bytes not synced after a second", s.owed)
		}
		before := fmt.Sprint(d.writes, s.Stats().Fsyncs)
		time.Sleep(time.Hour)
		synctest.Wait()
		if after := fmt.Sprint(d.writes, s.Stats().Fsyncs); after != before {
			t.Errorf("an idle spool went on writing: %s, then %s", before, after)
		}
		stop()
		synctest.Wait()
	})
}

// TestOwedIsBounded syncs in Append when copies pile up and Run is late.
func TestOwedIsBounded(t *testing.T) {
	s, _ := testSpool(t, t.TempDir(), Config{})
	for seq := range uint64(100) {
		must(t, s.Append(rec(seq, 50_000)))
		if s.owed > maxOwed+60_000 {
			t.Fatalf("%d bytes of copies", s.owed)
		}
	}
}

// TestFullLedger counts losses while no byte more fits on the disk.
func TestFullLedger(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{})
	must(t, s.Append(rec(1, 100)))
	must(t, s.Sync(background))
	d.limited, d.room = true, 0
	for i := range 60 {
		s.Lose(fmt.Sprintf("%s_%02d", strings.Repeat("long_reason", 4), i), 1)
	}
	must(t, s.Sync(background))
	l, err := readLedger(d)
	must(t, err)
	var sum int64
	for _, n := range l.losses {
		sum += n
	}
	if sum != 60 {
		t.Errorf("%d points in the ledger, want 60", sum)
	}
}

// TestLossesWithoutADisk has Sync and Close tell when they could not write what
// was counted.
func TestLossesWithoutADisk(t *testing.T) {
	dir := t.TempDir()
	first, _ := testSpool(t, dir, Config{})
	second, _ := testSpool(t, dir, Config{})
	must(t, second.Sync(background))
	second.Lose("queue_full", 1)
	unavailable(t, second.Sync(background), errLocked)
	unavailable(t, second.Close(background), errLocked)
	must(t, first.Close(background))
}

// copyDir copies the spool's files but for the lock, as a crash leaves them.
func copyDir(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// TestSyncAfterCrash syncs what a killed process may have left to the kernel:
// segment, directory and, where there is one, ledger.
func TestSyncAfterCrash(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	must(t, s.Append(rec(1, 100)))
	crashed, _ := testSpool(t, copyDir(t, dir), Config{})
	must(t, s.Close(background))
	closed, _ := testSpool(t, dir, Config{})
	if a, b := crashed.Stats().Fsyncs, closed.Stats().Fsyncs; a != 2 || b != 3 {
		t.Errorf("%d fsyncs after a crash and %d after a close, want 2 and 3", a, b)
	}
}

// listHook calls hook whenever somebody lists dead/.
type listHook struct {
	*faultFS
	hook func()
}

func (d *listHook) List(dir string) ([]string, error) {
	if dir == deadDir {
		d.hook()
	}
	return d.faultFS.List(dir)
}

// TestAppendWhileMounting appends as soon as the spool says that it is usable.
func TestAppendWhileMounting(t *testing.T) {
	dir := t.TempDir()
	first, _ := testSpool(t, dir, Config{})
	hook := func() {}
	s := open(Config{Dir: dir, MaxBytes: 1 << 20}, &listHook{&faultFS{osFS: osFS(dir)}, func() { hook() }})
	must(t, first.Close(background))
	seq := uint64(0)
	hook = func() {
		if s.Stats().Cause == nil {
			seq++
			must(t, s.Append(rec(seq, 100)))
		}
	}
	s.retry()
	if got := drain(t, s, 100); !slices.Equal(got, upTo(seq)) || seq == 0 {
		t.Errorf("read %v, want %v", got, upTo(seq))
	}
	must(t, s.Close(background))
}
