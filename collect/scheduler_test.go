package collect_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/rs/zerolog"
)

var fakeGauge = metric.Desc{Name: "fake.value", Unit: "1", Kind: metric.Gauge}

// fake is a collector that adds one point and does what the test says.
type fake struct {
	name    string
	collect func(ctx context.Context) error
}

func (f fake) Name() string { return f.name }

func (f fake) Collect(ctx context.Context, s *metric.Snapshot) error {
	s.Int(&fakeGauge, 1, metric.L("by", f.name))
	if f.collect == nil {
		return nil
	}
	return f.collect(ctx)
}

// run starts a scheduler and returns a function that stops it and waits.
func run(t *testing.T, s *collect.Scheduler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		check(t, <-done)
	}
}

func (k *sink) times() []int64 {
	var ms []int64
	for _, tick := range k.ticks {
		for _, p := range tick {
			ms = append(ms, p.timeMS)
			break
		}
	}
	return ms
}

func TestPhaseFollowsFromTheKey(t *testing.T) {
	const interval = 5 * time.Second
	now := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	spread := map[int64]bool{}
	for i := range 200 {
		key := strings.Repeat("x", i)
		wait := collect.UntilPhase(now, interval, key)
		if wait < 0 || wait >= interval {
			t.Fatalf("UntilPhase(%q) = %v, want less than an interval", key, wait)
		}
		phase := now.Add(wait).UnixNano() % int64(interval)
		later := now.Add(17*time.Hour + 1234*time.Millisecond)
		if got := later.Add(collect.UntilPhase(later, interval, key)).UnixNano() % int64(interval); got != phase {
			t.Errorf("phase of %q is %d now and %d later", key, phase, got)
		}
		spread[phase/int64(interval/10)] = true
	}
	if len(spread) != 10 {
		t.Errorf("200 agents fall into %d tenths of the interval, want all 10", len(spread))
	}
}

// TestNoDrift runs a day of ticks that take up to half an interval.
func TestNoDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 5 * time.Second
		n := 0
		slow := fake{"slow", func(context.Context) error {
			n++
			time.Sleep(time.Duration(n%7) * 300 * time.Millisecond)
			return nil
		}}
		k := &sink{}
		s := collect.NewScheduler(collect.Config{Interval: interval, PhaseKey: "a"}, []collect.Collector{slow}, k, zerolog.Nop())
		wait := collect.UntilPhase(time.Now(), interval, "a")
		if wait < interval/10 {
			wait += interval
		}
		began := time.Now()
		first := began.Add(wait).UnixMilli()
		stop := run(t, s)
		time.Sleep(wait + 24*time.Hour - time.Millisecond)
		stop()
		times := k.times()
		if times[0] != began.UnixMilli() {
			t.Errorf("the first tick is %d ms late", times[0]-began.UnixMilli())
		}
		times = times[1:]
		if got, want := len(times), 24*3600/5+1; got != want {
			t.Fatalf("%d ticks in a day, want %d and the last one", got, want)
		}
		for i, ms := range times[:len(times)-1] {
			if want := first + int64(i)*interval.Milliseconds(); ms != want {
				t.Fatalf("tick %d at %d, want %d", i, ms, want)
			}
		}
		if skipped := s.Stats().SkippedTicks; skipped != 0 {
			t.Errorf("%d ticks skipped, want none", skipped)
		}
	})
}

func TestMissedTicksAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &sink{}
		k.after = func(n int) {
			if n == 2 {
				time.Sleep(23 * time.Second) // the whole process was suspended
			}
		}
		cfg := collect.Config{Interval: 5 * time.Second}
		s := collect.NewScheduler(cfg, []collect.Collector{fake{name: "a"}}, k, zerolog.Nop())
		check(t, s.Take(t.Context(), 4, 5*time.Second))
		times := k.times()
		var gaps []int64
		for i := 1; i < len(times); i++ {
			gaps = append(gaps, times[i]-times[i-1])
		}
		if len(gaps) != 3 || gaps[0] != 5000 || gaps[1] != 25000 || gaps[2] != 5000 {
			t.Errorf("gaps between ticks are %v ms, want 5000, 25000, 5000", gaps)
		}
		if got := k.ticks[3]["heka.agent.ticks.skipped"].value.Int64(); got != 4 {
			t.Errorf("heka.agent.ticks.skipped = %d, want 4", got)
		}
	})
}

func TestClockJumpsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset time.Duration
		var log bytes.Buffer
		k := &sink{}
		k.after = func(n int) {
			offset = map[int]time.Duration{1: 0, 2: 2 * time.Second, 3: time.Hour, 4: time.Hour, 5: -time.Hour}[n]
		}
		s := collect.NewScheduler(collect.Config{Interval: 5 * time.Second, DetailedSelf: true}, nil, k, zerolog.New(&log))
		s.SetWall(func() time.Time { return time.Now().Add(offset) })
		began := time.Now()
		check(t, s.Take(t.Context(), 6, 5*time.Second))
		if took := time.Since(began); took != 25*time.Second {
			t.Errorf("six ticks took %v, want 25s whatever the wall clock says", took)
		}
		// A slew or a late tick can explain up to two seconds.
		if got := k.ticks[5]["heka.agent.clock.jumps"].value.Int64(); got != 2 {
			t.Errorf("heka.agent.clock.jumps = %d, want 2", got)
		}
		if got := strings.Count(log.String(), "jumped"); got != 2 {
			t.Errorf("jumps logged %d times, want twice:\n%s", got, &log)
		}
		if times := k.times(); times[3]-times[2] != 3598000+5000 || times[5] >= times[4] {
			t.Errorf("time stamps %v do not follow the wall clock", times)
		}
	})
}

func TestRunTakesALastTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last error
		check := fake{"a", func(ctx context.Context) error { last = ctx.Err(); return nil }}
		k := &sink{}
		s := collect.NewScheduler(collect.Config{Interval: 5 * time.Second}, []collect.Collector{check}, k, zerolog.Nop())
		stop := run(t, s)
		time.Sleep(12 * time.Second)
		before := int(s.Stats().Ticks)
		stop()
		if len(k.ticks) != before+1 || before < 2 {
			t.Errorf("%d ticks after the end, want one more than %d", len(k.ticks), before)
		}
		if last != nil {
			t.Errorf("the last tick's context is %v already", last)
		}
	})
}

func TestTwoTicksNeverShareATimeStamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		k := &sink{after: func(int) { cancel() }}
		s := collect.NewScheduler(collect.Config{}, nil, k, zerolog.Nop())
		check(t, s.Run(ctx))
		if times := k.times(); len(times) != 2 || times[0] >= times[1] {
			t.Errorf("ticks at %v, want two rising", times)
		}
	})
}

func TestTakeEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		k := &sink{}
		s := collect.NewScheduler(collect.Config{}, nil, k, zerolog.Nop())
		if err := s.Take(ctx, 10, 5*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Take = %v, want the context's error", err)
		}
		if len(k.ticks) != 2 {
			t.Errorf("%d ticks, want 2", len(k.ticks))
		}
	})
}

func TestErrorsAndPanicsCostOnlyTheirCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		failing := fake{"failing", func(context.Context) error {
			n++
			return map[int]error{1: errors.New("first"), 2: errors.New("first"), 3: errors.New("second")}[n]
		}}
		panicking := fake{"panicking", func(context.Context) error { panic("no such index") }}
		var log bytes.Buffer
		k := &sink{}
		s := collect.NewScheduler(collect.Config{}, []collect.Collector{failing, panicking, fake{name: "well"}}, k, zerolog.New(&log))
		check(t, s.Take(t.Context(), 5, time.Second))

		end := k.ticks[4]
		for series, want := range map[string]int64{
			"heka.agent.collect.errors{collector=failing}":   3,
			"heka.agent.collect.errors{collector=panicking}": 5,
			"heka.agent.collect.errors{collector=well}":      0,
			"fake.value{by=failing}":                         1,
			"fake.value{by=panicking}":                       1,
			"fake.value{by=well}":                            1,
		} {
			if p, ok := end[series]; !ok || p.value.Int64() != want {
				t.Errorf("%s = %d (sent: %v), want %d", series, p.value.Int64(), ok, want)
			}
		}
		if p := end["heka.agent.collect.errors{collector=well}"]; p.startMS != k.times()[0] {
			t.Errorf("the scheduler's counters start at %d, want the start of the process", p.startMS)
		}
		for text, want := range map[string]int{`"first"`: 1, `"second"`: 1, "collector recovered": 1, "no such index": 1, "scheduler_test.go": 1} {
			if got := strings.Count(log.String(), text); (got > 0) != (want > 0) || (text != "scheduler_test.go" && got != want) {
				t.Errorf("%s logged %d times, want %d", text, got, want)
			}
		}
	})
}

// twice adds two points to one series.
type twice struct{}

func (twice) Name() string { return "twice" }
func (twice) Collect(_ context.Context, s *metric.Snapshot) error {
	desc := &metric.Desc{Name: "twice.value"}
	s.Int(desc, 1)
	s.Int(desc, 2)
	return nil
}

func TestAPointThatIsLeftOutIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &sink{}
		s := collect.NewScheduler(collect.Config{}, []collect.Collector{twice{}}, k, zerolog.Nop())
		check(t, s.Take(t.Context(), 3, time.Second))
		end := k.ticks[2]
		if got := end["heka.agent.collect.errors{collector=twice}"].value.Int64(); got != 3 {
			t.Errorf("%d errors in 3 ticks with a duplicate in each", got)
		}
		if got := end["twice.value"].value.Int64(); got != 1 {
			t.Errorf("twice.value = %d, want the first reading", got)
		}
	})
}

func TestHungCollectorDelaysNobodyTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan bool)
		calls := 0
		hung := fake{"hung", func(context.Context) error {
			calls++
			<-release
			return nil
		}}
		k := &sink{}
		cfg := collect.Config{Interval: 5 * time.Second, Timeout: 2 * time.Second, DetailedSelf: true}
		s := collect.NewScheduler(cfg, []collect.Collector{hung, fake{name: "well"}}, k, zerolog.Nop())
		var took []time.Duration
		last := time.Now()
		k.after = func(n int) {
			took = append(took, time.Since(last))
			if n == 3 {
				close(release)
				synctest.Wait()
			}
			last = last.Add(5 * time.Second)
		}
		check(t, s.Take(t.Context(), 5, 5*time.Second))
		if want := []time.Duration{2 * time.Second, 0, 0, 0, 0}; !equal(took, want) {
			t.Errorf("ticks took %v, want %v", took, want)
		}
		for i, tick := range k.ticks {
			if _, ok := tick["fake.value{by=well}"]; !ok {
				t.Errorf("tick %d lacks the collector that works", i)
			}
			if _, ok := tick["fake.value{by=hung}"]; ok != (i >= 3) {
				t.Errorf("tick %d has the hung collector's point: %v", i, ok)
			}
		}
		if got := k.ticks[4]["heka.agent.collect.timeouts{collector=hung}"].value.Int64(); got != 3 {
			t.Errorf("heka.agent.collect.timeouts = %d, want 3", got)
		}
		if got := k.ticks[4]["heka.agent.collect.errors{collector=hung}"].value.Int64(); got != 3 {
			t.Errorf("heka.agent.collect.errors = %d, want the 3 timeouts", got)
		}
		if calls != 3 {
			t.Errorf("the collector was called %d times, want 3: never while a call is under way", calls)
		}
	})
}

func equal(a, b []time.Duration) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestSeriesOverTheLimitAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &sink{}
		list := []collect.Collector{fake{name: "a"}, fake{name: "b"}, fake{name: "c"}}
		var log bytes.Buffer
		s := collect.NewScheduler(collect.Config{MaxSeries: 2, DetailedSelf: true}, list, k, zerolog.New(&log))
		check(t, s.Take(t.Context(), 100, time.Second))
		const line = `"series":"fake.value","labels":{"by":"c"},"limit":2`
		if strings.Count(log.String(), "HEKA_MAX_SERIES") != 1 || strings.Count(log.String(), line) != 1 {
			t.Errorf("the log is\n%swant one line with %s", log.String(), line)
		}
		for series, want := range map[string]bool{"fake.value{by=b}": true, "fake.value{by=c}": false} {
			if _, ok := k.ticks[0][series]; ok != want {
				t.Errorf("%s sent: %v, want %v", series, ok, want)
			}
		}
		if got := k.ticks[0]["heka.agent.series.dropped"].value.Int64(); got != 1 {
			t.Errorf("heka.agent.series.dropped = %d, want 1", got)
		}
	})
}

// TestTheSecondTickIsAtThePhase: in every phase, the second tick is between 0.1
// and 1.1 intervals after the first. Agents that start together are spread over
// the interval.
func TestTheSecondTickIsAtThePhase(t *testing.T) {
	const interval = 5 * time.Second
	tenths := map[int64]int{}
	for i := range 300 {
		synctest.Test(t, func(t *testing.T) {
			k := &sink{}
			cfg := collect.Config{Interval: interval, PhaseKey: strings.Repeat("k", i)}
			stop := run(t, collect.NewScheduler(cfg, []collect.Collector{fake{name: "a"}}, k, zerolog.Nop()))
			time.Sleep(2 * interval)
			stop()
			times := k.times()
			gap := time.Duration(times[1]-times[0]) * time.Millisecond
			if gap < interval/10 || gap > interval+interval/10 {
				t.Errorf("key %d: the second tick comes %v after the first", i, gap)
			}
			tenths[int64(gap/(interval/10))]++
		})
	}
	for tenth := int64(1); tenth <= 10; tenth++ {
		if tenths[tenth] == 0 {
			t.Errorf("no agent of 300 is in tenth %d: %v", tenth, tenths)
		}
	}
}
