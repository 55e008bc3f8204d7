package encode

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// OTLP is whatever takes metrics by the OpenTelemetry protocol over HTTP, in its
// JSON encoding (https://opentelemetry.io/docs/specs/otlp/): a Collector,
// Prometheus, and most vendors.
func OTLP() backend.Backend {
	return backend.Backend{
		Name: "otlp", Format: otlp{instance: true}, ContentType: "application/json",
		Path: "/v1/metrics", KeyHeader: "X-Api-Key", Compressions: []string{"gzip", "zstd"},
	}
}

// NewRelic is New Relic's OTLP endpoint: https://otlp.nr-data.net/v1/metrics, or
// https://otlp.eu01.nr-data.net/v1/metrics for an account in the EU. The limits
// are those of its documentation ("New Relic OTLP endpoint": 1 MB compressed; a
// point older than 48 hours or more than 24 in the future is dropped).
func NewRelic() backend.Backend {
	b := OTLP()
	b.Name, b.KeyHeader, b.Format = "newrelic", "Api-Key", otlp{}
	b.Endpoint = "https://otlp.nr-data.net/v1/metrics"
	b.Limits = backend.Limits{Bytes: 1_000_000, MaxAge: 48 * time.Hour, MaxAhead: 24 * time.Hour}
	return b
}

type otlp struct {
	// instance adds service.instance.id, the agent's id, where the resource has
	// none: Prometheus makes its label instance of that, and without it the series
	// of two hosts would be one. New Relic would take the host for a service.
	instance bool
}

// Append writes an ExportMetricsServiceRequest: counters and updowns are
// cumulative sums with a start time, gauges are gauges.
func (o otlp) Append(dst []byte, b *metric.Batch) []byte {
	const instance = "service.instance.id"
	resource := b.Resource
	if o.instance && !slices.ContainsFunc(resource, func(l metric.Label) bool { return l.Key == instance }) {
		resource = append(slices.Clone(resource), metric.L(instance, b.Agent.ID))
	}
	dst = append(dst, `{"resourceMetrics":[{"resource":{"attributes":`...)
	dst = appendOTLPAttributes(dst, resource)
	dst = append(dst, `},"scopeMetrics":[{"scope":{"name":"heka-insights-agent","version":`...)
	dst = appendString(dst, b.Agent.Version)
	dst = append(dst, `},"metrics":[`...)
	for i, columns := range byMetric(b) {
		dst = appendOTLPMetric(comma(dst, i), b, columns)
	}
	return append(dst, `]}]}]}`...)
}

// byMetric groups the series that have points by name, unit and kind, in the
// order of the batch.
func byMetric(b *metric.Batch) [][]*metric.Column {
	var groups [][]*metric.Column
	type key struct {
		name, unit string
		kind       metric.Kind
	}
	index := make(map[key]int)
	for i := range b.Series {
		c := &b.Series[i]
		if !hasPoints(c) {
			continue
		}
		k := key{c.Name, c.Unit, c.Kind}
		at, known := index[k]
		if !known {
			at = len(groups)
			index[k] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], c)
	}
	return groups
}

func appendOTLPMetric(dst []byte, b *metric.Batch, columns []*metric.Column) []byte {
	desc := columns[0].Desc
	dst = append(dst, `{"name":`...)
	dst = appendString(dst, desc.Name)
	dst = append(dst, `,"unit":`...)
	dst = appendString(dst, desc.Unit)
	switch desc.Kind {
	case metric.Gauge:
		dst = append(dst, `,"gauge":{"dataPoints":[`...)
	case metric.Counter:
		dst = append(dst, `,"sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[`...)
	default:
		dst = append(dst, `,"sum":{"aggregationTemporality":2,"isMonotonic":false,"dataPoints":[`...)
	}
	n := 0
	for _, c := range columns {
		attributes := appendOTLPAttributes(nil, c.Series.Labels)
		integral := areIntegers(c)
		for tick, v := range c.Values {
			if v.IsNull() {
				continue
			}
			dst = append(comma(dst, n), `{"attributes":`...)
			dst = append(dst, attributes...)
			if start := startOf(b, c, tick); start > 0 {
				dst = appendNano(append(dst, `,"startTimeUnixNano":`...), start)
			}
			dst = appendNano(append(dst, `,"timeUnixNano":`...), b.Times[tick])
			dst = appendOTLPValue(dst, v, integral)
			n++
		}
	}
	return append(dst, `]}}`...)
}

// startOf is when a sum began, Unix ms: 0 for a gauge, or if nobody knows.
func startOf(b *metric.Batch, c *metric.Column, tick int) int64 {
	start := c.StartMS
	switch {
	case c.Kind == metric.Gauge:
		return 0
	case start == 0:
		start = b.StartMS
	}
	return min(start, b.Times[tick])
}

