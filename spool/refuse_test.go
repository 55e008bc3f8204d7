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
