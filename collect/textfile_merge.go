package collect

import (
	"fmt"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/collect/promtext"
)

// merger combines the points of all text files. It keeps the [metric.Desc] of a
// metric for as long as the metric exists, because the address of a Desc
// identifies it.
type merger struct {
	points    []textPoint
	conflicts []error
	descs     map[descKey]*metric.Desc
}

type textPoint struct {
	desc   *metric.Desc
	labels []metric.Label
	value  metric.Value
}

type descKey struct {
	name, help string
	kind       metric.Kind
}

// emit adds the points. They count from the host's boot, because no file says
// when its counters started.
func (m *merger) emit(s *metric.Snapshot) {
	for i := range m.points {
		p := &m.points[i]
		if p.value.IsInt() {
			s.Int(p.desc, p.value.Int64(), p.labels...)
		} else {
			s.Float(p.desc, p.value.Float64(), p.labels...)
		}
	}
}

// merge rebuilds the points. If an earlier file has the same series, or
// declares the metric differently, the earlier file wins and the points are
// left out.
func (m *merger) merge(names []string, files map[string]*textfile) {
	m.points, m.conflicts = m.points[:0], nil
	before := m.descs
	m.descs = make(map[descKey]*metric.Desc)
	owner := make(map[string]string)      // file by series
	kinds := make(map[string]metric.Kind) // kind by name of the metric
	for _, name := range names {
		f := files[name]
		if f == nil {
			continue
		}
		conflict := ""
		left := 0
		for _, sample := range f.current() {
			kind := kindOf(&sample)
			series := seriesKey(&sample)
			first, again := owner[series]
			known, declared := kinds[sample.Name]
			switch {
			case again:
				conflict, left = fmt.Sprintf("%s is in %s already", series, first), left+1
				continue
			case declared && known != kind:
				conflict, left = fmt.Sprintf("%s is a %v before", sample.Name, known), left+1
				continue
			}
			owner[series], kinds[sample.Name] = name, kind
			m.points = append(m.points, m.point(&sample, kind, before))
		}
		if left > 0 {
			m.conflicts = append(m.conflicts, fmt.Errorf("%s: %d points left out: %s", name, left, conflict))
		}
	}
}

func (m *merger) point(sample *promtext.Sample, kind metric.Kind, before map[descKey]*metric.Desc) textPoint {
	key := descKey{sample.Name, sample.Help, kind}
	desc := m.descs[key]
	if desc == nil {
		if desc = before[key]; desc == nil {
			desc = &metric.Desc{Name: strings.Clone(sample.Name), Kind: kind, Help: strings.Clone(sample.Help), Source: "textfile"}
			key.name, key.help = desc.Name, desc.Help
		}
		m.descs[key] = desc
	}
	p := textPoint{desc: desc, value: metric.Float(sample.Value)}
	if whole := int64(sample.Value); float64(whole) == sample.Value && whole > -1<<53 && whole < 1<<53 {
		p.value = metric.Int(whole)
	}
	for _, l := range sample.Labels {
		p.labels = append(p.labels, metric.L(l.Name, l.Value))
	}
	return p
}

// kindOf returns how the value of a line combines. The counts and sums of a
// histogram or summary are counters; a quantile is a gauge.
func kindOf(s *promtext.Sample) metric.Kind {
	switch {
	case s.Type == promtext.Counter, s.Type == promtext.Histogram:
		return metric.Counter
	case s.Type == promtext.Summary && (strings.HasSuffix(s.Name, "_sum") || strings.HasSuffix(s.Name, "_count")):
		return metric.Counter
	default:
		return metric.Gauge
	}
}

func seriesKey(s *promtext.Sample) string {
	var b strings.Builder
	b.WriteString(s.Name)
	for _, l := range s.Labels {
		fmt.Fprintf(&b, ",%s=%q", l.Name, l.Value)
	}
	return b.String()
}