// areIntegers reports whether a series is one of integers: a reading in seconds
// that happens to be whole is not.
func areIntegers(c *metric.Column) bool {
	if c.Unit == "s" || c.Unit == "1" || c.Unit == "%" {
		return false
	}
	for _, v := range c.Values {
		if !v.IsNull() && !v.IsInt() {
			return false
		}
	}
	return true
}

// appendOTLPValue writes an integer as asInt, which is a string in protobuf's
// JSON, where its series is one of integers or a double would round it.
func appendOTLPValue(dst []byte, v metric.Value, integral bool) []byte {
	const exact = 1 << 53
	if n := v.Int64(); v.IsInt() && (integral || n > exact || n < -exact) {
		dst = append(dst, `,"asInt":"`...)
		return append(v.Append(dst), `"}`...)
	}
	return append(v.Append(append(dst, `,"asDouble":`...)), '}')
}

// appendNano writes a time in ms as one in ns, a string as all 64 bit integers in
// protobuf's JSON.
func appendNano(dst []byte, ms int64) []byte {
	dst = strconv.AppendInt(append(dst, '"'), ms, 10)
	return append(dst, `000000"`...)
}

func appendOTLPAttributes(dst []byte, labels []metric.Label) []byte {
	dst = append(dst, '[')
	for i, l := range labels {
		dst = append(comma(dst, i), `{"key":`...)
		dst = appendString(dst, l.Key)
		dst = append(dst, `,"value":{"stringValue":`...)
		dst = appendString(dst, l.Value)
		dst = append(dst, `}}`...)
	}
	return append(dst, ']')
}

// Judge takes a 2xx for an acknowledgement if its body is empty or an
// ExportMetricsServiceResponse in JSON. What partialSuccess counts is refused for
// good; the protocol does not say which points that are, so a batch of which all
// are is refused as a whole, and the bad ones are found by halving it.
func (otlp) Judge(sent backend.Sent, a backend.Answer) (j backend.Judgement, known bool) {
	if a.Status == http.StatusBadRequest && bytes.Contains(a.Body, []byte("request body too large")) {
		return backend.Judgement{Verdict: backend.TooLarge, Cause: "request body too large"}, true // a Collector
	}
	if !ok(a) {
		return j, false
	}
	if len(bytes.TrimSpace(a.Body)) == 0 && !strings.Contains(a.Header.Get("Content-Type"), "html") {
		return backend.Judgement{Verdict: backend.Acked}, true
	}
	rejected, err := partialSuccess(a.Body)
	if err != nil {
		return backend.Judgement{Cause: err.Error()}, true
	}
	rejected.Points = min(max(rejected.Points, 0), sent.Points)
	switch rejected.Points {
	case 0:
		rejected = metric.Rejected{} // a warning at most
	case sent.Points: // so it may be the endpoint that is wrong
		return backend.Judgement{Verdict: backend.Reject, Cause: "all points were rejected: " + rejected.Reason}, true
	}
	return backend.Judgement{Verdict: backend.Acked, Rejected: rejected}, true
}

func partialSuccess(body []byte) (metric.Rejected, error) {
	errNone := errors.New("the answer is not OTLP's (no JSON object)")
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil || fields == nil {
		return metric.Rejected{}, errNone
	}
	for _, name := range []string{"error", "errors", "code", "message"} { // google.rpc.Status, or a portal's
		if _, failed := fields[name]; failed {
			return metric.Rejected{}, errors.New("the answer speaks of an error")
		}
	}
	if _, echo := fields["resourceMetrics"]; echo {
		return metric.Rejected{}, errors.New("the answer repeats the request")
	}
	raw, partly := fields["partialSuccess"]
	if !partly {
		raw, partly = fields["partial_success"] // protobuf's JSON has both
	}
	if !partly {
		return metric.Rejected{}, nil
	}
	var partial struct {
		RejectedDataPoints json.RawMessage `json:"rejectedDataPoints"`
		Rejected           json.RawMessage `json:"rejected_data_points"`
		ErrorMessage       string          `json:"errorMessage"`
		Message            string          `json:"error_message"`
	}
	if json.Unmarshal(raw, &partial) != nil {
		return metric.Rejected{}, errNone
	}
	number := strings.Trim(string(partial.RejectedDataPoints)+string(partial.Rejected), `"`)
	if number == "" || number == "null" {
		return metric.Rejected{}, nil
	}
	points, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return metric.Rejected{}, errors.New("the answer's rejectedDataPoints is not a number")
	}
	return metric.Rejected{Points: points, Reason: partial.ErrorMessage + partial.Message}, nil
}
