package ship

import (
	"strings"
	"time"
)

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
		out.d.begin(portion{points: others, purpose: ofRetestOthers})
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
	if s.refused.condemn(now, d.grid.hashes[series], name, d.reason, named) {
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
	s.age, s.machine.fifo = ageLimit{}, s.cfg.FIFO
	s.say.contradicted(s.log, now, s.refused.contradict(now))
}
