package metric_test

import (
	"math"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

var (
	gauge   = metric.Desc{Name: "test.gauge", Unit: "1", Labels: []string{"of"}}
	counter = metric.Desc{Name: "test.counter", Unit: "By", Kind: metric.Counter, Labels: []string{"of"}}
)

// seriesOf returns the series of the snapshot's only point.
func seriesOf(t *testing.T, s *metric.Snapshot) *metric.Series {
	t.Helper()
	if len(s.Points) != 1 {
		t.Fatalf("%d points, want 1", len(s.Points))
	}
	return s.Points[0].Series
}

func TestSeriesKeepTheirAddress(t *testing.T) {
	s := metric.NewSnapshot(0)
	labels := []metric.Label{metric.L("of", "sda")} // callers reuse one slice too
	add := func(ms int64) *metric.Series {
		s.Reset(ms)
		s.Int(&gauge, ms, labels...)
		return seriesOf(t, s)
	}
	first := add(1)
	if second := add(2); second != first || s.TimeMS != 2 || s.Points[0].Value != metric.Int(2) {
		t.Errorf("the second tick has series %p, time %d and value %v, want %p, 2, 2", second, s.TimeMS, s.Points[0].Value, first)
	}
	labels[0].Value = "sdb"
	if other := add(3); other == first {
		t.Error("other labels have the same series")
	}
	if first.Desc != &gauge || len(first.Labels) != 1 || first.Labels[0] != metric.L("of", "sda") || first.StartMS != 0 {
		t.Errorf("series is %+v", first)
	}
}

// TestSteadyStateAllocatesNothing checks the purpose of interning series.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	s := metric.NewSnapshot(10)
	label := metric.L("of", "sda")
	tick := func() {
		s.Reset(1)
		s.Int(&gauge, 1, label)
		s.Float(&counter, 1.5, label)
	}
	tick()
	if n := testing.AllocsPerRun(100, tick); n != 0 {
		t.Errorf("a tick allocates %v times", n)
	}
}

// TestLabelsAreOneIdentity distinguishes series whose concatenated labels are
// equal.
func TestLabelsAreOneIdentity(t *testing.T) {
	s := metric.NewSnapshot(0)
	s.Reset(1)
	s.Int(&gauge, 1)
	s.Int(&gauge, 1, metric.L("a", "bc"))
	s.Int(&gauge, 1, metric.L("ab", "c"))
	s.Int(&gauge, 1, metric.L("a", "b"), metric.L("c", ""))
	s.Int(&counter, 1, metric.L("a", "bc"))
	if len(s.Points) != 5 || s.Duplicates() != 0 {
		t.Errorf("%d points and %d duplicates, want 5 and 0", len(s.Points), s.Duplicates())
	}
}

func TestSecondValueOfATickIsDropped(t *testing.T) {
	s := metric.NewSnapshot(0)
	for tick := range int64(2) {
		s.Reset(tick)
		s.Int(&gauge, 1)
		s.Int(&gauge, 2)
		if len(s.Points) != 1 || s.Points[0].Value != metric.Int(1) || s.Duplicates() != tick+1 {
			t.Errorf("tick %d: points %v, %d duplicates", tick, s.Points, s.Duplicates())
		}
	}
}

// TestStartOfACounter replaces a series, which is immutable, when its counter
// restarts.
func TestStartOfACounter(t *testing.T) {
	s := metric.NewSnapshot(1)
	add := func(start int64) *metric.Series {
		s.Reset(1)
		if start != 0 {
			s.Since(start)
		}
		s.Int(&counter, 1)
		return seriesOf(t, s)
	}
	boot, started := add(0), add(1000)
	if boot.StartMS != 0 || started.StartMS != 1000 || add(1000) != started {
		t.Errorf("starts are %d and %d, want 0 and 1000, which stays", boot.StartMS, started.StartMS)
	}
	if again := add(0); again.StartMS != 0 {
		t.Errorf("Reset leaves the start at %d", again.StartMS)
	}
	if s.OverLimit() != 0 {
		t.Error("a counter that starts anew counts as a second series")
	}
}

func TestSeriesOverTheLimit(t *testing.T) {
	s := metric.NewSnapshot(2)
	for range 3 {
		s.Reset(1)
		for _, of := range []string{"a", "b", "c", "d"} {
			s.Int(&gauge, 1, metric.L("of", of))
		}
		if len(s.Points) != 2 || s.Points[0].Series.Labels[0].Value != "a" || s.Points[1].Series.Labels[0].Value != "b" {
			t.Errorf("points are %v, want those of the first two series", s.Points)
		}
	}
	s.Drop(10, nil)
	if got := s.OverLimit(); got != 3*2+10 {
		t.Errorf("OverLimit() = %d, want 16", got)
	}
}

// TestSilentSeriesAreSwept checks that a series is swept after an hour of ticks
// without a value, and not before.
func TestSilentSeriesAreSwept(t *testing.T) {
	const hour = 720
	s := metric.NewSnapshot(2)
	var now, newcomer int
	var seldom *metric.Series
	for now = 1; now < 3*hour && newcomer == 0; now++ {
		s.Reset(int64(now))
		if now == 1 {
			s.Int(&gauge, 1, metric.L("of", "gone"))
		}
		if now%hour == 1 {
			s.Int(&gauge, 1, metric.L("of", "seldom"))
			if p := s.Points[len(s.Points)-1].Series; seldom == nil {
				seldom = p
			} else if p != seldom {
				t.Errorf("tick %d: a series that was silent for %d ticks became another", now, hour-1)
			}
		}
		before := s.OverLimit()
		s.Int(&gauge, 1, metric.L("of", "new"))
		if s.OverLimit() == before {
			newcomer = now
		}
	}
	if newcomer <= 1+hour || newcomer > 1+hour+120 {
		t.Errorf("room for a new series in tick %d, want it within 120 ticks of %d", newcomer, 1+hour)
	}
}

func TestWhatTheWireFormatLacksIsLeftOut(t *testing.T) {
	s := metric.NewSnapshot(0)
	s.Reset(1)
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		s.Float(&gauge, v)
	}
	s.Uint(&gauge, math.MaxInt64+1)
	s.Uint(&gauge, math.MaxUint64)
	if len(s.Points) != 0 {
		t.Errorf("points are %v, want none", s.Points)
	}
	s.Uint(&gauge, math.MaxInt64)
	if s.Duplicates() != 0 || s.Points[0].Value != metric.Int(math.MaxInt64) {
		t.Errorf("after what is left out: %v, %d duplicates", s.Points, s.Duplicates())
	}
}
