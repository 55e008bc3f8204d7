package ship

import (
	"net/http"
	"slices"
	"time"
)

const (
	// blamedMax is how many failures in a row that may be about the body let
	// probes take turns with a single series, and how many of one batch, while
	// another is accepted, mean that it is the batch. After silencesMax of any kind they
	// do with the next batch, in strict order.
	blamedMax   = 5
	silencesMax = 20
	// probeLife is how long the series of one batch serve as probes.
	probeLife = 5 * time.Minute
	// While everything is refused one probe in wholeEvery carries a whole batch.
	wholeEvery = 4
)

// doubt is what is known of failures that may be about what was sent.
type doubt struct {
	// refusedAll: delivery is paused since nothing at all was accepted.
	refusedAll bool
	// blamed and silences count failures in a row.
	blamed, silences int
	forbidden        bool // the last failure was a 403
	turn             int
	series           int           // which one is the next in turn
	ahead            time.Duration // in strict order: how much later than the head to look
	held             *held         // whose series are probes
	plain            plainDoubt

	// culprit is the batch whose request failed last, fails how often, and vouched
	// whether another batch was accepted since the first of that.
	culprit ID
	fails   int
	vouched bool
	// unread are batches that were refused and cannot be searched, since they cannot
	// be read or seem too old, with how much was accepted by then; at most
	// maxDeliveries.
	unread map[ID]uint64
}

// plainDoubt is what is known of a backend that may read plain bodies alone, and
// speaks of it as of an error of its own.
type plainDoubt struct {
	accepted bool // the last body that was accepted was a probe without compression
	times    int  // that a compressed one failed right after such a probe
}

// plainTwice is how often that is seen before it is believed: a backend may
// recover just when it is asked without compression, and then fail again.
const plainTwice = 2

// probePlainly sends the whole batch of every other such probe without
// compression, while failures may be about the body.
func (s *Shipper) probePlainly(out *dispatch) *dispatch {
	turn := s.doubt.bySeries() && !s.doubt.refusedAll && s.doubt.turn%4 == 2
	if out == nil || !turn || out.purpose != ofBatch || out.payload.Compression == CompressionNone {
		return out
	}
	if plain, err := Decompress(out.payload.Body); err == nil {
		out.payload.Body, out.payload.Compression, out.variant = plain, CompressionNone, uncompressed
	}
	return out
}

// accept notes whether a body that was accepted was such a probe.
func (p *plainDoubt) accept(out *dispatch) {
	p.accepted = out.variant == uncompressed && out.purpose == ofBatch
	if out.payload.Compression != CompressionNone {
		p.times = 0
	}
}

// fail notes a failure, and reports whether it is for the compression.
func (p *plainDoubt) fail(out *dispatch, o Outcome) bool {
	if !p.accepted || !o.MayBeContent || out.payload.Compression == CompressionNone {
		return false
	}
	p.accepted = false
	p.times++
	return p.times >= plainTwice
}

// vouch notes that the backend accepted something.
func (d *doubt) vouch(id ID) {
	d.refusedAll, d.forbidden = false, false
	d.blamed, d.silences, d.held, d.ahead = 0, 0, nil, 0
	if d.culprit != id {
		d.vouched = true
	}
}

// bySeries reports whether probes take turns with single series.
func (d *doubt) bySeries() bool {
	return d.refusedAll || d.forbidden || d.blamed >= blamedMax
}

// single reports whether the next probe is a single series.
func (d *doubt) single() bool {
	d.turn++
	switch {
	case !d.bySeries():
		return false
	case d.refusedAll:
		return d.turn%wholeEvery != 0
	default:
		return d.turn%2 == 1
	}
}

// leniency is which failures a search takes for refusals that begins now.
func (d *doubt) leniency() leniency {
	if d.forbidden || d.blamed >= blamedMax {
		return contentFailures
	}
	return strict
}

// refusesAgain reports whether a batch was refused before, and something was
// accepted since.
func (d *doubt) refusesAgain(id ID, acceptances uint64) bool {
	switch at, known := d.unread[id]; {
	case known && acceptances > at:
		delete(d.unread, id)
		return true
	case !known && len(d.unread) < maxDeliveries:
		d.unread[id] = acceptances
	}
	return false
}

