package ship

import (
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

const (
	// refusalsMax is how many refusals in a row, with nothing accepted among
	// them, mean that the endpoint is wrong and not the batches.
	refusalsMax = 8
	// strikesMax is how many refusals of one batch, with others accepted
	// between any two of them, mean that the batch is bad.
	strikesMax = 3
)

// suspect is a backlog batch that the backend refused. Until another batch has
// been accepted the endpoint may be what is wrong, and the backlog waits.
type suspect struct {
	epoch, seq uint64
	strikes    int
	cleared    bool // another batch was accepted since the last strike
}

// waits reports whether the backlog has to wait for another batch's fate.
func (s *suspect) waits() bool { return s.strikes > 0 && !s.cleared }

// strike counts a refusal and reports whether it was one too many.
func (s *suspect) strike(h *held) (guilty bool) {
	if s.epoch != h.Epoch || s.seq != h.Seq {
		*s = suspect{epoch: h.Epoch, seq: h.Seq}
	}
	s.strikes++
	s.cleared = false
	return s.strikes >= strikesMax
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
	there := s.forget(h)
	s.suspect.cleared = true
	s.refusals = 0
	s.stats.delivered(now, h, h.Items-o.RejectedPoints)
	if o.RejectedPoints > 0 {
		if there {
			s.ledger.Lose(LostRejected, o.RejectedPoints)
		}
		s.say.rejected(s.log, now, o)
	}
	failures := s.machine.failures
	if s.machine.acked(now, s.backlog) {
		outage := now.Sub(s.machine.since)
		s.cutNow = outage >= s.cfg.Rules.BatchInterval
		s.say.recovered(s.log, outage, failures, s.waiting())
	}
}

// failed keeps everything: all that is in memory is late now, and goes to the
// spool at the next step.
func (s *Shipper) failed(now time.Time, h *held, o Outcome) {
	h.late = true
	for _, other := range s.memory {
		other.late = true
	}
	began := s.machine.failed(now, o, s.backlog)
	s.say.failed(s.log, now, began, o, s.machine, s.waiting())
}

// refused decides between a bad batch and a wrong endpoint. A live batch joins
// the backlog; one of the backlog is set aside after strikesMax refusals.
func (s *Shipper) refused(now time.Time, h *held, o Outcome) {
	h.late = true
	s.refusals++
	if s.refusals >= refusalsMax {
		o.Verdict = Pause
		o.Hint = "nothing is accepted: check HEKA_ENDPOINT and HEKA_EXPORTER"
		s.failed(now, h, o)
		return
	}
	s.machine.answered(now)
	if !s.backlog || !s.suspect.strike(h) {
		s.say.refused(s.log, now, h, o)
		return
	}
	s.suspect = suspect{}
	s.giveUp(h, o)
}

// giveUp takes a bad batch out of the way: to the spool's dead letters, or if
// there is no spool it is lost. While the disk is unusable the batch waits.
func (s *Shipper) giveUp(h *held, o Outcome) {
	event := s.log.Error().Str("batch", metric.BatchID(h.Epoch, h.Seq)).Int64("points", h.Items).Str("cause", o.Cause)
	if s.spool == nil {
		s.remove(h)
		s.ledger.Lose(LostRejected, h.Items)
		event.Msg("gave up a batch that the backend refuses while it accepts others: its points are lost")
		return
	}
	if !h.spooled {
		if s.spool.Append(h.Entry) != nil {
			return
		}
		h.spooled = true
	}
	if s.spool.SetAside(h.Epoch, h.Seq, o.Cause) != nil {
		return
	}
	s.remove(h)
	event.Str("hint", "heka-insights-agent spool dead; mend the cause, then spool replay").
		Msg("set a batch aside that the backend refuses while it accepts others")
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
