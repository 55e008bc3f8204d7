package collect

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// guard runs one collector so that it can cost a tick neither more than its
// deadline nor a crash. Owned by the scheduler's loop.
type guard struct {
	Collector
	// own holds the collector's points. The collector's goroutine owns it from
	// the start of a call to the answer on that call's channel.
	own *metric.Snapshot
	// stuck is where the answer of a call that missed its deadline will come;
	// nil when there is none.
	stuck chan callResult
	stats CollectorStats
}

type callResult struct{ err error }

// panicError is a collector's panic, turned into the error of one reading.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// collect runs the collector once and adds its points to s. It returns within
// budget, at once when an earlier call is still under way.
func (g *guard) collect(ctx context.Context, s *metric.Snapshot, budget time.Duration) {
	began := time.Now()
	err := g.run(ctx, s, budget)
	g.stats.Duration = time.Since(began)
	g.stats.LastError = ""
	if err != nil {
		g.stats.LastError = err.Error()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		g.stats.Timeouts++
	case err != nil:
		g.stats.Errors++
	}
	g.stats.last = err
}

func (g *guard) run(ctx context.Context, s *metric.Snapshot, budget time.Duration) error {
	if g.stuck != nil {
		select {
		case <-g.stuck: // too old to be used
			g.stuck = nil
		default:
			return errStuck
		}
	}
	g.own.Reset(s.TimeMS)
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	answer := make(chan callResult, 1)
	go func() { answer <- callResult{call(ctx, g.Collector, g.own)} }()
	select {
	case result := <-answer:
		replay(g.own, s)
		return result.err
	case <-ctx.Done():
		g.stuck = answer
		return errStuck
	}
}

func call(ctx context.Context, c Collector, s *metric.Snapshot) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value: value, stack: debug.Stack()}
		}
	}()
	return c.Collect(ctx, s)
}

// replay adds the points of one snapshot to another, which interns the series
// anew and so bounds how many there are over all collectors.
func replay(from, to *metric.Snapshot) {
	for i := range from.Points {
		p := &from.Points[i]
		to.Since(p.Series.StartMS)
		if p.Value.IsInt() {
			to.Int(p.Series.Desc, p.Value.Int64(), p.Series.Labels...)
		} else {
			to.Float(p.Series.Desc, p.Value.Float64(), p.Series.Labels...)
		}
	}
	to.Since(0)
}