// asksForLess marks failures that say nothing of the body.
func asksForLess(o Outcome) bool {
	return o.Status == http.StatusServiceUnavailable || o.Status == http.StatusTooManyRequests
}

// judge makes a refusal of a failure that is about the body, as far as one can
// tell: of one that a search asked for, or that one batch gets again and again
// while others are accepted.
func (s *Shipper) judge(out *dispatch, o Outcome) Verdict {
	if o.Verdict != Retry && o.Verdict != Pause || o.Verdict == Pause && !o.MayBeContent || asksForLess(o) || o.Unsent || o.NoConnection {
		return o.Verdict
	}
	if o.MayBeContent && s.explains(out) {
		return Reject
	}
	if q := s.search; q != nil {
		ofIt := out.purpose == ofSearch
		if o.MayBeContent && q.lenient >= contentFailures || ofIt && q.lenient == allFailures {
			return Reject
		}
	}
	s.doubt.forbidden = o.Status == http.StatusForbidden
	s.doubt.silences++
	if s.doubt.blamed++; !o.MayBeContent {
		s.doubt.blamed = 0
	}
	if out.further {
		return o.Verdict
	}
	return s.doubt.judge(out, o)
}

// explains reports whether a condemned series in what was sent explains a
// failure that may be about the body.
func (s *Shipper) explains(out *dispatch) bool {
	if len(s.refused.condemned) == 0 || out.purpose == ofProbe || out.purpose == ofOther || out.purpose == ofSearch {
		return false
	}
	d := s.deliveryOf(out.held)
	return d != nil && s.holdsCondemned(d)
}

// judge counts a failure of a batch.
func (d *doubt) judge(out *dispatch, o Outcome) Verdict {
	if d.culprit != out.ID {
		d.culprit, d.fails, d.vouched = out.ID, 0, false
	}
	d.fails++
	switch {
	case out.purpose != ofBatch, !d.vouched:
	case o.MayBeContent && d.fails >= blamedMax:
		out.lenient = contentFailures
		return Reject
	case d.fails >= silencesMax:
		out.lenient = allFailures
		return Reject
	}
	return o.Verdict
}

// probe chooses what to find out with whether the backend accepts anything: the
// newest batch, the oldest in strict order or, where it may be the body that is
// refused, a single series, the next one in turn.
func (s *Shipper) probe(now time.Time) *dispatch {
	if s.doubt.single() {
		if d := s.smallProbe(now); d != nil {
			return d
		}
	}
	return s.probePlainly(s.wholeProbe(now))
}

// wholeProbe is the newest batch or, in strict order, the oldest.
func (s *Shipper) wholeProbe(now time.Time) *dispatch {
	if s.strict() {
		return s.strictProbe(now)
	}
	for _, h := range slices.Backward(slices.Clone(s.memory)) {
		if s.rests(now, h.ID) {
			continue
		}
		if d := s.prepare(now, h); d != nil {
			return d
		}
	}
	if d := s.oldest(now); d != nil {
		return d
	}
	return s.question(now) // there is nothing else
}

// smallProbe is a single series or, while a search is under way, its next body:
// from now on the search takes such failures for refusals.
func (s *Shipper) smallProbe(now time.Time) *dispatch {
	if s.search == nil {
		return s.seriesProbe(now)
	}
	s.search.lenient = max(s.search.lenient, s.doubt.leniency())
	return s.question(now)
}

// strictProbe is the oldest batch or, by turns with it where that one may be
// bad, the next.
func (s *Shipper) strictProbe(now time.Time) *dispatch {
	if s.search != nil {
		return s.question(now)
	}
	turns := s.doubt.bySeries() || s.doubt.silences >= silencesMax
	if head := s.head(now); head != nil && turns && s.doubt.turn%4 == 0 {
		if !s.doubt.bySeries() {
			s.doubt.ahead = 0 // such a failure says nothing of what is further ahead
		}
		if d := s.further(now, head, &s.doubt.ahead); d != nil {
			return d
		}
	}
	if d := s.oldest(now); d != nil {
		return d
	}
	return s.live(now)
}

