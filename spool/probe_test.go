package spool

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// refusals runs a spool on a disk with little room for ten minutes, offers it a
// record each second, and returns when it was told that the disk is usable.
func refusals(t *testing.T, room int64, size int) (usable []time.Duration) {
	const reserve = 1 << 20
	began := time.Now()
	notify := func(cause error) {
		if cause == nil {
			usable = append(usable, time.Since(began))
		}
	}
	s, d := testSpool(t, t.TempDir(), Config{MinFree: reserve, Notify: notify})
	d.set(func() { d.free = reserve + room })
	ctx, stop := context.WithCancel(background)
	go func() { _ = s.Run(ctx) }()
	r := rec(1, size)
	for range 600 {
		unavailable(t, s.Append(r), errLowSpace)
		time.Sleep(time.Second)
	}
	told := usable
	d.set(func() { d.free = 1 << 40 })
	time.Sleep(probeMax + time.Second)
	must(t, s.Append(r))
	stop()
	synctest.Wait()
	return told
}

// TestProbeNeedsRoomForTheRecord has a disk with room for a page, and not for
// the record that waits, stay unusable.
func TestProbeNeedsRoomForTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if usable := refusals(t, 2*probeBytes, 4*probeBytes); len(usable) != 0 {
			t.Errorf("a disk without room for the record was usable after %v", usable)
		}
	})
}

// TestProbesBecomeRareOnADiskThatKeepsFailing lets each probe pass and each
// record fail.
func TestProbesBecomeRareOnADiskThatKeepsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		usable := refusals(t, maxProbeBytes, 2*maxProbeBytes)
		if len(usable) < 5 {
			t.Fatalf("usable after %v, want each probe to pass", usable)
		}
		for i, want := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, probeMax} {
			last := time.Duration(0)
			if i > 0 {
				last = usable[i-1]
			}
			// Run looks once a second, and the next record comes a second later.
			if wait := usable[i] - last; wait < want || wait > want+2*time.Second {
				t.Errorf("probe %d after %v, want about %v", i, wait, want)
			}
		}
	})
}

// TestProbesStartAnew probes a disk that was usable for long soon again.
func TestProbesStartAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := testSpool(t, t.TempDir(), Config{MinFree: 1 << 20})
		for range 3 {
			d.free = 1
			unavailable(t, s.Append(rec(1, 100)), errLowSpace)
			if wait := time.Until(s.probeAt); wait != probeMin {
				t.Fatalf("first probe in %v, want %v", wait, probeMin)
			}
			s.retry()
			d.free = 1 << 30
			s.retry()
			time.Sleep(steady + time.Second)
		}
	})
}

// TestFsyncThatKeepsFailing probes a disk again and again that passes each
// probe and then fails: neither files nor bytes add up, and nothing is lost.
func TestFsyncThatKeepsFailing(t *testing.T) {
	for what, breakDisk := range map[string]func(d *faultFS){
		"directory": func(d *faultFS) { d.dirErr = syscall.EINVAL },
		"segments": func(d *faultFS) {
			d.syncHook = func(name string) {
				d.syncErr = nil
				if strings.HasSuffix(name, segmentSuffix) {
					d.syncErr = syscall.EIO
				}
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			s, d := testSpool(t, dir, Config{MaxBytes: 1 << 20})
			breakDisk(d)
			appendAll(t, s, 1, 20, 10000)
			s.Ack(named(7, 3), 0)
			for range 50 {
				s.retry()
				checkBalance(t, s)
			}
			var onDisk int64
			for _, name := range files(t, dir, segmentSuffix) {
				st, err := os.Stat(name)
				must(t, err)
				onDisk += st.Size()
			}
			if held := s.Stats().DiskBytes; onDisk > 500_000 || held > 500_000 || len(s.segs) > 3 {
				t.Errorf("%d bytes on disk, %d by the spool's count, in %d segments", onDisk, held, len(s.segs))
			}
			d.dirErr, d.syncErr, d.syncHook = nil, nil, nil
			s.retry()
			want := slices.Delete(upTo(20), 2, 3)
			if got := drain(t, s, 10000); !slices.Equal(got, want) {
				t.Errorf("read %v, want %v", got, want)
			}
			checkBalance(t, s)
		})
	}
}

// TestProbesBecomeRareWhileTheyFail tries a disk that takes nothing less and
// less often.
func TestProbesBecomeRareWhileTheyFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := testSpool(t, t.TempDir(), Config{})
		d.writeErr = syscall.EIO
		_ = s.Append(rec(1, 100))
		for range 600 {
			time.Sleep(time.Second)
			s.tick()
		}
		// After 5, 15, 35, 75, 135, 195, ... seconds.
		probes := slices.DeleteFunc(d.writes, func(name string) bool { return name != probeName })
		if n := len(probes); n < 10 || n > 14 {
			t.Errorf("%d probes in ten minutes, want about 12", n)
		}
	})
}

// TestMakeRoomUnderAQuota gives up a segment as on a full disk.
func TestMakeRoomUnderAQuota(t *testing.T) {
	for _, cause := range []error{syscall.EDQUOT, syscall.ENOSPC} {
		s, d := testSpool(t, t.TempDir(), Config{MaxBytes: 5000})
		appendAll(t, s, 1, 3, 900)
		d.writeErr = cause
		unavailable(t, s.Append(rec(4, 900)), cause)
		unavailable(t, s.MakeRoom(), cause)
		if st := checkBalance(t, s); st.Evicted == 0 {
			t.Errorf("%v: %+v", cause, st)
		}
	}
}
