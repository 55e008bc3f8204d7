package ship

import (
	"slices"
	"time"
)

// heldOverhead is what a batch takes in memory beside its body.
const heldOverhead = 128

// remove drops a batch from memory.
func (s *Shipper) remove(h *held) {
	s.memory = slices.DeleteFunc(s.memory, func(other *held) bool {
		return other.ID == h.ID
	})
}

// forget drops a batch from memory and from the spool, of which so many points
// are dead. It reports whether the batch was still there: one that the spool has
// evicted meanwhile is counted already.
func (s *Shipper) forget(h *held, dead int64) bool {
	s.remove(h)
	return !h.spooled || s.spool.Ack(h.ID, dead)
}

// protect moves batches to the spool when the mode says so. What cannot be
// spooled stays in memory.
func (s *Shipper) protect(now time.Time) {
	if s.spool == nil {
		return
	}
	all := s.cfg.Mode == SpoolAlways || s.fails(now) || s.inMemoryBytes() > s.queue.maxBytes/2
	for _, h := range s.memory {
		if h.spooled || !all && !h.late {
			continue
		}
		if s.spool.Append(h.Entry) != nil {
			break // the spool says why by itself
		}
		h.spooled = true
	}
	if s.draft.void && !slices.ContainsFunc(s.memory, func(h *held) bool { return !h.spooled }) {
		s.endDraft(ID{s.cfg.Agent.Epoch, s.seq})
	}
	s.prune()
}

// prune forgets the memory of late batches that the spool has. The newest
// stays during an outage, as its probe; in strict order it is one only if the
// oldest is under suspicion, or can be neither read nor set aside.
func (s *Shipper) prune() {
	var probe *held
	if n := len(s.memory); n > 0 && s.machine.isDown() {
		probe = s.memory[n-1]
	}
	s.memory = slices.DeleteFunc(s.memory, func(h *held) bool {
		return h.spooled && h.late && !s.sends(h) && h != probe
	})
}

// bound holds the memory bound, with room for the next tick: the newest data
// is worth most. The oldest batches go first: to the spool, even if that has to
// evict older ones for them; what it has is only forgotten here. What it cannot
// take is lost, and counted.
func (s *Shipper) bound(now time.Time) {
	for reason, points := range s.queue.takeLost() {
		if reason == LostQueueFull && s.draft.first > 0 {
			s.draft.void = true // it holds them too
			s.endDraft(ID{s.cfg.Agent.Epoch, s.draft.first})
		}
		s.lose(now, reason, points)
	}
	q := s.queue.state()
	over := func() bool { return q.bytes+q.next+s.inMemoryBytes() > s.queue.maxBytes }
	if over() && s.spool != nil && s.spool.MakeRoom() == nil {
		s.protect(now)
	}
	for over() {
		i := slices.IndexFunc(s.memory, func(h *held) bool { return !s.sends(h) })
		if i < 0 {
			break
		}
		oldest := s.memory[i]
		s.memory = slices.Delete(s.memory, i, i+1)
		if !oldest.spooled {
			s.drop(now, oldest)
		}
	}
	s.queue.hold(s.inMemoryBytes())
}

// lose counts lost points, and says so when it is the memory bound's doing.
func (s *Shipper) lose(now time.Time, reason string, points int64) {
	s.ledger.Lose(reason, points)
	if reason == LostQueueFull {
		s.say.dropped(s.log, now, points)
	}
}

// drop loses a batch that nothing but memory had: what the backend refuses of it
// as rejected, and the rest for want of memory.
func (s *Shipper) drop(now time.Time, h *held) {
	if s.search != nil && s.search.d.id == h.ID {
		s.endSearch()
	}
	s.endDraft(h.ID)
	refused, rest := s.left(h)
	delete(s.deliveries, h.ID)
	s.lose(now, LostRejected, refused)
	s.lose(now, LostQueueFull, rest)
}

// left is how many points of a batch are not delivered: those that the backend
// refuses, and others.
func (s *Shipper) left(h *held) (refused, rest int64) {
	d := s.deliveries[h.ID]
	if d == nil {
		return 0, h.Items
	}
	if d = s.deliveryOf(h); d == nil {
		return 0, h.Items
	}
	d.refused(d.of(func(x seriesHash) bool { return s.refused.condemned[x] != nil }).with(d.bad))
	return d.dead.count(), d.left.count()
}

// sends reports whether the request under way carries a batch.
func (s *Shipper) sends(h *held) bool { return s.inflight != nil && s.inflight.held == h }

func (s *Shipper) inMemoryBytes() int64 {
	var n int64
	for _, h := range s.memory {
		n += heldOverhead + int64(len(h.Payload)) + int64(len(h.Note))
	}
	return n
}
