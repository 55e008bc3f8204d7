package ship

import (
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// firstTicks is how many ticks the first batch of a process holds: the fewest
// with a CPU utilisation in them.
const firstTicks = 2

// cutDue reports whether the queue's ticks should become a batch now. A cut
// that is due within half an interval is made right after a tick, so that a
// batch's newest tick is fresh when it leaves.
func (s *Shipper) cutDue(now time.Time) bool {
	q := s.queue.state()
	switch {
	case q.ticks == 0:
		return false
	case s.cutNow, q.points >= int64(s.cfg.BatchMaxPoints), q.bytes >= s.queue.maxBytes/4:
		return true
	case s.nextCut.IsZero():
		return q.ticks >= firstTicks
	default:
		return !now.Add(s.cfg.Interval / 2).Before(s.nextCut)
	}
}

// cut turns all queued ticks into batches.
func (s *Shipper) cut(now time.Time) {
	early := s.cutNow
	s.cutNow = false
	s.scheduleCut(now)
	before, pointsBefore := s.seq, s.cutPoints
	s.builder.maxBytes = s.cfg.BatchMaxBytes
	if most := s.limit.plain(now, s.cfg.BatchMaxBytes); most < s.cfg.BatchMaxBytes {
		s.builder.maxBytes = min(int64(float64(most)*max(s.looseness, 1)), s.cfg.BatchMaxBytes)
	}
	for _, t := range s.queue.take() {
		for from := 0; ; {
			if from = s.builder.add(t, from); from == len(t.points) {
				break
			}
			s.seal()
		}
	}
	s.seal()
	s.draft.void = s.draft.first > 0
	if made, took := float64(s.seq-before), now.Sub(s.lastCut); !early && took > 0 {
		perInterval := float64(s.cfg.Rules.BatchInterval) / float64(took)
		s.machine.liveRate = made * perInterval
		s.livePoints = int64(float64(s.cutPoints-pointsBefore) * perInterval)
	}
	if s.livePoints == 0 {
		s.livePoints = s.cutPoints
	}
	s.lastCut = now
}

// scheduleCut sets the next cut after now. The first one takes its phase from
// the wall clock; from there cuts follow the monotonic clock.
func (s *Shipper) scheduleCut(now time.Time) {
	every := s.cfg.Rules.BatchInterval
	if s.nextCut.IsZero() {
		late := (time.Duration(now.UnixNano()) - s.cutPhase()) % every
		s.nextCut = now.Add(every - late)
		return
	}
	served := now.Add(s.cfg.Interval / 2)
	for !s.nextCut.After(served) {
		s.nextCut = s.nextCut.Add(every)
	}
	for s.nextCut.Add(-every).After(served) { // an outage's long interval is over
		s.nextCut = s.nextCut.Add(-every)
	}
	if s.machine.isDown() && now.Sub(s.machine.since) > longOutage {
		s.nextCut = s.nextCut.Add(max(outageInterval/every-1, 0) * every)
	}
}

// seal makes the builder's ticks a batch in memory, with the next seq.
func (s *Shipper) seal() {
	if len(s.builder.times) == 0 {
		return
	}
	s.seq++
	entry := s.build(s.seq)
	s.cutPoints += entry.Items
	s.memory = append(s.memory, &held{Entry: entry, late: s.machine.isDown()})
}

// build makes a batch of the builder's ticks, and empties it.
func (s *Shipper) build(seq uint64) Entry {
	batch := metric.Batch{
		Agent:      s.cfg.Agent,
		Resource:   s.cfg.Resource,
		StartMS:    s.cfg.StartMS,
		IntervalMS: s.cfg.Interval.Milliseconds(),
		Times:      s.builder.times,
		Series:     s.builder.series,
		Loss:       AllLosses(s.ledger),
	}
	batch.Agent.Seq = seq
	entry := Entry{
		ID:     ID{Epoch: s.cfg.Agent.Epoch, Seq: seq},
		Items:  int64(s.builder.points),
		TimeMS: s.builder.newestMS(),
	}
	entry.Payload = s.encode(&batch)
	s.looseness = s.builder.looseness(len(s.scratch))
	s.builder.reset()
	return entry
}
