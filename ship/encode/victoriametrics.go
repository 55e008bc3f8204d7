package encode

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// VictoriaMetrics is the backend VictoriaMetrics, single node, vminsert or
// vmagent: JSON lines, one a series, as /api/v1/export prints them
// (https://docs.victoriametrics.com/#how-to-import-data-in-json-line-format).
// It answers 204 to whatever it could parse something of, so nothing tells of a
// point that it dropped: those that are older than its retention.
func VictoriaMetrics() backend.Backend {
	return backend.Backend{
		Name: "victoriametrics", Format: victoriaMetrics{}, ContentType: "application/json",
		Path: "/api/v1/import", KeyHeader: "X-Api-Key", Compressions: []string{"gzip"},
		Limits: backend.Limits{MaxAhead: 48 * time.Hour},
	}
}

type victoriaMetrics struct{}

// Append writes Prometheus names, the resource among the labels, and the labels
// instance and job that dashboards select by.
func (victoriaMetrics) Append(dst []byte, b *metric.Batch) []byte {
	labels := newAttributes(prometheusResource(b.Resource))
	for i := range b.Series {
		c := &b.Series[i]
		if !hasPoints(c) {
			continue
		}
		dst = append(dst, `{"metric":{"__name__":`...)
		dst = appendString(dst, prometheusName(c.Desc))
		dst = appendPrometheusSet(dst, c.Series.Labels, labels.of(c))
		dst = append(dst, `},"values":[`...)
		n := 0
		for _, v := range c.Values {
			if !v.IsNull() {
				dst = v.Append(comma(dst, n))
				n++
			}
		}
		dst = append(dst, `],"timestamps":[`...)
		n = 0
		for t, v := range c.Values {
			if !v.IsNull() {
				dst = strconv.AppendInt(comma(dst, n), b.Times[t], 10)
				n++
			}
		}
		dst = append(dst, "]}\n"...)
	}
	return dst
}

// Judge takes an empty 204 for an acknowledgement, which is all that the import
// answers; an empty 200 is something else's.
func (victoriaMetrics) Judge(_ backend.Sent, a backend.Answer) (j backend.Judgement, known bool) {
	if a.Status != http.StatusNoContent || strings.TrimSpace(string(a.Body)) != "" {
		return j, false
	}
	return backend.Judgement{Verdict: backend.Acked}, true
}

// prometheusResource names a resource's attributes as labels, and adds instance
// and job where nothing else has these names.
func prometheusResource(resource []metric.Label) []metric.Label {
	var labels []metric.Label
	for _, l := range resource {
		labels = append(labels, l)
		if l.Key == "host.name" && !slices.ContainsFunc(resource, func(l metric.Label) bool { return l.Key == "instance" }) {
			labels = append(labels, metric.L("instance", l.Value))
		}
	}
	if !slices.ContainsFunc(resource, func(l metric.Label) bool { return l.Key == "job" }) {
		labels = append(labels, metric.L("job", "heka-insights-agent"))
	}
	return labels
}

// appendPrometheusSet appends ,"key":"value" for each label; of two with the
// same name the first one counts.
func appendPrometheusSet(dst []byte, labels, resource []metric.Label) []byte {
	seen := []string{"__name__"}
	for _, list := range [][]metric.Label{labels, resource} {
		for _, l := range list {
			key := sanitize(l.Key)
			if slices.Contains(seen, key) {
				continue
			}
			seen = append(seen, key)
			dst = appendString(append(dst, ','), key)
			dst = appendString(append(dst, ':'), l.Value)
		}
	}
	return dst
}
