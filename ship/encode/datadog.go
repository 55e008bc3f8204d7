package encode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// maxDatadogName is how long Datadog lets a metric's name be, in bytes.
const maxDatadogName = 200

// datadogGauge is the type of all metrics; why, is in docs/adr/0012.
const datadogGauge = 3

// Datadog is the metrics intake of Datadog
// (https://docs.datadoghq.com/api/latest/metrics/#submit-metrics, version 2).
// What it has of a series at a second it overwrites, so a batch may come twice.
func Datadog() backend.Backend {
	return backend.Backend{
		Name: "datadog", Format: datadog{}, ContentType: "application/json",
		Endpoint: "https://api.datadoghq.com/api/v2/series", Path: "/api/v2/series",
		KeyHeader: "Dd-Api-Key", Compressions: []string{"gzip"},
		Limits: backend.Limits{Bytes: 512_000, PlainBytes: 5_242_880, MaxAge: time.Hour, MaxAhead: 10 * time.Minute},
	}
}

type datadog struct{}

// Append writes one element for each series, with the labels and the resource
// as tags and host.name as its host. Tags are left as they are: Datadog lowers
// their case, and replaces and cuts what it does not take.
func (datadog) Append(dst []byte, b *metric.Batch) []byte {
	dst = append(dst, `{"series":[`...)
	attributes := newAttributes(b.Resource)
	n := 0
	for i := range b.Series {
		c := &b.Series[i]
		if !hasPoints(c) || tooLongForDatadog(c) {
			continue
		}
		dst = append(comma(dst, n), `{"metric":`...)
		n++
		dst = appendString(dst, datadogName(c.Name))
		dst = append(dst, `,"type":`...)
		dst = strconv.AppendInt(dst, datadogGauge, 10)
		if unit := datadogUnit(c.Unit); unit != "" {
			dst = append(dst, `,"unit":`...)
			dst = appendString(dst, unit)
		}
		dst = appendDatadogPoints(dst, c, b.Times)
		dst = appendDatadogTags(dst, c.Series.Labels, attributes.of(c))
		dst = appendDatadogHost(dst, b.Resource)
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

func appendDatadogPoints(dst []byte, c *metric.Column, times []int64) []byte {
	dst = append(dst, `,"points":[`...)
	n := 0
	for tick, v := range c.Values {
		if v.IsNull() || overwritten(c, times, tick) {
			continue
		}
		dst = append(comma(dst, n), `{"timestamp":`...)
		n++
		dst = strconv.AppendInt(dst, times[tick]/1000, 10)
		dst = append(dst, `,"value":`...)
		dst = v.Append(dst)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// overwritten reports whether the series has a later point in the same second,
// which Datadog would keep instead.
func overwritten(c *metric.Column, times []int64, tick int) bool {
	for later := tick + 1; later < len(times) && times[later]/1000 == times[tick]/1000; later++ {
		if !c.Values[later].IsNull() {
			return true
		}
	}
	return false
}

// appendDatadogTags appends the labels, then the resource without host.name; of
// two with the same key the first one counts.
func appendDatadogTags(dst []byte, labels, resource []metric.Label) []byte {
	dst = append(dst, `,"tags":[`...)
	seen := []string{"host.name"}
	for i, list := range [][]metric.Label{labels, resource} {
		for _, l := range list {
			if i > 0 && slices.Contains(seen, l.Key) {
				continue
			}
			dst = comma(dst, len(seen)-1)
			seen = append(seen, l.Key)
			if l.Value == "" { // a tag must not end with a colon
				dst = appendString(dst, l.Key)
			} else {
				dst = appendString(dst, l.Key+":"+l.Value)
			}
		}
	}
	return append(dst, ']')
}

func appendDatadogHost(dst []byte, resource []metric.Label) []byte {
	for _, l := range resource {
		if l.Key == "host.name" {
			dst = append(dst, `,"resources":[{"name":`...)
			dst = appendString(dst, l.Value)
			return append(dst, `,"type":"host"}]`...)
		}
	}
	return dst
}

// datadogName makes a name as Datadog's rules have it: letters, digits, dots and
// underscores of ASCII, the first of them a letter.
func datadogName(name string) string {
	parts := strings.Split(name, ".")
	for i := range parts {
		parts[i] = sanitize(parts[i])
	}
	name = strings.Join(parts, ".")
	if c := (name + " ")[0] | 0x20; c < 'a' || c > 'z' {
		return "heka" + name
	}
	return name
}

func tooLongForDatadog(c *metric.Column) bool { return len(datadogName(c.Name)) > maxDatadogName }

// datadogUnit is the name that Datadog has for a UCUM unit; "" if it has none.
func datadogUnit(unit string) string {
	switch unit {
	case "By":
		return "byte"
	case "s":
		return "second"
	case "ms":
		return "millisecond"
	case "1":
		return "fraction"
	case "%":
		return "percent"
	case "{cpu}":
		return "cpu"
	case "{page}", "{pages}":
		return "page"
	case "{processes}":
		return "process"
	case "{connections}", "{errors}", "{faults}", "{inodes}", "{operations}", "{packets}", "{thread}", "{threads}", "{timeouts}":
		return strings.TrimSuffix(strings.Trim(unit, "{}"), "s")
	default:
		return ""
	}
}

// Judge takes a 2xx with an empty list of errors, and the {"status":"ok"} of
// version 1 and of those who speak for Datadog, for an acknowledgement. Points
// that the body did not hold are rejected then.
func (datadog) Judge(sent backend.Sent, a backend.Answer) (j backend.Judgement, known bool) {
	if a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
		return backend.Judgement{
			Verdict: backend.Pause, Cause: "the API key is not taken",
			Hint: "check HEKA_API_KEY, and that HEKA_ENDPOINT is the site the key is of, such as https://api.datadoghq.eu",
		}, true
	}
	if !ok(a) {
		return j, false
	}
	var said struct {
		Errors []any  `json:"errors"`
		Status string `json:"status"`
	}
	if json.Unmarshal(bytes.TrimSpace(a.Body), &said) != nil {
		return j, false
	}
	switch {
	case len(said.Errors) > 0:
		return backend.Judgement{
			Verdict: backend.Reject, Cause: fmt.Sprintf("with an error: %v", said.Errors[0]),
			Hint: "look up the error in Datadog's documentation",
		}, true
	case said.Errors == nil && (said.Status != "ok" || a.Status != http.StatusAccepted):
		return j, false
	default:
		return backend.Judgement{Verdict: backend.Acked, Rejected: unfitForDatadog(sent.Batch)}, true
	}
}

// unfitForDatadog names the points that Append leaves out.
func unfitForDatadog(b *metric.Batch) (r metric.Rejected) {
	for i := range b.Series {
		c := &b.Series[i]
		tooLong := tooLongForDatadog(c)
		for tick, v := range c.Values {
			if v.IsNull() || !tooLong && !overwritten(c, b.Times, tick) {
				continue
			}
			if r.Points == 0 && tooLong {
				r.Reason = fmt.Sprintf("the metric's name is longer than the %d that datadog takes", maxDatadogName)
			} else if r.Points == 0 {
				r.Reason = "another point of its second follows, and datadog keeps one a second: is HEKA_INTERVAL below 1s?"
			}
			r.Points++
			r.Places = append(r.Places, metric.Place{Series: i, Time: tick})
		}
	}
	return r
}
