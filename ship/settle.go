package ship

import (
	"slices"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// refusalsMax is how many refusals in a row, with nothing accepted among
// them, mean that the endpoint is wrong and not the batches.
const refusalsMax = 8

// suspect is a batch that the backend refused. It is given up only if it is
// refused again after the backend has accepted another one: until then the
// endpoint may be what is wrong.
type suspect struct {
	epoch, seq uint64
	known      bool
	cleared    bool // another batch was accepted since
	refusals   int  // in a row, of any batch
}

// waits reports whether the backlog has to wait for the verdict.
func (s *suspect) waits() bool { return s.known && !s.cleared }

func (s *suspect) guilty(h *held) bool {
	return s.known && s.cleared && s.epoch == h.Epoch && s.seq == h.Seq
}

func (s *suspect) accuse(h *held) {
	s.epoch, s.seq, s.known, s.cleared = h.Epoch, h.Seq, true, false
}

// settle takes the outcome of the request under way.
func (s *Shipper) settle(now time.Time, o Outcome) {
	h := s.inflight
	s.inflight = nil
	s.cancel()
	s.stats.attempt(o)
	switch o.Verdict {
	case Acked:
		s.acked(now, h, o)
	case Reject:
		s.refused(now, h, o)
	default:
		s.failed(now, h, o)
	}
}

func (s *Shipper) acked(now time.Time, h *held, o Outcome) {
	s.forget(h)
	s.suspect.cleared = true
	s.suspect.refusals = 0
	s.stats.delivered(now, h)
	if o.RejectedPoints > 0 {
		s.ledger.Lose(LostRejected, o.RejectedPoints)
		s.log.Warn().Int64("points", o.RejectedPoints).Str("reason", o.Cause).
			Str("batch", metric.BatchID(h.Epoch, h.Seq)).Msg("the backend refused points of a batch for good")
	}
	failures := s.machine.failures
	if !s.machine.acked(now, s.backlog) {
		return
	}
	s.cutNow = true
	if s.said.told {
		s.said.told = false
		s.log.Info().Int("failed_attempts", failures).Int64("batches_waiting", s.waiting()).
			Msgf("delivered again after %s", now.Sub(s.machine.since).Round(time.Second))
	}
}

// failed keeps everything: all that is in memory is late now, and goes to the
// spool at the next step.
func (s *Shipper) failed(now time.Time, h *held, o Outcome) {
	h.late = true
	for _, other := range s.memory {
		other.late = true
	}
	began := s.machine.failed(now, o)
	if s.said.due(now, began, o.Cause) {
		s.said.log(now, s.machine.since, o.Cause)
		s.logFailure(now, o)
	}
}

// said paces the log lines of outages: the second line of one comes after a
// minute, and each further one when the outage is twice as old. A new cause, or
// a new outage, is told too, but never more than a line a minute.
type said struct {
	cause         string
	next, nextNew time.Time
	told          bool // the outage under way was logged, so its end is too
}

func (s *said) due(now time.Time, began bool, cause string) bool {
	return !now.Before(s.next) || (began || cause != s.cause) && !now.Before(s.nextNew)
}

func (s *said) log(now, since time.Time, cause string) {
	s.cause, s.told = cause, true
	s.nextNew = now.Add(time.Minute)
	s.next = now.Add(max(now.Sub(since), time.Minute))
}

func (s *Shipper) logFailure(now time.Time, o Outcome) {
	event := s.log.Warn()
	if o.Verdict != Retry {
		event = s.log.Error()
	}
	event = event.Str("cause", o.Cause)
	if o.Hint != "" {
		event = event.Str("hint", o.Hint)
	}
	if outage := now.Sub(s.machine.since); outage > 0 {
		event = event.Stringer("outage", outage.Round(time.Second))
	}
	event.Int64("batches_waiting", s.waiting()).
		Stringer("retry_in", s.machine.until.Sub(now).Round(10*time.Millisecond)).
		Msg("delivery fails; everything is kept")
}

// refused decides between a bad batch and a wrong endpoint.
func (s *Shipper) refused(now time.Time, h *held, o Outcome) {
	s.suspect.refusals++
	switch {
	case s.suspect.guilty(h):
		s.suspect = suspect{}
		s.forget(h)
		s.ledger.Lose(LostRejected, h.Items)
		s.log.Error().Str("batch", metric.BatchID(h.Epoch, h.Seq)).Int64("points", h.Items).
			Str("cause", o.Cause).Msg("gave up a batch that the backend refuses while it accepts others")
	case s.suspect.refusals >= refusalsMax:
		o.Verdict = Pause
		o.Hint = "nothing is accepted: check HEKA_ENDPOINT and HEKA_EXPORTER"
		s.failed(now, h, o)
	default:
		h.late = true
		s.suspect.accuse(h)
		s.machine.answered(now)
		s.log.Warn().Str("batch", metric.BatchID(h.Epoch, h.Seq)).Str("cause", o.Cause).
			Msg("the backend refused a batch; it is kept until another one is accepted")
	}
}

// remove drops a batch from memory.
func (s *Shipper) remove(h *held) {
	s.memory = slices.DeleteFunc(s.memory, func(other *held) bool {
		return other.Epoch == h.Epoch && other.Seq == h.Seq
	})
}

// forget drops a batch from memory and from the spool.
func (s *Shipper) forget(h *held) {
	s.remove(h)
	if h.spooled {
		s.spool.Ack(h.Epoch, h.Seq)
	}
}

// waiting counts the batches that are not acknowledged.
func (s *Shipper) waiting() int64 {
	var n int64
	if s.spool != nil {
		n = s.spool.Pending()
	}
	for _, h := range s.memory {
		if !h.spooled {
			n++
		}
	}
	return n
}
