package ship

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"
)

// say writes the log lines of delivery, so that an outage of a day, and a day
// of many short ones, is a handful of them. Owned by Shipper.Run.
type say struct {
	cause string
	next  time.Time // the next line of the outage under way
	news  rhythm    // of new outages, and of new causes
	told  bool      // the outage under way was logged, so its end is too
	grave bool      // the last line waits for a person
	began bool      // the first acknowledgement of the process was logged

	refusals, rejections, deaths, drops pacer
	releases, contradictions            pacer
	finds                               burst
	weaker                              map[Compression]bool // told of
}

// rhythm is when to tell of what happens again and again: at once, a minute
// later, and each time after twice as long, up to half an
// hour. It begins anew when nothing happened for that long.
type rhythm struct {
	next time.Time
	gap  time.Duration
}

const tellMax = 30 * time.Minute

func (r *rhythm) due(now time.Time) bool { return !now.Before(r.next) }

// told notes that something happened and was told.
func (r *rhythm) told(now time.Time) {
	if now.Sub(r.next) >= tellMax {
		r.gap = 0
	}
	r.gap = min(max(2*r.gap, time.Minute), tellMax)
	r.next = now.Add(r.gap)
}

// pacer counts what lines tell of at a rhythm.
type pacer struct {
	rhythm
	count int64
}

// add counts n. With ok it is time for a line, about total.
func (p *pacer) add(now time.Time, n int64) (total int64, ok bool) {
	p.count += n
	if !p.due(now) {
		return 0, false
	}
	total, p.count = p.count, 0
	p.told(now)
	return total, true
}

// burst tells of the first few things one by one, and of more at a rhythm.
type burst struct {
	pacer
	since time.Time
	lines int
}

// burstMax is how many lines of a burst an hour may have.
const burstMax = 10

// add counts one. With ok it is time for a line, about total.
func (b *burst) add(now time.Time) (total int64, ok bool) {
	if now.Sub(b.since) > time.Hour {
		b.since, b.lines = now, 0
	}
	if b.lines++; b.lines <= burstMax {
		total, b.count = b.count+1, 0
		return total, true
	}
	return b.pacer.add(now, 1)
}

// failed tells of an outage when it begins, after a minute, and whenever it is
// twice as old; of new outages and new causes at a rhythm; and at once if it
// turns into one that waits for a person.
func (s *say) failed(log zerolog.Logger, now time.Time, began bool, o Outcome, m *machine, waiting int64, kept string) {
	grave := o.Verdict != Retry
	fresh := began || o.Cause != s.cause || !s.told
	due := !now.Before(s.next)
	if fresh {
		due = s.news.due(now)
	}
	if !due && (!grave || s.grave) {
		return
	}
	if fresh {
		s.news.told(now)
	}
	outage := now.Sub(m.since)
	s.cause, s.told, s.grave = o.Cause, true, grave
	s.next = now.Add(max(outage, time.Minute))
	event := log.Warn()
	if grave {
		event = log.Error()
	}
	event = event.Str("cause", o.Cause)
	if o.Hint != "" {
		event = event.Str("hint", o.Hint)
	}
	if outage > 0 {
		event = event.Stringer("outage", outage.Round(time.Second))
	}
	event.Int64("batches_waiting", waiting).Str("kept", kept).
		Stringer("retry_in", m.until.Sub(now).Round(10*time.Millisecond)).
		Msg("delivery failing; batches kept, retrying")
}

// acked tells of the first acknowledgement of the process. What is printed has no
// answer, and is not acknowledged.
func (s *say) acked(log zerolog.Logger, o Outcome) {
	if s.began || o.Status == 0 {
		return
	}
	s.began = true
	log.Info().Msg("delivering: first batch acknowledged")
}

// recovered ends what failed told of.
func (s *say) recovered(log zerolog.Logger, outage time.Duration, failures int, waiting int64) {
	if !s.told {
		return
	}
	s.told = false
	log.Info().Int("failed_attempts", failures).Int64("batches_waiting", waiting).
		Msgf("delivered again after %s", outage.Round(time.Second))
}

func (s *say) refused(log zerolog.Logger, now time.Time, h *held, o Outcome) {
	if n, ok := s.refusals.add(now, 1); ok {
		log.Warn().Int64("refusals", n).Str("batch", h.String()).Str("cause", o.Cause).
			Msg("batch refused; kept, looking for what is bad in it")
	}
}

