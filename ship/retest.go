package ship

import (
	"strings"
	"time"
)

// dueForRetest begins the retest of a refused series with the points of it that
// a fresh batch has, and reports whether there is one.
func (s *Shipper) dueForRetest(now time.Time, out *dispatch) bool {
	x, ok := s.refused.dueOf(now, out.d.rest)
	if !ok {
		return false
	}
	out.d.begin(portion{points: out.d.of(func(y seriesHash) bool { return x == y })})
	s.retesting = &retesting{held: out.held, d: out.d, purpose: ofRetest}
	s.machine.until = now.Add(searchGapMin)
	return true
}

// retesting is a retest that is to be sent.
type retesting struct {
	held    *held
	d       *delivery
	purpose purpose
}

// retest returns the retest that is due, or nil.
func (s *Shipper) retest(time.Time) *dispatch {
	r := s.retesting
	if r == nil {
		return nil
	}
	s.retesting = nil
	p := r.d.next()
	if p == nil {
		return nil
	}
	s.keepNote(r.held, r.d)
	out := s.dispatch(r.held, r.d, p)
	out.purpose = r.purpose
	return out
}

// retestAccepted releases what is accepted again. If that was one series, all
// others are tried together.
func (s *Shipper) retestAccepted(now time.Time, out *dispatch) {
	for _, i := range out.d.grid.seriesOf(out.points) {
		if name, ok := s.refused.release(out.d.grid.hashes[i]); ok {
			s.say.released(s.log, now, name)
		}
	}
	others := out.d.of(func(x seriesHash) bool { return s.refused.condemned[x] != nil })
	if out.d.next() == nil && out.purpose == ofRetest && !others.empty() {
		out.d.begin(portion{points: others})
		s.retesting = &retesting{held: out.held, d: out.d, purpose: ofRetestOthers}
		s.machine.until = now.Add(searchGapMin)
		return
	}
	s.advance(now, out.held, out.d)
}

func (s *Shipper) retestRefused(now time.Time, out *dispatch) {
	if out.purpose == ofRetest {
		for _, i := range out.d.grid.seriesOf(out.points) {
			s.refused.retested(now, out.d.grid.hashes[i])
		}
		s.refused.forgetGone(now)
	}
	out.d.close()
	s.advance(now, out.held, out.d)
}

// condemn remembers that a series is refused. named says that the backend told
// which it is.
func (s *Shipper) condemn(now time.Time, d *delivery, series int, named bool) {
	name := seriesName(d, series)
	if s.refused.condemn(now, d.grid.hashes[series], name, named) {
		s.say.found(s.log, now, name, d.reason)
	}
}

// seriesName is a series for people.
func seriesName(d *delivery, series int) string {
	c := d.grid.batch.Series[series]
	labels := make([]string, len(c.Labels))
	for i, l := range c.Labels {
		labels[i] = l.Key + "=" + l.Value
	}
	if len(labels) == 0 {
		return c.Name
	}
	return c.Name + "{" + strings.Join(labels, ",") + "}"
}

// contradicted notes that the backend accepted unchanged what it had refused.
func (s *Shipper) contradicted(now time.Time) {
	s.say.contradicted(s.log, now, s.refused.contradict(now))
}
