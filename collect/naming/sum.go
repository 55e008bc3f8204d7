package naming

import "github.com/heka-insights/heka-insights-agent/collect/metric"

// sum is a metric over several series.
type sum struct {
	rule   *rule
	labels []metric.Label
	tick   uint64
	terms  int
	whole  int64
	part   float64
	// integral says that all terms are integers so far.
	integral bool
}

// sum returns the sum that a rule and labels belong to.
func (m *Mapper) sum(r *rule, labels []metric.Label) *sum {
	key := identity(r.to.Name, labels)
	s := m.sums[key]
	if s == nil {
		s = &sum{rule: r, labels: labels, integral: true}
		m.sums[key] = s
	}
	return s
}

// lastOf returns where the last value of a counter is kept that is added up. It
// is kept for good: a snapshot forgets a series that is silent for long, and a
// disk that answers again after an hour must not be added a second time. What
// is plugged in anew in the meantime begins at 0, and mostly below.
func (m *Mapper) lastOf(s *metric.Series) *metric.Value {
	key := identity(s.Name, s.Labels)
	last := m.counts[key]
	if last == nil {
		last = new(metric.Value)
		m.counts[key] = last
	}
	return last
}

func identity(name string, labels []metric.Label) string {
	for _, l := range labels {
		name += "\x00" + l.Key + "\x00" + l.Value
	}
	return name
}

// add adds a series to its sum. A counter adds what it grew by, so that the sum
// never falls: not when a device goes, nor when its counter starts anew.
func (m *Mapper) add(t *target, r *route, p metric.Point) {
	s := t.sum
	if s.tick != m.tick {
		s.tick, s.terms = m.tick, 0
		if t.rule.to.Kind != metric.Counter {
			s.whole, s.part, s.integral = 0, 0, true
		}
		m.order = append(m.order, s)
	}
	s.terms++
	v := p.Value
	if t.rule.to.Kind == metric.Counter {
		v = grown(*r.last, v)
	}
	if v.IsInt() {
		s.whole += t.rule.weight * v.Int64()
	} else {
		s.integral = false
		s.part += float64(t.rule.weight) * v.Float64()
	}
}

// grown is what a counter added since its last value: all of it, if it is new or
// began anew.
func grown(last, now metric.Value) metric.Value {
	switch {
	case last.IsNull() || now.Float64() < last.Float64():
		return now
	case last.IsInt() && now.IsInt():
		return metric.Int(now.Int64() - last.Int64())
	default:
		return metric.Float(now.Float64() - last.Float64())
	}
}

func (s *sum) value() metric.Value {
	if s.integral {
		return metric.Int(s.whole)
	}
	return metric.Float(float64(s.whole) + s.part)
}

// sweep forgets series that have had no value for long, and the sums that are
// made of them alone, such as the size of a file system. A counter stays, with
// what they added to it.
func (m *Mapper) sweep() {
	for series, r := range m.routes {
		if r.tick+idleTicks < m.tick {
			delete(m.routes, series)
		}
	}
	for key, s := range m.sums {
		if s.rule.to.Kind != metric.Counter && s.tick+idleTicks < m.tick {
			delete(m.sums, key)
		}
	}
}