// found tells of a series that is left out from now on.
func (s *say) found(log zerolog.Logger, now time.Time, series, cause string) {
	if n, ok := s.finds.add(now); ok {
		log.Error().Str("series", series).Int64("found", n).Str("cause", cause).
			Str("hint", "fix the cause, then: heka-insights-agent spool dead, spool replay").
			Msg("series refused by the backend; left out and tried again from time to time, all others are delivered")
	}
}

// released tells of a series that is sent again.
func (s *say) released(log zerolog.Logger, now time.Time, series string) {
	if n, ok := s.releases.add(now, 1); ok {
		log.Info().Str("series", series).Int64("accepted", n).Msg("refused series accepted again; sent from now on")
	}
}

func (s *say) contradicted(log zerolog.Logger, now time.Time, released int) {
	if n, ok := s.contradictions.add(now, 1); ok {
		log.Warn().Int64("contradictions", n).Int("series_released", released).
			Str("hint", "are there several servers behind HEKA_ENDPOINT, of which one refuses what others accept?").
			Msg("backend contradicts itself: it accepted what it had refused; refusals are doubted for an hour")
	}
}

// foundTicks tells of ticks whose points are given up.
func (s *say) foundTicks(log zerolog.Logger, now time.Time, id ID, ticks int, points int64, cause string, kept bool) {
	s.gaveUp(log, now, id, points, fmt.Sprintf("%s (all points of %d ticks)", cause, ticks), kept)
}

func (s *say) ordered(log zerolog.Logger) {
	log.Warn().Str("hint", "HEKA_DRAIN_ORDER=fifo keeps strict order from the start").
		Msg("backend refuses what is older than the newest it has; older batches are set aside, delivery in strict order from now on")
}

func (s *say) aged(log zerolog.Logger, bound time.Duration) {
	log.Warn().Stringer("older_than", bound.Round(time.Second)).Str("hint", "HEKA_BACKEND_MAX_AGE says so from the start").
		Msg("backend refuses old batches; they are set aside")
}

// adopted tells of a form of bodies that the backend takes, where it refuses
// all others.
func (s *say) adopted(log zerolog.Logger, v bodyVariant) {
	what := map[bodyVariant]string{uncompressed: "without compression", withoutResource: "without resource attributes"}[v]
	log.Warn().Str("sent", what).Msg("backend refuses everything else; bodies sent in another form from now on")
}

// gaveUp tells of points that the backend refuses for good.
func (s *say) gaveUp(log zerolog.Logger, now time.Time, id ID, points int64, cause string, kept bool) {
	n, ok := s.deaths.add(now, points)
	if !ok {
		return
	}
	event := log.Error().Str("batch", id.String()).Int64("points", n).Str("cause", cause)
	if !kept {
		event.Msg("gave up points that the backend refuses while it accepts others: they are lost")
		return
	}
	event.Str("hint", "heka-insights-agent spool dead; fix the cause, then spool replay").
		Msg("set points aside that the backend refuses while it accepts others")
}

func (s *say) rejected(log zerolog.Logger, now time.Time, o Outcome) {
	if n, ok := s.rejections.add(now, o.RejectedPoints); ok {
		log.Warn().Int64("points", n).Str("reason", o.Cause).
			Str("hint", "heka-insights-agent spool dead").
			Msg("the backend took batches but refused points of them for good")
	}
}

// weakened tells once of a compression that the backend made necessary: one that
// takes none of them is asked all again at each probe.
func (s *say) weakened(log zerolog.Logger, o Outcome, next Compression) {
	if s.weaker[next] {
		return
	}
	if s.weaker == nil {
		s.weaker = make(map[Compression]bool)
	}
	s.weaker[next] = true
	log.Warn().Str("cause", o.Cause).Str("compression", string(next)).
		Msg("the backend does not take the compression: batches are sent with a weaker one from now on")
}

func (s *say) dropped(log zerolog.Logger, now time.Time, points int64) {
	if n, ok := s.drops.add(now, points); ok {
		log.Error().Int64("points", n).Str("hint", "raise HEKA_QUEUE_MAX_BYTES, or give HEKA_SPOOL_DIR a disk").
			Msg("memory is full: the oldest points are lost")
	}
}
