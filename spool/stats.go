package spool

import (
	"maps"
	"slices"
	"strings"
)

// The spool's own reasons for loss.
const (
	reasonEvicted = "spool_evicted"
	reasonExpired = "spool_expired"
	reasonCorrupt = "spool_corrupt"
	reasonDead    = "spool_dead"
	otherReason   = "other"
)

// Loss counts the points given up for one reason over the directory's life.
type Loss struct {
	Reason string
	Points int64
}

// Stats is a snapshot. Totals count points over the directory's life and obey
//
//	Appended = Delivered + Evicted + Expired + Corrupt + Dead + Points
//
// A dead letter that is replayed counts as appended again.
type Stats struct {
	// Records, Points and Bytes are what waits to be delivered; Bytes counts
	// payloads.
	Records, Points, Bytes int64
	// DiskBytes is what the segments and sidecars occupy, delivered records included, and
	// what is in dead/ and quarantine/.
	DiskBytes int64
	// Letters counts the files of dead letters, those to be sent again included,
	// LetterPoints the points in them.
	Letters, LetterPoints int64
	// LettersLost counts the points, over the directory's life, that were refused
	// for good and have no letter any more: it was removed to make room, or could
	// not be written. They are among Dead, and no loss of their own.
	LettersLost int64
	// OldestMS is the TimeMS of the record that Oldest would return, 0 if none.
	OldestMS int64
	// Cause says why the disk is unusable, nil while it is usable.
	Cause error
	// Appended and Delivered are totals of points, as are the losses.
	Appended, Delivered, Evicted, Expired, Corrupt, Dead int64
	// Foreign counts records of another version that are left in place.
	Foreign int64
	// Fsyncs counts calls since Open.
	Fsyncs int64
}

// Stats returns the current figures. It does not touch the disk.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.unlock()
	st := Stats{
		Cause: s.cause, DiskBytes: s.used + s.dead.bytes + s.kept.bytes, Fsyncs: s.fsyncs.Load(),
		Letters: int64(len(s.dead.files)), LetterPoints: s.dead.points, LettersLost: s.ledger.lettersLost,
	}
	for _, seg := range s.segs {
		st.Records += int64(seg.records)
		st.Points += seg.points
		st.Bytes += seg.bytes
		st.Foreign += int64(seg.foreign)
	}
	if seg, i := s.head(0, nil); seg != nil {
		st.OldestMS = seg.entries[i].timeMS
	}
	t := s.totals()
	st.Appended, st.Delivered = t.appended, t.delivered
	st.Evicted, st.Expired, st.Corrupt, st.Dead = t.evicted, t.expired, t.corrupt, t.dead
	return st
}

// Losses returns the cumulative loss by reason, sorted by reason, including
// what was reported to Lose. The spool's own reasons are all there, lost or not.
func (s *Spool) Losses() []Loss {
	s.mu.Lock()
	defer s.unlock()
	all := maps.Clone(s.ledger.losses)
	t := s.totals()
	t.losses(func(reason string, points int64) { all[reason] = points })
	out := make([]Loss, 0, len(all))
	for reason, points := range all {
		out = append(out, Loss{reason, points})
	}
	slices.SortFunc(out, func(a, b Loss) int { return strings.Compare(a.Reason, b.Reason) })
	return out
}

// Lose adds points that the owner gave up for a reason of its own, so that one
// durable ledger holds every loss. It never blocks on the disk: Run writes the
// ledger within a second, or when the disk is usable again. Reasons are short
// snake_case words; those that start with "spool_" belong to the spool.
func (s *Spool) Lose(reason string, points int64) {
	if points <= 0 {
		return
	}
	s.mu.Lock()
	defer s.unlock()
	s.ledger.losses[reason[:min(len(reason), maxReason)]] += min(points, maxLoss)
	s.ledgerEdits++
}

// tally counts points by what became of them.
type tally struct {
	appended, delivered, evicted, expired, corrupt, dead int64
}

// add adds sign times o.
func (t *tally) add(o tally, sign int64) {
	t.appended += sign * o.appended
	t.delivered += sign * o.delivered
	t.evicted += sign * o.evicted
	t.expired += sign * o.expired
	t.corrupt += sign * o.corrupt
	t.dead += sign * o.dead
}

// settle counts points under their fate; of those that are delivered, some may
// be dead.
func (t *tally) settle(f fate, points, dead int64) {
	switch f {
	case delivered:
		t.delivered += points - dead
		t.dead += dead
	case evicted:
		t.evicted += points
	case expired:
		t.expired += points
	case corrupt:
		t.corrupt += points
	case pending, moved:
	}
}

// losses calls put for each reason of the spool's own, in order.
func (t *tally) losses(put func(reason string, points int64)) {
	put(reasonCorrupt, t.corrupt)
	put(reasonDead, t.dead)
	put(reasonEvicted, t.evicted)
	put(reasonExpired, t.expired)
}

// all are the ledger's totals with the points that never were in a segment.
func (l *ledger) all() tally {
	t := l.totals
	t.appended += l.direct
	t.dead += l.direct
	return t
}

// loss returns where a reason of the spool's own is counted, else nil.
func (t *tally) loss(reason string) *int64 {
	switch reason {
	case reasonCorrupt:
		return &t.corrupt
	case reasonDead:
		return &t.dead
	case reasonEvicted:
		return &t.evicted
	case reasonExpired:
		return &t.expired
	}
	return nil
}

// ever is how many items were appended in the directory's life, whatever became
// of earlier ledgers, without those that are in bad segments and will be written again; mu is held.
func (s *Spool) ever() uint64 {
	n := int64(s.ledger.origin) + s.totals().appended - s.ledger.direct
	for _, seg := range s.segs {
		for k := range seg.copies {
			if e := &seg.entries[seg.covered+k]; seg.bad && e.fate == pending {
				n -= int64(e.items)
			}
		}
	}
	return uint64(n)
}

// totals adds up what is gone and what is there; mu is held.
func (s *Spool) totals() tally {
	t := s.ledger.all()
	for _, seg := range s.retired {
		t.add(seg.tally, 1)
	}
	for _, seg := range s.segs {
		t.add(seg.tally, 1)
	}
	return t
}
