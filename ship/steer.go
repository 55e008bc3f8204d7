package ship

import (
	"slices"
	"time"
)

const (
	// searchRate is how many times the live rate, in points, a search may send.
	searchRate = 3
	// searchGapMin is the least time between two of its requests.
	searchGapMin = 100 * time.Millisecond
	// searchSpreadMax is how many batch intervals a search of a whole batch waits
	// at most before it begins: a fleet's searches do not begin together.
	searchSpreadMax = 5
	// searchSpreadStrict is that in strict order, where all else waits for it.
	searchSpreadStrict = 3
)

// searchGap is how long a search waits after it sent so many points.
func (s *Shipper) searchGap(sent int64) time.Duration {
	live := s.livePoints
	if live == 0 {
		live = max(sent, 1) // nothing was cut yet
	}
	return max(time.Duration(float64(sent)/float64(live)*float64(s.cfg.Rules.BatchInterval)/searchRate), searchGapMin)
}

// searchSpread is how long a search of these points waits before it begins.
func (s *Shipper) searchSpread(p points) time.Duration {
	most := float64(searchSpreadMax)
	if s.strict() {
		most = searchSpreadStrict
	}
	share := min(float64(p.count())/float64(max(s.livePoints, 1)), 1)
	return s.machine.uniform(0, time.Duration(share*most*float64(s.cfg.Rules.BatchInterval)))
}

// patience is how many times a search polls for other answers.
func (s *Shipper) patience() int { return int(4 * s.cfg.Rules.BatchInterval / searchPoll) }

// question returns the question of the search if it is due, or nil.
func (s *Shipper) question(now time.Time) *dispatch {
	for q := s.search; q != nil && !now.Before(q.due); q = s.search {
		switch p := q.pending; {
		case p.untilMS > 0:
			if out := s.otherBatch(now, p); out != nil {
				q.otherMS, q.otherAge = out.TimeMS, now.Sub(time.UnixMilli(out.firstMS()))
				return out
			}
		case p.points != nil:
			out := s.dispatchAs(q.held, q.d, p.points, p.variant)
			out.purpose = ofSearch
			return out
		}
		q.answer = false
		s.stepSearch(now, 0)
	}
	if s.search == nil || !s.search.pending.idle {
		return nil
	}
	// It waits for something else to be accepted. In strict order nothing would be:
	// after each refusal a batch is tried that is twice as far ahead, since a whole
	// backlog may be bad.
	if s.strict() && !s.hasBacklog() {
		return s.live(now)
	}
	if !s.machine.mayDrain(now) {
		return nil
	}
	if !s.strict() {
		return s.oldest(now)
	}
	if d := s.further(now, s.search.held, &s.search.ahead); d != nil {
		return d
	}
	return s.oldest(now)
}

// othersSkipped is how many batches are passed over for one that can be asked.
const othersSkipped = 64

// otherBatch returns what is next of another batch of the backlog, if all of its
// series were accepted with other batches since the search began, else one series
// that was, or nil: a refusal is not for the series then.
func (s *Shipper) otherBatch(now time.Time, q question) *dispatch {
	for range othersSkipped {
		h := s.spooled(now, q.sinceMS)
		for _, m := range s.memory {
			if h == nil && m.late && m.TimeMS >= q.sinceMS && !s.rests(now, m.ID) {
				h = m
			}
		}
		if h == nil || h.TimeMS >= q.untilMS {
			return nil
		}
		if out := s.knownSeries(now, h); out != nil {
			out.purpose = ofOther
			return out
		}
		q.sinceMS = h.TimeMS + 1
	}
	return nil
}

// knownSeries returns of a batch what otherBatch does.
func (s *Shipper) knownSeries(now time.Time, h *held) *dispatch {
	d := s.deliveryOf(h)
	if d == nil {
		return nil
	}
	chosen := !d.open && len(d.noted) == 0
	out := s.prepare(now, h)
	if out == nil {
		return nil
	}
	isKnown := func(x seriesHash) bool { return s.refused.since[x] }
	if all := d.of(isKnown); all.covers(out.points) {
		return out
	} else if chosen && !all.empty() {
		d.close()
		i := slices.IndexFunc(d.rest, isKnown)
		d.begin(portion{points: d.of(func(x seriesHash) bool { return x == d.rest[i] })})
		return s.prepare(now, h)
	}
	return nil
}

// firstMS is the time of a batch's first tick, as far as that is known.
func (d *dispatch) firstMS() int64 {
	if d.d == nil {
		return d.TimeMS
	}
	return d.d.grid.batch.Times[0]
}

// answerSearch gives the search under way the answer to its question.
func (s *Shipper) answerSearch(now time.Time, out *dispatch, accepted bool) {
	if s.search == nil {
		return
	}
	q := s.search
	if q.answer = accepted; accepted && out.purpose == ofSearch {
		q.taken = append(q.taken, portion{points: out.points})
	}
	s.stepSearch(now, out.payload.Points)
}

// stepSearch has the search go on, after so many points were sent for it, and
// takes its conclusion when it ends.
func (s *Shipper) stepSearch(now time.Time, sent int64) {
	q := s.search
	if q.advance(now, sent) {
		return
	}
	s.search = nil
	h, d := q.held, q.d
	h.late = true
	if n := len(d.todo); n > 0 && q.end != endEverything {
		if q.end == endBatch {
			bad := d.in(q.root)
			s.say.gaveUp(s.log, now, h.ID, bad.count(), d.reason, s.spool != nil)
			d.refused(bad)
		}
		d.todo = d.todo[:n-1]
	}
	q.keepTaken()
	if q.end == endEverything {
		d.close()
		out := &dispatch{held: h, d: d}
		s.pauseForRefusals(now, out, Outcome{Verdict: Pause, Cause: d.reason})
		return
	}
	s.advance(now, h, d)
}

// keepTaken notes what was accepted instead of a search: a later process sends
// these bodies again, and does not search anew what may be accepted by then. If
// parts were sent before the search, their tree stays noted.
func (q *search) keepTaken() {
	d, last := q.d, len(q.d.portions)-1
	if last < 0 || len(d.todo) > 0 || !q.first {
		return
	}
	d.portions = append(d.portions[:last], q.taken...)
	d.open = false
	q.shipper.keepNote(q.held, d)
}

// endSearch abandons the search under way.
func (s *Shipper) endSearch() {
	if q := s.search; q != nil {
		s.search = nil
		q.abandon()
	}
}

// tooOld takes what a search found of old batches: the newest one that was
// refused had ticks of this age. sure says that several were.
func (s *Shipper) tooOld(now time.Time, age time.Duration, sure bool) {
	if age < ageMin {
		s.age.order, s.machine.fifo = true, true
		s.say.ordered(s.log)
		return
	}
	s.age.bound, s.age.until, s.age.sure = age, now.Add(limitLife), sure
	s.say.aged(s.log, age)
}
