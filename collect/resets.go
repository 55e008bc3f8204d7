package collect

import (
	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// resets handles counters that fall. The kernel's counters fall when a device
// is replaced, when an interface is recreated, and when a 32-bit count wraps.
// They fall by a little when a driver sums its queues carelessly.
type resets struct {
	counters map[*metric.Series]*counter
	lastMS   int64 // time of the previous tick
	nowMS    int64 // time of this one
	tick     uint64
}

// counter is the state of one series.
type counter struct {
	last     metric.Value
	lastTick uint64
	// restarted replaces the series after its counter has restarted.
	restarted *metric.Series
}

const (
	// jitter is the largest part of its value by which a counter may step back
	// and still be held until it catches up. A counter that falls further has
	// restarted.
	jitter = 1. / 16
	// forgetTicks is how many ticks an unseen counter is remembered, as in
	// [metric.Snapshot]. After that the series is a new one.
	forgetTicks = 720
)

func newResets() resets { return resets{counters: make(map[*metric.Series]*counter)} }

// apply rewrites the points of a tick in place. A counter that restarted
// continues as a series that started at the previous tick. A server then adds
// what was counted since the restart, which lacks at most what one tick counted
// before it.
func (r *resets) apply(s *metric.Snapshot) {
	r.tick++
	r.nowMS = s.TimeMS
	for i := range s.Points {
		p := &s.Points[i]
		if p.Series.Kind != metric.Counter {
			continue
		}
		c := r.counters[p.Series]
		if c == nil {
			c = &counter{last: p.Value}
			r.counters[p.Series] = c
		}
		r.step(c, p)
	}
	r.lastMS = s.TimeMS
	if r.tick%forgetTicks == 0 {
		r.forget()
	}
}

func (r *resets) step(c *counter, p *metric.Point) {
	c.lastTick = r.tick
	last, now := c.last.Float64(), p.Value.Float64()
	switch {
	case now >= last:
		c.last = p.Value
	case now >= last*(1-jitter):
		p.Value = c.last
	default:
		restarted := *p.Series
		restarted.StartMS = min(r.lastMS, r.nowMS-1) // the clock may have been set back
		c.last, c.restarted = p.Value, &restarted
	}
	if c.restarted != nil {
		p.Series = c.restarted
	}
}

func (r *resets) forget() {
	for series, c := range r.counters {
		if c.lastTick+forgetTicks < r.tick {
			delete(r.counters, series)
		}
	}
}
