package collect

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/rs/zerolog"
)

// Scheduler reads the host at every interval and passes each tick to a [Sink].
// Call either [Scheduler.Run] or [Scheduler.Take], and only once.
type Scheduler struct {
	cfg     Config
	sink    Sink
	log     zerolog.Logger
	startMS int64
	// wall is the clock of the points' time stamps. Everything else is measured
	// on the monotonic clock.
	wall func() time.Time

	// Owned by Run or Take.
	guards        []*guard
	worker        worker
	snapshot      *metric.Snapshot
	self          *metric.Snapshot // the scheduler's own metrics
	resets        resets
	lastWall      time.Time
	lastTick      time.Time
	limitLoggedAt time.Time // when the log last reported the limit on series

	mu    sync.Mutex
	stats Stats // guarded by mu
}

// NewScheduler returns a scheduler of collectors. It takes ownership of the
// slice's collectors. The scheduler's own counters start at the time of the
// call.
func NewScheduler(cfg Config, collectors []Collector, sink Sink, log zerolog.Logger) *Scheduler {
	s := &Scheduler{
		cfg: cfg, sink: sink, log: log, startMS: time.Now().UnixMilli(), wall: time.Now,
		snapshot: metric.NewSnapshot(cfg.MaxSeries), self: metric.NewSnapshot(0), resets: newResets(),
	}
	for _, c := range collectors {
		s.guards = append(s.guards, &guard{
			Collector: c,
			own:       metric.NewSnapshot(cfg.MaxSeries),
			stats:     CollectorStats{Name: c.Name()},
		})
	}
	s.stats.Collectors = make([]CollectorStats, len(s.guards))
	for i, g := range s.guards {
		s.stats.Collectors[i] = g.stats
	}
	return s
}

// Run ticks until ctx is done, then takes one last tick and returns nil. The
// first tick is immediate, since some readings need two ticks. The second is at
// the agent's phase, between 0.1 and 1.1 intervals later. Run leaves no
// goroutine behind except those of collectors that hang.
func (s *Scheduler) Run(ctx context.Context) error {
	defer s.worker.stop()
	interval := s.cfg.interval()
	wait := untilPhase(s.wall(), interval, s.cfg.PhaseKey)
	if wait < interval/10 {
		wait += interval // CPU utilization over a shorter time would mean little
	}
	first := time.Now().Add(wait)
	s.tick(ctx, time.Now())
	s.loop(ctx, first, interval, func() bool { return true })
	s.tick(context.WithoutCancel(ctx), time.Now())
	return nil
}

// Take takes n ticks at intervals of every, the first one at once, and returns
// nil. If ctx is done earlier, it returns the error of ctx.
func (s *Scheduler) Take(ctx context.Context, n int, every time.Duration) error {
	defer s.worker.stop()
	s.loop(ctx, time.Now(), every, func() bool { n--; return n > 0 })
	return ctx.Err()
}

// Stats returns a copy of the counts as of the last tick. It is safe for
// concurrent use and does not wait for a tick under way.
func (s *Scheduler) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Collectors = slices.Clone(stats.Collectors)
	return stats
}

// untilPhase returns the time from now until the next time that is congruent to
// the hash of key modulo interval.
func untilPhase(now time.Time, interval time.Duration, key string) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // a hash.Hash never fails
	phase := time.Duration(h.Sum64() % uint64(interval))
	return (phase - time.Duration(now.UnixNano())%interval + interval) % interval
}

// loop ticks at first and at every interval after it, until ctx is done or
// again returns false. Each deadline is computed from the previous one, so the
// ticks do not drift. Deadlines that have passed by the end of a tick are
// skipped.
func (s *Scheduler) loop(ctx context.Context, first time.Time, interval time.Duration, again func() bool) {
	timer := time.NewTimer(time.Until(first))
	defer timer.Stop()
	for next := first; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		s.tick(ctx, time.Now())
		if !again() {
			return
		}
		next = next.Add(interval)
		if behind := time.Since(next); behind > 0 {
			missed := (behind + interval - 1) / interval
			next = next.Add(missed * interval)
			s.skipped(int64(missed))
		}
		timer.Reset(time.Until(next))
	}
}

