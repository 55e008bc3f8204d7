package ship

import (
	"sync"
	"time"
)

// Stats says how delivery does. Counts are of this process.
type Stats struct {
	// Phase is healthy, ramping, down or paused.
	Phase string
	// DeliveredBatches and DeliveredPoints were acknowledged; a part of a batch
	// counts as one.
	DeliveredBatches, DeliveredPoints int64
	// Attempts counts requests, Failures those that were not acknowledged.
	Attempts, Failures int64
	// QueuePoints wait in the queue to be batched.
	QueuePoints int64
	// MemoryBytes is what counts against the memory bound: the queue, and the
	// batches in memory.
	MemoryBytes int64
	// WaitingBatches are cut and not acknowledged, on disk or in memory.
	WaitingBatches int64
	// RefusedSeries are left out of batches, since the backend refuses them.
	RefusedSeries int64
	// LastDelivery is when a batch was last acknowledged; zero if never.
	LastDelivery time.Time
	// Lag is how old the newest sample of that batch was by then.
	Lag time.Duration
	// Cause is why the last attempt failed; empty while delivery is healthy.
	Cause string
}

// statsBox shares Stats between Run and its readers.
type statsBox struct {
	mu    sync.Mutex
	stats Stats // guarded by mu
}

// Stats returns a copy; it never blocks on delivery. Safe for concurrent use.
func (s *Shipper) Stats() Stats {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	return s.stats.stats
}

func (b *statsBox) attempt(o Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats.Attempts++
	b.stats.Cause = ""
	if o.Verdict != Acked {
		b.stats.Failures++
		b.stats.Cause = o.Cause
	}
}

func (b *statsBox) delivered(now time.Time, h *held, points int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats.DeliveredBatches++
	b.stats.DeliveredPoints += points
	b.stats.LastDelivery = now
	b.stats.Lag = max(now.Sub(time.UnixMilli(h.TimeMS)), 0)
}

// publish refreshes what is read off the shipper's own state.
func (s *Shipper) publish() {
	q := s.queue.state()
	waiting := s.waiting()
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	s.stats.stats.Phase = s.machine.phase.String()
	s.stats.stats.QueuePoints = q.points
	s.stats.stats.MemoryBytes = q.bytes + q.held
	s.stats.stats.WaitingBatches = waiting
	s.stats.stats.RefusedSeries = int64(len(s.refused.condemned))
}