// further returns a batch that waits so much further ahead than another one, and
// then twice as far: a whole backlog may be bad.
func (s *Shipper) further(now time.Time, first *held, ahead *time.Duration) *dispatch {
	h := s.spooled(now, first.TimeMS+1+ahead.Milliseconds())
	*ahead = max(2**ahead, s.cfg.Rules.BatchInterval)
	if h != nil {
		if d := s.prepare(now, h); d != nil {
			d.backlog, d.further = true, true
			return d
		}
	}
	return s.live(now)
}

// after returns the batch that waits behind another one, or nil.
func (s *Shipper) after(now time.Time, first *held) *held {
	if h := s.spooled(now, first.TimeMS+1); h != nil {
		return h
	}
	for _, h := range s.memory {
		if h.TimeMS > first.TimeMS && !s.rests(now, h.ID) {
			return h
		}
	}
	return nil
}

// seriesProbe returns a single series of a batch, the next in turn, or nil.
func (s *Shipper) seriesProbe(now time.Time) *dispatch {
	h := s.probed(now)
	if h == nil {
		return nil
	}
	d := s.deliveryOf(h)
	for n := 0; n < probesAhead && d != nil && len(d.noted) > 0 && s.strict(); n++ { // its parts are fixed
		if h = s.after(now, h); h == nil {
			return nil
		}
		d = s.deliveryOf(h)
	}
	if d == nil || d.open || len(d.noted) > 0 || len(d.rest) < 2 {
		s.doubt.held = nil // the next batch may do
		return nil
	}
	d.close()
	var of []seriesHash
	for _, x := range d.rest {
		if s.refused.condemned[x] == nil {
			of = append(of, x)
		}
	}
	if len(of) == 0 {
		return nil
	}
	s.doubt.series++
	x := of[s.doubt.series%len(of)]
	p := d.of(func(y seriesHash) bool { return x == y })
	d.begin(portion{points: p})
	s.keepNote(h, d)
	out := s.dispatch(h, d, p)
	out.purpose, out.lenient = ofProbe, s.doubt.leniency()
	return out
}

// probesAhead is how many batches are passed over in strict order for one of which
// nothing was sent.
const probesAhead = 8

// probed returns the batch whose series serve as probes, or nil.
func (s *Shipper) probed(now time.Time) *held {
	if h := s.doubt.held; h != nil && now.Sub(time.UnixMilli(h.TimeMS)) < probeLife && slices.Contains(s.memory, h) {
		return h
	}
	s.doubt.held = nil
	if !s.strict() {
		for _, h := range s.memory {
			if !s.rests(now, h.ID) {
				s.doubt.held = h
			}
		}
	}
	if s.doubt.held == nil {
		s.doubt.held = s.head(now)
	}
	return s.doubt.held
}

// searchByProbe goes on after a single series was accepted: something else of
// its batch is not.
func (s *Shipper) searchByProbe(now time.Time, out *dispatch) {
	h, d := out.held, out.d
	s.doubt.held = nil
	h.late = true
	d.open, d.todo = false, nil
	if s.finish(now, h, d) {
		return
	}
	p := d.of(func(x seriesHash) bool { return !s.refused.leavesOut(x) })
	if p.empty() {
		s.rest(h, d)
		return
	}
	d.begin(portion{points: p})
	s.search = newSearch(s, h, d, now)
	s.search.byProbe = true
	s.search.lenient = out.lenient
	s.stepSearch(now, out.payload.Points)
}

// pauseForRefusals pauses delivery, since nothing at all is accepted.
func (s *Shipper) pauseForRefusals(now time.Time, out *dispatch, o Outcome) {
	s.doubt.refusedAll = true
	s.limit, s.sizes = sizeLimit{}, pointLimit{}
	o.Verdict = Pause
	o.Hint = HintNothingAccepted
	s.failed(now, out, o)
	s.machine.until = now.Add(s.machine.uniform(pauseFirst, pauseFirst*3/2))
}
