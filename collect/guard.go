package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"slices"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// guard runs one collector. It protects the tick from a collector that hangs or
// panics. It is owned by the scheduler's loop.
type guard struct {
	Collector
	// own holds the collector's points. The collector's goroutine owns it from
	// the start of a call until it answers that call.
	own *metric.Snapshot
	// dropped is the value of own.OverLimit after the last answer.
	dropped int64
	// repeated is the value of own.Duplicates after the last answer.
	repeated int64
	// stuck receives the answer of a call that missed its deadline; nil if
	// there is no such call.
	stuck <-chan error
	stats CollectorStats
}

// errAbsent is the error of a reading that this host does not have and never
// will have. It is logged once and not counted at each tick.
var errAbsent = errors.New("nothing to report")

// unavailable is an error that matches errAbsent and has a message of its own.
type unavailable string

func (u unavailable) Error() string { return string(u) }

// Is reports whether target is errAbsent.
func (unavailable) Is(target error) bool { return target == errAbsent }

// isAbsent reports whether nothing went wrong: every error that err joins is
// about something that this host does not have, such as a file that its kernel
// lacks.
func isAbsent(err error) bool {
	switch e := err.(type) { //nolint:errorlint // unwraps the chain itself
	case *fs.PathError:
		return errors.Is(e.Err, fs.ErrNotExist)
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !isAbsent(err) })
	case interface{ Unwrap() error }:
		return isAbsent(e.Unwrap())
	default:
		return errors.Is(err, errAbsent)
	}
}

// panicError is a panic of a collector, turned into an error.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// collect runs the collector once and adds its points to s. It returns within
// budget, or at once if an earlier call has not returned yet.
func (g *guard) collect(ctx context.Context, w *worker, s *metric.Snapshot, budget time.Duration) {
	began := time.Now()
	err := g.run(ctx, w, s, budget)
	g.stats.Duration = time.Since(began)
	g.stats.LastError = ""
	if err != nil {
		g.stats.LastError = err.Error()
	}
	if err != nil && !isAbsent(err) {
		g.stats.Errors++
	}
	if errors.Is(err, context.DeadlineExceeded) {
		g.stats.Timeouts++
	}
	g.stats.last = err
}

func (g *guard) run(ctx context.Context, w *worker, s *metric.Snapshot, budget time.Duration) error {
	if g.stuck != nil {
		select {
		case <-g.stuck: //nolint:errcheck // as its points, too old to be used or counted
			g.stuck = nil
			g.dropped = g.own.OverLimit()
		default:
			return errStuck
		}
	}
	g.own.Reset(s.TimeMS)
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	answers := w.call(ctx, g.Collector, g.own)
	select {
	case err := <-answers:
		before := s.Duplicates()
		replay(g.own, s)
		s.Drop(g.own.OverLimit()-g.dropped, g.own.Refused())
		g.dropped = g.own.OverLimit()
		if n := g.own.Duplicates() - g.repeated + s.Duplicates() - before; n > 0 {
			err = errors.Join(err, fmt.Errorf("%d duplicate points left out: their series already had a value in this tick", n))
		}
		g.repeated = g.own.Duplicates()
		return err
	case <-ctx.Done():
		g.stuck = answers
		w.abandon()
		return errStuck
	}
}

// worker calls collectors, one at a time, on a goroutine that it keeps, so that
// the goroutine's stack grows only once. It is owned by the scheduler's loop.
// The zero value is ready to use.
type worker struct {
	calls   chan call // nil if there is no goroutine
	answers chan error
}

type call struct {
	ctx       context.Context
	collector Collector
	snapshot  *metric.Snapshot
}

// call starts a call and returns the channel that receives its answer. The
// previous call must have been answered or abandoned.
func (w *worker) call(ctx context.Context, c Collector, s *metric.Snapshot) <-chan error {
	if w.calls == nil {
		w.calls, w.answers = make(chan call), make(chan error, 1)
		go serve(w.calls, w.answers)
	}
	w.calls <- call{ctx, c, s}
	return w.answers
}

// abandon leaves the goroutine to the call that hangs. It ends when that call
// returns.
func (w *worker) abandon() {
	close(w.calls)
	w.calls = nil
}

// stop ends the goroutine and waits for its end.
func (w *worker) stop() {
	if w.calls == nil {
		return
	}
	w.abandon()
	<-w.answers //nolint:errcheck // closed, so there is no answer
}

// serve answers calls, and closes answers when calls is closed.
func serve(calls <-chan call, answers chan<- error) {
	defer close(answers)
	for c := range calls {
		answers <- c.run()
	}
}

func (c call) run() (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value: value, stack: debug.Stack()}
		}
	}()
	return c.collector.Collect(c.ctx, c.snapshot)
}

// replay adds the points of one snapshot to another. The other snapshot interns
// the series again, and so limits their number over all collectors.
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
