package ship

import (
	"slices"
	"time"
)

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
// stays during an outage, as its probe; in strict order it is one only while
// the oldest is under suspicion.
func (s *Shipper) prune() {
	var probe *held
	if n := len(s.memory); n > 0 && s.machine.isDown() && (!s.cfg.FIFO || s.suspect.waits()) {
		probe = s.memory[n-1]
	}
	s.memory = slices.DeleteFunc(s.memory, func(h *held) bool {
		return h.spooled && h.late && h != s.inflight && h != probe
	})
}

// bound holds the memory bound: the oldest batches go first. What the spool
// has is only forgotten; the rest is lost, and counted.
func (s *Shipper) bound() {
	for s.queue.state().bytes+s.inMemoryBytes() > s.queue.maxBytes {
		oldest := s.oldestDroppable()
		if oldest == nil {
			break
		}
		if !oldest.spooled {
			s.ledger.Lose(LostQueueFull, oldest.Items)
		}
		s.remove(oldest)
	}
	s.queue.hold(s.inMemoryBytes())
}

func (s *Shipper) oldestDroppable() *held {
	for _, h := range s.memory {
		if h != s.inflight {
			return h
		}
	}
	return nil
}

func (s *Shipper) inMemoryBytes() int64 {
	var n int64
	for _, h := range s.memory {
		n += heldOverhead + int64(len(h.Payload))
	}
	return n
}

// heldOverhead is what a batch takes in memory beside its body.
const heldOverhead = 128
