package spool

import (
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// refuseBeside appends record 2, whose fsync fails and goes on failing, and
// record 3 while that fsync is under way. Fsyncs of other segments succeed.
func refuseBeside(t *testing.T, perSegment int64) (s *Spool, d *faultFS, second, third error) {
	dir := t.TempDir()
	s, d = testSpool(t, dir, Config{Fsync: FsyncAlways})
	s.segmentBytes = perSegment*(headerBytes+500) + headerBytes
	must(t, s.Append(rec(1, 500)))
	first := filepath.Base(files(t, dir, segmentSuffix)[0])
	var beside sync.WaitGroup
	var once sync.Once
	d.syncHook = func(name string) { // called by one at a time
		d.syncErr = nil
		if name != first && name != probeName {
			return
		}
		d.syncErr = syscall.EIO
		once.Do(func() {
			beside.Go(func() { third = s.Append(rec(3, 500)) })
			for s.Stats().Records < 3 {
				time.Sleep(time.Millisecond)
			}
		})
	}
	second = s.Append(rec(2, 500))
	beside.Wait()
	d.syncHook, d.syncErr = nil, nil
	return s, d, second, third
}

// TestAlwaysBesideAFailedSync has Append with FsyncAlways refuse a record that
// is in a segment which another call gave up meanwhile.
func TestAlwaysBesideAFailedSync(t *testing.T) {
	s, _, second, third := refuseBeside(t, 3)
	unavailable(t, second, syscall.EIO)
	unavailable(t, third, syscall.EIO)
	if st := checkBalance(t, s); st.Appended != points(upTo(1)) {
		t.Errorf("refused records count: %+v", st)
	}
}

// TestRefusedIsNotMissing has a record refused that the next segment's name, or
// the ledger, counts already: nothing of it is missing later.
func TestRefusedIsNotMissing(t *testing.T) {
	s, _, second, third := refuseBeside(t, 2)
	unavailable(t, second, syscall.EIO)
	must(t, third)
	s.retry()
	must(t, s.Close(background))
	for range 2 {
		sum, err := Inspect(background, Query{Dir: s.cfg.Dir, Segments: true}, func(Finding) error { return nil })
		must(t, err)
		s, _ = testSpool(t, s.cfg.Dir, Config{})
		if st := checkBalance(t, s); st.Corrupt != 0 || st.Appended != points([]uint64{1, 3}) || sum.Damages != 0 {
			t.Errorf("a refused record counts: %+v, %+v", st, sum)
		}
		must(t, s.Close(background))
	}
}
