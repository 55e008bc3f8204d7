package naming

import "github.com/heka-insights/heka-insights-agent/collect/metric"

// sum is a metric computed from several series.
type sum struct {
	rule   *rule
	labels []metric.Label
	tick   uint64
	terms  int
	whole  int64
	part   float64
	// integral means that all terms so far are integers.
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

// lastOf returns where the last value of a counter in a sum is kept. It is kept
// for good, because a snapshot forgets a series that is silent for long: a disk
// that answers again after an hour must not be added a second time. A device
// that was replaced in the meantime starts at 0, so its value is usually lower.
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

// add adds a series to its sum. Of a counter it adds the increase, so that the
// sum never falls, neither when a device goes away nor when its counter
// restarts.
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

// grown returns the increase of a counter since its last value: the whole value
// if the counter is new or was restarted.
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

// sweep removes series that have had no value for long, and sums that consist
// only of such series, such as the size of a file system. A sum of counters
// stays, with what its series added.
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
