package collect_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/rs/zerolog"
)

// manyMounts returns a host with n file systems, /m0 to /m(n-1).
func manyMounts(n int) tree {
	var mounts strings.Builder
	for i := range n {
		fmt.Fprintf(&mounts, "%d 1 8:%d / /m%d rw - ext4 /dev/sd%d rw\n", 100+i, i, i, i)
	}
	return tree{"proc/1/mountinfo": mounts.String(), "proc/filesystems": "\text4\n"}
}

// TestAThousandMounts counts how many mounts are queried at once: a few while
// all answer, and as many as are dead when most do not. All dead mounts are
// found in one tick.
func TestAThousandMounts(t *testing.T) {
	const n, dead = 1000, 900
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, manyMounts(n))
		c := h.collectors(collect.Config{}, "filesystem")[0]
		var hang atomic.Bool
		var now, most, asked atomic.Int64
		release := make(chan bool)
		collect.SetStatfs(c, func(path string) (collect.StatfsReply, error) {
			asked.Add(1)
			for busy := now.Add(1); busy > most.Load(); {
				most.Store(busy)
			}
			defer now.Add(-1)
			time.Sleep(time.Microsecond)
			var i int
			if _, err := fmt.Sscanf(path[strings.LastIndex(path, "/m"):], "/m%d", &i); err != nil {
				return collect.StatfsReply{}, err
			}
			if hang.Load() && i < dead {
				<-release
			}
			return h.statfs(path)
		})
		k := &sink{}
		k.after = func(tick int) {
			synctest.Wait()
			wantBusy := map[int]int64{1: 0, 2: dead, 3: dead, 4: 0}[tick]
			if tick == 3 {
				close(release)
				synctest.Wait()
				wantBusy = 0
			}
			if got := now.Load(); got != wantBusy {
				t.Errorf("tick %d leaves %d questions open, want %d", tick, got, wantBusy)
			}
			if got := most.Load(); tick == 1 && got > 8 {
				t.Errorf("%d mounts that answer are asked at once, want a few", got)
			}
			hang.Store(tick < 3)
		}
		s := collect.NewScheduler(collect.Config{}, []collect.Collector{c}, k, zerolog.Nop())
		check(t, s.Take(h.ctx, 4, 5*time.Second))
		for i, want := range []struct{ sent, stuck int64 }{{n, 0}, {n - dead, dead}, {n - dead, dead}, {n, 0}} {
			if got := int64(len(mountPoints(k.ticks[i]))); got != want.sent {
				t.Errorf("tick %d has %d mounts, want %d", i, got, want.sent)
			}
			if got := k.ticks[i]["heka.agent.mounts.stuck"].value.Int64(); got != want.stuck {
				t.Errorf("tick %d: heka.agent.mounts.stuck = %d, want %d", i, got, want.stuck)
			}
		}
		if got, want := asked.Load(), int64(n+n+(n-dead)+n); got != want {
			t.Errorf("mounts were asked %d times, want %d: a dead one once", got, want)
		}
	})
}
