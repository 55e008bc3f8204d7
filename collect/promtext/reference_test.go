package promtext_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/heka-insights/heka-insights-agent/collect/promtext"
)

// lines is a normal form for the results of both parsers: samples are sorted,
// bounds are numbers, counts are whole, and the last of several sums counts.
type lines struct {
	several []string
	last    map[string]string
}

// add adds a sample. key is "le" or "quantile" if the sample belongs to a
// bound.
func (l *lines) add(name string, labels map[string]string, typ promtext.Type, value float64) {
	if typ == promtext.Histogram && !strings.HasSuffix(name, "_sum") || typ == promtext.Summary && strings.HasSuffix(name, "_count") {
		value = float64(uint64(value))
	}
	key := fmt.Sprint(name, slices.Sorted(maps.Keys(labels)), labels)
	line := fmt.Sprint(key, typ, value)
	if (typ == promtext.Histogram || typ == promtext.Summary) && labels["le"] == "" && labels["quantile"] == "" {
		l.last[key] = line
		return
	}
	l.several = append(l.several, line)
}

func (l *lines) sorted() []string {
	all := append(slices.Collect(maps.Values(l.last)), l.several...)
	slices.Sort(all)
	return all
}

func mine(samples []promtext.Sample) []string {
	l := lines{last: map[string]string{}}
	for _, s := range samples {
		labels := map[string]string{}
		bounded := s.Type == promtext.Histogram || s.Type == promtext.Summary
		sums := bounded && (strings.HasSuffix(s.Name, "_sum") || strings.HasSuffix(s.Name, "_count"))
		for _, label := range s.Labels {
			switch bound := s.Type == promtext.Histogram && label.Name == "le" || s.Type == promtext.Summary && label.Name == "quantile"; {
			case bound && sums: // the reference drops it
			case bound:
				v, _ := strconv.ParseFloat(label.Value, 64)
				labels[label.Name] = fmt.Sprint(v)
			default:
				labels[label.Name] = label.Value
			}
		}
		l.add(s.Name, labels, s.Type, s.Value)
	}
	return l.sorted()
}

func reference(families map[string]*dto.MetricFamily) []string {
	l := lines{last: map[string]string{}}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, p := range m.GetLabel() {
				labels[p.GetName()] = p.GetValue()
			}
			bound := func(key string, v float64) map[string]string {
				with := maps.Clone(labels)
				with[key] = fmt.Sprint(v)
				return with
			}
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				l.add(name, labels, promtext.Counter, m.GetCounter().GetValue())
			case dto.MetricType_GAUGE:
				l.add(name, labels, promtext.Gauge, m.GetGauge().GetValue())
			case dto.MetricType_HISTOGRAM:
				h := m.GetHistogram()
				for _, b := range h.GetBucket() {
					l.add(name+"_bucket", bound("le", b.GetUpperBound()), promtext.Histogram, float64(b.GetCumulativeCount()))
				}
				if h.SampleSum != nil {
					l.add(name+"_sum", labels, promtext.Histogram, h.GetSampleSum())
				}
				if h.SampleCount != nil {
					l.add(name+"_count", labels, promtext.Histogram, float64(h.GetSampleCount()))
				}
			case dto.MetricType_SUMMARY:
				s := m.GetSummary()
				for _, q := range s.GetQuantile() {
					l.add(name, bound("quantile", q.GetQuantile()), promtext.Summary, q.GetValue())
				}
				if s.SampleSum != nil {
					l.add(name+"_sum", labels, promtext.Summary, s.GetSampleSum())
				}
				if s.SampleCount != nil {
					l.add(name+"_count", labels, promtext.Summary, float64(s.GetSampleCount()))
				}
			default:
				l.add(name, labels, promtext.Untyped, m.GetUntyped().GetValue())
			}
		}
	}
	return l.sorted()
}
