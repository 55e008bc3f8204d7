package ship

import (
	"slices"
	"time"
	"unsafe"
)

// heldOverhead is what a batch takes in memory beside its body.
const heldOverhead = 128

// remove drops a batch from memory.
func (s *Shipper) remove(h *held) {
	s.memory = slices.DeleteFunc(s.memory, func(other *held) bool {
		return other.ID == h.ID
	})
}

// forget drops a batch from memory and from the spool. It reports whether the
// batch was still there: a loss of one that the spool has evicted meanwhile is
// counted already.
func (s *Shipper) forget(h *held) bool {
	s.remove(h)
	return !h.spooled || s.spool.Ack(h.ID)
}

// protect moves batches to the spool when the mode says so. What cannot be
// spooled stays in memory.
func (s *Shipper) protect(now time.Time) {
	if s.spool == nil {
		return
	}
	all := s.cfg.Mode == SpoolAlways || s.machine.isDown() || s.inMemoryBytes() > s.queue.maxBytes/2
	if s.inflight != nil && now.Sub(s.sentAt) >= unackedMax {
		all = true
	}
	for _, h := range s.memory {
		if h.spooled || !all && !h.late {
			continue
		}
		if s.spool.Append(h.Entry) != nil {
			break // the spool says why by itself
		}
		h.spooled = true
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
		return h.spooled && h.late && h != s.inflight && h != probe
	})
}

// bound holds the memory bound, with room for the next tick: the newest data
// is worth most. The oldest batches go first: to the spool, even if that has to
// evict older ones for them; what it has is only forgotten here. What it cannot
// take is lost, and counted.
func (s *Shipper) bound(now time.Time) {
	for reason, points := range s.queue.takeLost() {
		s.lose(now, reason, points)
	}
	q := s.queue.state()
	over := func() bool { return q.bytes+q.next+s.inMemoryBytes() > s.queue.maxBytes }
	if over() && s.spool != nil && s.spool.MakeRoom() == nil {
		s.protect(now)
	}
	for over() {
		i := slices.IndexFunc(s.memory, func(h *held) bool { return h != s.inflight })
		if i < 0 {
			break
		}
		if oldest := s.memory[i]; !oldest.spooled {
			s.lose(now, LostQueueFull, oldest.left())
		}
		s.memory = slices.Delete(s.memory, i, i+1)
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

func (s *Shipper) inMemoryBytes() int64 {
	var n int64
	for _, h := range s.memory {
		n += heldOverhead + int64(len(h.Payload)) + int64(len(h.Marks))*int64(unsafe.Sizeof(Mark{}))
	}
	return n
}

// left is how many points of a batch are neither delivered nor dead. Marks of
// the shipper's own making never overlap.
func (h *held) left() int64 {
	n := h.Items
	for _, m := range h.Marks {
		if m.Fate != PartCut {
			n -= itemsOf(m.Part, h.Items)
		}
	}
	return n
}
