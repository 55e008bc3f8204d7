package ship

import (
	"errors"
	"time"
)

// draft is what the spool has of the batch that is being built, a record a tick:
// a kill costs no more than the tick under way. The zero value is none.
type draft struct {
	first   uint64 // seq of the batch, and of the first record; 0 before there was any
	records int
	next    int64 // number of the queue's tick that is not in it yet
	// void: its ticks are in batches by now. It stays until one of them is sent, or
	// all are on disk.
	void bool
}

// keepDraft has the spool keep the ticks that no batch holds, while delivery
// fails or the mode says so.
func (s *Shipper) keepDraft(now time.Time) {
	if s.spool == nil || s.draft.void || s.cfg.Mode != SpoolAlways && !s.fails(now) {
		return
	}
	ticks, end := s.queue.since(s.draft.next)
	for i, t := range ticks {
		for from, more := 0, true; more; more = from < len(t.points) {
			begun := from > 0
			from = s.builder.add(t, from)
			err := s.addDraft()
			if errors.Is(err, ErrDraftLost) || err != nil && begun { // no point is in it twice
				s.draft = draft{first: s.draft.first} // the next step begins anew
			}
			if err != nil {
				return // the spool says why by itself
			}
		}
		s.draft.next = end - int64(len(ticks)-1-i)
	}
}

// addDraft keeps what the builder holds.
func (s *Shipper) addDraft() error {
	d := &s.draft
	d.first = s.seq + 1
	looseness := s.looseness // a tick's says nothing of a batch's
	e := s.build(d.first + uint64(d.records))
	s.looseness = looseness
	err := s.spool.Draft(e, d.records)
	if err == nil {
		d.records++
	}
	return err
}

// holds reports whether points of a batch are in the draft.
func (d *draft) holds(id ID, epoch uint64) bool {
	return d.void && id.Epoch == epoch && id.Seq >= d.first
}

// endDraft gives up the draft, if it holds points of a batch.
func (s *Shipper) endDraft(id ID) {
	if s.draft.holds(id, s.cfg.Agent.Epoch) {
		_ = s.spool.Discard() // at worst a kill has points sent twice
		s.draft = draft{}
	}
}

// fails reports whether delivery is known to fail.
func (s *Shipper) fails(now time.Time) bool {
	return s.machine.isDown() || s.inflight != nil && now.Sub(s.sentAt) >= unackedMax
}
