package collect_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/rs/zerolog"
)

// many adds n points in each tick, and waits where the test says so.
type many struct {
	name string
	n    int
	wait func()
}

func (m many) Name() string { return m.name }

func (m many) Collect(_ context.Context, s *metric.Snapshot) error {
	for i := range m.n {
		s.Int(&fakeGauge, 1, metric.L("by", fmt.Sprint(m.name, i)))
	}
	if m.wait != nil {
		m.wait()
	}
	return nil
}

// sent counts a tick's points, except the scheduler's own.
func sent(k tick) (n int64) {
	for name := range k {
		if strings.HasPrefix(name, fakeGauge.Name) {
			n++
		}
	}
	return n
}

// TestEveryPointIsSentOrCounted has a collector that exceeds the limit on
// series by itself, collectors that exceed it together, and one that answers
// too late.
func TestEveryPointIsSentOrCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := 0
		late := many{"late", 45, func() {
			if call++; call == 2 {
				time.Sleep(12 * time.Second)
			}
		}}
		list := []collect.Collector{late, many{name: "a", n: 70}, many{name: "b", n: 20}}
		k := &sink{}
		cfg := collect.Config{Interval: 5 * time.Second, MaxSeries: 40}
		s := collect.NewScheduler(cfg, list, k, zerolog.Nop())
		check(t, s.Take(t.Context(), 6, cfg.Interval))
		// The second call of late affects three ticks: its points came too late
		// for the first, and it was not called in the other two.
		var put int64
		for _, tick := range k.ticks {
			put += sent(tick)
		}
		const produced = 6*(70+20) + 3*45
		if dropped := s.Stats().DroppedPoints; put != 6*40-3*40 || put+dropped != produced {
			t.Errorf("%d points sent and %d dropped, want %d together", put, dropped, produced)
		}
		if timeouts := s.Stats().Collectors[0].Timeouts; timeouts != 3 {
			t.Errorf("%d timeouts, want 3", timeouts)
		}
	})
}

// TestNoGoroutineStays ends Run and Take while a collector hangs, lets the
// collector return, and counts goroutines. It does not use a bubble, which
// would wait for its goroutines itself.
func TestNoGoroutineStays(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, how := range []func(*collect.Scheduler) error{
		func(s *collect.Scheduler) error { return s.Take(t.Context(), 3, 4*time.Millisecond) },
		func(s *collect.Scheduler) error {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			return s.Run(ctx)
		},
	} {
		release := make(chan bool)
		hung := fake{"hung", func(context.Context) error { <-release; return nil }}
		cfg := collect.Config{Interval: 4 * time.Millisecond}
		s := collect.NewScheduler(cfg, []collect.Collector{hung, fake{name: "well"}}, &sink{}, zerolog.Nop())
		check(t, how(s))
		awaitGoroutines(t, before+1) // the goroutine of the hung collector
		close(release)
		awaitGoroutines(t, before)
	}
}

// awaitGoroutines waits until at most n goroutines are left. A goroutine that
// has ended is counted a moment longer.
func awaitGoroutines(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left, want %d", runtime.NumGoroutine(), n)
		}
	}
}