func (s *Scheduler) skipped(n int64) {
	s.mu.Lock()
	s.stats.SkippedTicks += n
	s.mu.Unlock()
	s.log.Warn().Int64("ticks", n).Msg("a tick took too long: ticks skipped")
}

// tick reads the host once. now is on the monotonic clock.
func (s *Scheduler) tick(ctx context.Context, now time.Time) {
	s.snapshot.Reset(s.stamp(now))
	for _, g := range s.guards {
		before := g.stats.LastError
		g.collect(ctx, &s.worker, s.snapshot, s.cfg.budget())
		s.report(g, before)
	}
	s.resets.apply(s.snapshot)
	s.logLimit(now)
	stats := s.updateStats(now)
	if !s.cfg.OmitSelf {
		s.self.Reset(s.snapshot.TimeMS)
		stats.emit(s.self, s.startMS, s.cfg.DetailedSelf)
		// Bypass the limit on series: these metrics report what the limit
		// drops.
		s.snapshot.Points = append(s.snapshot.Points, s.self.Points...)
	}
	s.sink.Put(s.snapshot)
}

// stamp returns the wall-clock time of a tick in ms. It also counts jumps of
// the wall clock against the monotonic clock. Two ticks never have the same
// time.
func (s *Scheduler) stamp(now time.Time) int64 {
	wall := s.wall().Round(0)
	if !s.lastTick.IsZero() {
		jump := wall.Sub(s.lastWall) - now.Sub(s.lastTick)
		if jump.Abs() > max(time.Second, s.cfg.interval()/2) {
			s.mu.Lock()
			s.stats.ClockJumps++
			s.mu.Unlock()
			s.log.Warn().Dur("by", jump).Msg("the wall clock jumped: time stamps follow it, ticks do not")
		}
		if wall.UnixMilli() == s.lastWall.UnixMilli() {
			wall = wall.Add(time.Millisecond)
		}
	}
	s.lastWall, s.lastTick = wall, now
	return wall.UnixMilli()
}

// report logs the error of a collector when it changes, not at every tick.
func (s *Scheduler) report(g *guard, before string) {
	switch g.stats.LastError {
	case before:
	case "":
		s.log.Info().Str("collector", g.stats.Name).Msg("collector recovered")
	default:
		event := s.log.Warn().Str("collector", g.stats.Name).Err(g.stats.last)
		if isAbsent(g.stats.last) {
			event.Msg("collector cannot report everything on this host")
			return
		}
		if p, ok := errors.AsType[*panicError](g.stats.last); ok {
			event = event.Bytes("stack", p.stack)
		}
		event.Msg("collector failed; its metrics are incomplete")
	}
}

// limitLogInterval is the minimum time between two log lines about the limit on
// series.
const limitLogInterval = 24 * time.Hour

// logLimit logs a series that was dropped because of the limit, the first time
// and then at most once a day.
func (s *Scheduler) logLimit(now time.Time) {
	refused := s.snapshot.Refused()
	if refused == nil || !s.limitLoggedAt.IsZero() && now.Sub(s.limitLoggedAt) < limitLogInterval {
		return
	}
	s.limitLoggedAt = now
	labels := zerolog.Dict()
	for _, l := range refused.Labels {
		labels.Str(l.Key, l.Value)
	}
	s.log.Warn().Str("series", refused.Name).Dict("labels", labels).Int("limit", s.cfg.MaxSeries).
		Str("hint", "raise HEKA_MAX_SERIES, or exclude what creates so many series").
		Msg("there are too many series: new ones, this one first, are dropped and counted")
}

// updateStats counts the tick and returns the stats. Their Collectors are
// shared; the caller may read but not change them until the next call.
func (s *Scheduler) updateStats(now time.Time) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, g := range s.guards {
		s.stats.Collectors[i] = g.stats
	}
	s.stats.Ticks++
	s.stats.LastTick = now
	s.stats.DroppedPoints = s.snapshot.OverLimit()
	return s.stats
}
