package ship

import (
	"slices"
	"time"
)

// settle takes the outcome of the request under way.
func (s *Shipper) settle(now time.Time, o Outcome) {
	out := s.inflight
	s.inflight = nil
	s.cancel()
	if !o.Unsent {
		s.stats.attempt(o)
	}
	o.Verdict = s.judge(out, o)
	if out.live && o.Verdict != Retry && o.Verdict != Pause {
		s.liveAnswers++
	}
	switch o.Verdict {
	case Acked:
		s.acked(now, out, o)
	case Reject:
		s.machine.answered(now)
		s.refusedBody(now, out, o)
	case TooLarge:
		s.tooLarge(now, out, o)
	case Decline:
		s.declined(now, out, o)
	case Unsupported:
		s.unsupported(now, out, o)
	default:
		s.failed(now, out, o)
	}
}

// acked takes an acknowledged batch, or some of one.
func (s *Shipper) acked(now time.Time, out *dispatch, o Outcome) {
	if !o.Unsent {
		s.vouch(now, out)
	}
	if out.d == nil && o.RejectedPoints > 0 {
		if d := s.deliveryOf(out.held); d != nil {
			d.begin(portion{points: d.grid.whole()})
			out.d, out.points = d, d.grid.whole()
		}
	}
	s.rejected(now, out, o)
	if !o.Unsent {
		s.stats.delivered(now, out.held, out.payload.Points-o.RejectedPoints)
		s.say.acked(s.log, o)
		failures := s.machine.failures
		if s.machine.acked(now, out.backlog) {
			outage := now.Sub(s.machine.since)
			s.cutNow = outage >= s.cfg.Rules.BatchInterval
			s.say.recovered(s.log, outage, failures, s.waiting())
		}
	} else {
		s.machine.until = now.Add(retryFloor) // what is cheap is no burst either
	}
	if out.d == nil {
		s.settled(out.held, nil)
		return
	}
	out.d.delivered(out.points)
	s.accepted(now, out)
}

// accepted goes on after points of a batch were accepted.
func (s *Shipper) accepted(now time.Time, out *dispatch) {
	switch out.purpose {
	case ofSearch:
		s.answerSearch(now, out, true)
	case ofOther:
		s.advance(now, out.held, out.d)
		s.answerSearch(now, out, true)
	case ofProbe:
		s.searchByProbe(now, out)
	case ofRetest, ofRetestOthers:
		s.retestAccepted(now, out)
	case ofBatch:
		s.advance(now, out.held, out.d)
	}
}

// advance goes on with a batch after an answer: to its next part, to its end, or
// to wait for what is not accepted yet.
func (s *Shipper) advance(now time.Time, h *held, d *delivery) {
	if d.open && d.next() != nil {
		return
	}
	if !s.nextPortion(now, h, d).points.empty() {
		s.machine.until = now.Add(searchGapMin)
		return
	}
	if !s.finish(now, h, d) {
		s.rest(h, d)
	}
}

// vouch notes that the backend accepts something.
func (s *Shipper) vouch(now time.Time, out *dispatch) {
	s.acceptances++
	s.newestMS = max(s.newestMS, out.TimeMS)
	s.limit.disprove(len(out.payload.Body))
	s.known.disprove(len(out.payload.Body))
	s.sizes.disprove(now, out.payload.Points)
	s.age.disprove(now, out.held)
	s.doubt.vouch(out.ID)
	s.doubt.plain.accept(out)
	if s.search != nil || out.d != nil {
		s.refused.accept(s.seriesIn(out), s.search != nil && s.search.d.id != out.ID)
	}
}

// seriesIn returns the series of a body.
func (s *Shipper) seriesIn(out *dispatch) []seriesHash {
	var of []seriesHash
	if out.d != nil {
		for _, i := range out.d.grid.seriesOf(out.points) {
			of = append(of, out.d.grid.hashes[i])
		}
	} else if b, err := s.decode(out.Payload); err == nil {
		for i := range b.Series {
			of = append(of, hashOf(b.Series[i].Series))
		}
	}
	return of
}

// rejected gives up the points that the backend left out of what it
// acknowledged, as far as it says which, and remembers series that it names.
func (s *Shipper) rejected(now time.Time, out *dispatch, o Outcome) {
	if o.RejectedPoints == 0 {
		return
	}
	s.say.rejected(s.log, now, o)
	unnamed := o.RejectedPoints
	if d := out.d; d != nil {
		d.reason = o.Cause
		bad := out.pointsOf(o.RejectedSeries, o.RejectedPlaces)
		for _, x := range d.grid.seriesOf(bad) {
			of := d.grid.where(func(series, _ int) bool { return series == x }).and(out.points)
			if bad.covers(of) {
				s.condemn(now, d, x, true)
			}
		}
		bad.with(out.pointsOf(nil, o.OutsidePlaces))
		unnamed -= bad.and(d.left).count()
		d.refused(bad)
	}
	if unnamed > 0 {
		s.ledger.Lose(LostRejected, unnamed)
	}
}

