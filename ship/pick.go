package ship

import (
	"context"
	"slices"
	"time"
)

// purpose is why a request is made.
type purpose uint8

const (
	// ofBatch delivers a batch, or what is next of it.
	ofBatch purpose = iota
	// ofSearch answers a search's question about its batch, ofOther one about
	// another batch.
	ofSearch
	ofOther
	// ofProbe asks with a single series of a batch whether anything is accepted.
	ofProbe
	// ofRetest asks whether a refused series is accepted by now, ofRetestOthers
	// whether all others are as well: with their points of a fresh batch.
	ofRetest
	ofRetestOthers
)

// dispatch is what to send: a batch in memory or of the spool, or some of it.
type dispatch struct {
	*held
	purpose purpose
	backlog bool
	live    bool // it was never tried before
	further bool // it is out of turn, to see whether anything is accepted
	// d and points are nil for a batch that is sent as it is.
	d      *delivery
	points points
	// series and ticks say where in the batch those of the body are; nil: they
	// are the same.
	series, ticks []int
	payload       Payload
	variant       bodyVariant
	// lenient is which failures the search takes for refusals that begins with
	// the answer.
	lenient leniency
}

// pick chooses what to send now, if anything. Live batches go first; an outage
// is probed with the newest batch, so that the first thing to arrive is fresh
// and a bad old batch cannot keep the outage alive.
func (s *Shipper) pick(now time.Time) *dispatch {
	if s.inflight != nil || now.Before(s.machine.until) {
		return nil
	}
	if s.machine.isDown() {
		return s.probe(now)
	}
	if !s.strict() {
		if d := s.live(now); d != nil {
			return d
		}
	}
	if s.search != nil {
		return s.question(now)
	}
	if s.strict() && !s.hasBacklog() {
		if d := s.live(now); d != nil {
			return d
		}
	}
	if !s.machine.mayDrain(now) {
		return nil
	}
	if d := s.oldest(now); d != nil || !s.strict() {
		return d
	}
	return s.live(now) // what cannot be read does not hold up the rest
}

// strict reports whether batches go in strict order.
func (s *Shipper) strict() bool { return s.cfg.FIFO || s.age.order }

// live returns the oldest batch that was not tried before, or nil. One that is
// known to be too large joins the backlog, to be cut.
func (s *Shipper) live(now time.Time) *dispatch {
	for _, h := range slices.Clone(s.memory) {
		if h.late = h.late || s.forbids(now, len(h.Payload)); h.late || s.rests(now, h.ID) {
			continue
		}
		if d := s.prepare(now, h); d != nil {
			d.live = true
			return d
		}
	}
	return nil
}

// oldest returns the head of the backlog: the spool's, then memory's. Finding
// none ends ramping.
func (s *Shipper) oldest(now time.Time) *dispatch {
	for range settledAtOnce {
		h := s.head(now)
		if h == nil {
			s.machine.backlogEmpty()
			return nil
		}
		if d := s.prepare(now, h); d != nil {
			d.backlog = true
			return d
		}
	}
	s.machine.until = now.Add(retryFloor) // others want their turn
	return nil
}

// settledAtOnce is how many batches may be settled in a row without a request.
const settledAtOnce = 32

// head returns the oldest batch of the backlog that can be sent, or nil.
func (s *Shipper) head(now time.Time) *held {
	if h := s.spooled(now, 0); h != nil {
		return h
	}
	for _, h := range s.memory {
		if h.late && !s.rests(now, h.ID) {
			return h
		}
	}
	return nil
}

// spooled returns the oldest batch of the spool that can be read and sent, and
// whose newest tick is not before sinceMS, or nil.
func (s *Shipper) spooled(now time.Time, sinceMS int64) *held {
	if s.spool == nil {
		return nil
	}
	var except []ID
	for id := range s.deliveries {
		if s.rests(now, id) {
			except = append(except, id)
		}
	}
	for id := range s.doubt.unread {
		if s.deliveries[id] == nil && s.rests(now, id) {
			except = append(except, id)
		}
	}
	e, ok := s.spool.Oldest(sinceMS, except)
	if !ok {
		return nil
	}
	e.Payload = slices.Clone(e.Payload) // the spool only lends it
	return &held{Entry: e, spooled: true, late: true}
}

// rests reports whether nothing is to be sent of a batch for now: it is under
// search, lacks only series that the backend refuses, or cannot be read and was
// refused, with nothing accepted since.
func (s *Shipper) rests(now time.Time, id ID) bool {
	if s.search != nil && s.search.d.id == id {
		return true
	}
	if at, refused := s.doubt.unread[id]; refused && at == s.acceptances {
		return true
	}
	d := s.deliveries[id]
	return d != nil && d.grid == nil && s.refused.waits(now, d)
}

// hasBacklog reports whether a batch waits that was tried, and can be sent.
func (s *Shipper) hasBacklog() bool {
	now := time.Now()
	var resting int64
	for id := range s.deliveries {
		if s.rests(now, id) && !slices.ContainsFunc(s.memory, func(h *held) bool { return h.ID == id && !h.spooled }) {
			resting++
		}
	}
	if s.spool != nil && s.spool.Pending() > resting {
		return true
	}
	return slices.ContainsFunc(s.memory, func(h *held) bool { return h.late && !h.spooled && !s.rests(now, h.ID) })
}

func (s *Shipper) send(ctx context.Context, now time.Time, d *dispatch) {
	s.endDraft(d.ID)
	s.inflight, s.sentAt = d, now
	if d.backlog {
		s.machine.sentBacklog(now, d.share())
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.requests <- request{ctx, d.payload}
}

// share is how much of its batch a request carries, in (0, 1].
func (d *dispatch) share() float64 {
	return min(max(float64(d.payload.Points)/float64(max(d.Items, 1)), 1e-6), 1)
}
