package ship

import (
	"net/http"
	"time"
)

const (
	// refusalsMax is how many refusals in a row, with nothing accepted among
	// them, mean that the endpoint is wrong and not the batches.
	refusalsMax = 8
	// refusalsDoubt is when the backlog begins to wait for live batches to tell
	// the one from the other.
	refusalsDoubt = 3
	// failuresMax is how many answers with the same 5xx to one batch, with
	// others accepted between any two of them, mean that the batch is bad.
	failuresMax = 5
	// silencesMax is that number for requests that got no answer, or another
	// that asks for a retry: the way to the backend may be what is bad.
	silencesMax = 20
)

// settle takes the outcome of the request under way.
func (s *Shipper) settle(now time.Time, o Outcome) {
	h, part := s.inflight, s.part
	s.inflight = nil
	s.cancel()
	defer func() { s.sent = Payload{} }()
	if !o.Unsent {
		s.stats.attempt(o)
	}
	o.Verdict = s.suspect.judge(h.ID, part, s.piecesOf(h), o)
	switch o.Verdict {
	case Acked:
		s.acked(now, h, part, o)
	case Reject, TooLarge, Decline:
		s.refused(now, h, part, o)
	case Unsupported:
		s.unsupported(now, h, o)
	default:
		s.failed(now, h, o)
	}
}

// suspect is the batch whose request last failed.
type suspect struct {
	id       ID // of the batch
	part     uint16
	failures int
	answers  int  // in a row, with nothing else accepted among them
	vouched  bool // another batch was accepted since the last of them
	proven   bool // of the batch, by answers of the backend
}

// waits reports whether it is time to see if others pass, in strict order too.
func (s *suspect) waits() bool { return s.answers >= failuresMax }

// vouch notes that another batch was accepted.
func (s *suspect) vouch() { s.vouched, s.answers = true, 0 }

// judge makes a refusal of failing again and again for one batch while others
// pass. Some backends answer 5xx to a point that they cannot stand: the batch is
// cut, and once it was found guilty, the first such answer condemns a part to be
// cut; one that cannot be cut has to be found guilty by itself. Where no answer
// tells anything, the whole batch is declined. Asking for less is no failure.
func (s *suspect) judge(id ID, part uint16, p *pieces, o Outcome) Verdict {
	if o.Verdict != Retry || o.Status == http.StatusServiceUnavailable || o.Status == http.StatusTooManyRequests {
		return o.Verdict
	}
	if s.id != id {
		*s = suspect{id: id}
	}
	if s.part != part {
		s.part, s.failures = part, 0
	}
	if s.failures == 0 || s.vouched {
		s.failures++
	}
	s.vouched = false
	s.answers++
	switch answered := o.Status >= 500; {
	case answered && (s.failures >= failuresMax || s.proven && p != nil && p.divisible(part)):
		s.proven = true
		return Reject
	case s.failures >= silencesMax:
		return Decline
	}
	return Retry
}

// acked takes an acknowledged batch, or part of one.
func (s *Shipper) acked(now time.Time, h *held, part uint16, o Outcome) {
	if !o.Unsent {
		s.vouch(h)
	}
	if o.RejectedPoints > 0 {
		s.rejected(now, h, part, o)
	} else {
		s.settled(h, Mark{part, PartDelivered})
	}
	if o.Unsent {
		s.machine.until = now.Add(retryFloor) // what is cheap is no burst either
		return
	}
	s.stats.delivered(now, h, itemsOf(part, h.Items)-o.RejectedPoints)
	failures := s.machine.failures
	if s.machine.acked(now, s.backlog) {
		outage := now.Sub(s.machine.since)
		s.cutNow = outage >= s.cfg.Rules.BatchInterval
		s.say.recovered(s.log, outage, failures, s.waiting())
	}
}

// vouch notes that the backend accepts something, whatever it refuses.
func (s *Shipper) vouch(h *held) {
	s.refusals = 0
	s.limit.disprove(len(s.sent.Body))
	s.known.disprove(len(s.sent.Body))
	if s.suspect.id != h.ID {
		s.suspect.vouch()
	}
	if s.pieces != nil && s.pieces.id != h.ID {
		s.pieces.vouch()
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
	s.say.failed(s.log, now, began, o, s.machine, s.waiting(), s.kept())
}

// refused decides between a bad batch and a wrong endpoint. A live batch joins
// the backlog; one of the backlog is cut, to find what is bad in it.
func (s *Shipper) refused(now time.Time, h *held, part uint16, o Outcome) {
	h.late = true
	if o.Verdict == TooLarge && itemsOf(part, h.Items) > 1 {
		s.tooLarge(now, o)
	}
	if o.Verdict != TooLarge || itemsOf(part, h.Items) <= 1 || s.inDoubt() {
		s.refusals++
	}
	todo := s.piecesOf(h)
	decline := o.Verdict == Decline
	if todo == nil && (s.backlog || s.pieces == nil) || todo != nil && todo.declined && !decline {
		todo = s.cutUp(h, decline)
	}
	if todo != nil {
		todo.refuse(part, o.Cause, o.Verdict == TooLarge)
	}
	if s.refusals >= refusalsMax {
		o.Verdict = Pause
		o.Hint = "nothing is accepted: check HEKA_ENDPOINT and HEKA_EXPORTER, and the limits of the backend and of proxies"
		s.failed(now, h, o)
		return
	}
	if o.Unsent {
		s.machine.until = now.Add(retryFloor)
	} else {
		s.machine.answered(now)
	}
	s.say.refused(s.log, now, h, o)
}

// kept says where what is not delivered stays, and so what bounds it.
func (s *Shipper) kept() string {
	if s.spool == nil {
		return "in memory, up to HEKA_QUEUE_MAX_BYTES"
	}
	return "on disk, up to HEKA_SPOOL_MAX_BYTES"
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