// refusedBody takes a refusal that may be about the points. A search begins, if
// there is none; then the batch waits for its turn.
func (s *Shipper) refusedBody(now time.Time, out *dispatch, o Outcome) {
	out.late = true
	d := s.deliveryOf(out.held)
	if d == nil {
		s.refusedUnread(now, out, o)
		return
	}
	d.reason = o.Cause
	switch {
	case out.purpose == ofSearch:
		s.answerSearch(now, out, false)
		return
	case out.purpose == ofOther:
		d.close()
		s.rest(out.held, d)
		s.answerSearch(now, out, false)
		return
	case out.purpose == ofRetest, out.purpose == ofRetestOthers:
		s.retestRefused(now, out)
		return
	case s.doubt.refusedAll:
		d.close()
		s.pauseForRefusals(now, out, o)
		return
	}
	s.say.refused(s.log, now, out.held, o)
	if out.d == nil {
		d.begin(portion{points: d.grid.whole()})
	}
	switch {
	case out.purpose == ofBatch && s.age.beyond(now, out.held) && s.allKnown(d):
		d.close()
		if s.doubt.refusesAgain(out.ID, s.acceptances) {
			d.refused(d.left.clone())
		}
		s.advance(now, out.held, d)
	case s.partsFormer(now, d):
		d.close()
		s.advance(now, out.held, d)
	case s.holdsCondemned(d):
		d.goAround(func(x seriesHash) bool { return s.refused.condemned[x] != nil })
		s.advance(now, out.held, d)
	case s.search != nil:
		d.postpone()
		s.rest(out.held, d)
	default:
		s.search = newSearch(s, out.held, d, now)
		s.search.lenient = out.lenient
		s.stepSearch(now, out.payload.Points)
	}
}

// holdsCondemned reports whether what is next of the open portion, or of the
// whole batch, has points of a condemned series.
func (s *Shipper) holdsCondemned(d *delivery) bool {
	p := d.left
	if d.open {
		p = d.next()
	}
	return slices.ContainsFunc(d.grid.seriesOf(p), func(i int) bool { return s.refused.condemned[d.grid.hashes[i]] != nil })
}

// allKnown reports whether what was refused is all that would be sent of a batch,
// and holds only series that were accepted since the first refusal.
func (s *Shipper) allKnown(d *delivery) bool {
	p := d.next()
	return p.covers(d.of(func(x seriesHash) bool { return !s.refused.leavesOut(x) })) &&
		d.of(func(x seriesHash) bool { return s.refused.known[x] }).covers(p)
}

// partsFormer has series travel apart that were condemned within the day and are
// in what was refused, and reports whether there are any: they are the likely
// reason.
func (s *Shipper) partsFormer(now time.Time, d *delivery) bool {
	if d.portions[len(d.portions)-1].parts {
		return false
	}
	var former []seriesHash
	series := d.grid.seriesOf(d.next())
	for _, i := range series {
		if x := d.grid.hashes[i]; s.refused.isFormer(now, x) {
			former = append(former, x)
		}
	}
	if len(former) == 0 || len(former) == len(series) {
		return false
	}
	s.refused.part(now, former)
	return true
}

// refusedUnread takes the refusal of a batch that cannot be read, and so not be
// searched: it is given up when it is refused again while others are accepted.
func (s *Shipper) refusedUnread(now time.Time, out *dispatch, o Outcome) {
	if s.doubt.refusesAgain(out.ID, s.acceptances) {
		s.declined(now, out, o)
		return
	}
	s.machine.until = now.Add(s.cfg.Rules.BatchInterval / 4)
	s.say.refused(s.log, now, out.held, o)
	if out.purpose == ofOther {
		s.answerSearch(now, out, false)
	}
}

// declined gives up what cannot be delivered for a reason that is not the
// backend's.
func (s *Shipper) declined(now time.Time, out *dispatch, o Outcome) {
	h := out.held
	if s.search != nil && s.search.d.id == h.ID {
		s.endSearch()
	}
	if d := s.deliveryOf(h); d != nil {
		d.reason = o.Cause
		s.say.gaveUp(s.log, now, h.ID, d.left.count(), o.Cause, s.spool != nil)
		d.refused(d.left.clone())
		s.settled(h, d)
	} else {
		s.say.gaveUp(s.log, now, h.ID, h.Items, o.Cause, s.spool != nil)
		s.giveUp(h, h.Items, Letter{Of: h.ID, Reason: o.Cause, Entry: h.Entry})
	}
	s.machine.until = now.Add(retryFloor)
	if out.purpose == ofOther {
		s.answerSearch(now, out, false)
	}
}

// failed keeps everything: all that is in memory is late now, and goes to the
// spool at the next step.
func (s *Shipper) failed(now time.Time, out *dispatch, o Outcome) {
	out.late = true
	for _, h := range s.memory {
		h.late = true
	}
	s.fix(out, o)
	began := s.machine.failed(now, o, out.backlog)
	s.say.failed(s.log, now, began, o, s.machine, s.waiting(), s.kept())
	if s.doubt.plain.fail(out, o) {
		s.adopt(uncompressed)
		s.machine.retryNow(now)
	}
}

// fix has a body that the backend may have, since nobody knows what became of
// it, sent again unchanged: under another id the same points would be there
// twice. What is known of a batch of which nothing was accepted is in its note.
func (s *Shipper) fix(out *dispatch, o Outcome) {
	d := s.deliveries[out.ID]
	switch {
	case s.search != nil && s.search.d == d:
	case d != nil && d.grid != nil && d.left.count() == int64(d.n):
		switch {
		case o.fateUnknown():
			d.fix(out.points)
		case out.purpose == ofProbe:
			d.close()
		}
		s.keepNote(out.held, d)
		delete(s.deliveries, d.id)
	case d != nil && d.grid != nil && !o.fateUnknown() && d.open && d.isFresh():
		d.close()
	case d == nil && o.fateUnknown():
		all := newPoints(int(out.Items))
		for i := range int(out.Items) {
			all.add(i)
		}
		s.note(out.held, writeNote([]portion{{points: all}}, int(out.Items)))
	}
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
