package encode

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// Datadog is the API "submit metrics", v2
// (https://docs.datadoghq.com/api/latest/metrics/#submit-metrics): 500 KB
// compressed and 5 MB plain at most, points of the last hour and of the next ten
// minutes. For another site the endpoint is https://api.<site>/api/v2/series.
func Datadog() backend.Backend {
	return backend.Backend{
		Name: "datadog", Format: datadog{}, ContentType: "application/json",
		Endpoint: "https://api.datadoghq.com/api/v2/series", Path: "/api/v2/series",
		KeyHeader: "Dd-Api-Key", Compressions: []string{"gzip"},
		Limits: backend.Limits{Bytes: 512_000, PlainBytes: 5_242_880, MaxAge: time.Hour, MaxAhead: 10 * time.Minute},
	}
}

type datadog struct{}

// datadogGauge is the only type in use. Datadog's count is what was added in an
// interval, so a cumulative counter sent as one is wrong; as a gauge it keeps its
// value, and monotonic_diff() and per_second() make rates of it (docs/adr/0012).
const datadogGauge = 3

// Append writes each series with its points, in whole seconds. The resource and
// the labels are tags, but for host.name, which is the resource host.
func (datadog) Append(dst []byte, b *metric.Batch) []byte {
	tags, host := datadogResource(b.Resource)
	dst = append(dst, `{"series":[`...)
	n := 0
	for i := range b.Series {
		c := &b.Series[i]
		if !hasPoints(c) {
			continue
		}
		dst = append(comma(dst, n), `{"metric":`...)
		dst = appendString(dst, datadogName(c.Name))
		dst = append(dst, `,"type":`...)
		dst = strconv.AppendInt(dst, datadogGauge, 10)
		if unit := datadogUnit(c.Unit); unit != "" {
			dst = append(dst, `,"unit":`...)
			dst = appendString(dst, unit)
		}
		dst = append(dst, `,"points":[`...)
		dst = appendDatadogPoints(dst, b.Times, c.Values)
		dst = append(dst, `],"tags":[`...)
		own := len(c.Series.Labels)
		for i, l := range c.Series.Labels {
			dst = appendString(comma(dst, i), datadogTag(l))
		}
		for i, tag := range tags {
			dst = appendString(comma(dst, own+i), tag)
		}
		dst = append(dst, ']')
		if host != "" {
			dst = append(dst, `,"resources":[{"type":"host","name":`...)
			dst = appendString(dst, host)
			dst = append(dst, "}]"...)
		}
		dst = append(dst, '}')
		n++
	}
	return append(dst, "]}"...)
}

func appendDatadogPoints(dst []byte, times []int64, values []metric.Value) []byte {
	n := 0
	for tick, v := range values {
		if v.IsNull() {
			continue
		}
		dst = append(comma(dst, n), `{"timestamp":`...)
		dst = strconv.AppendInt(dst, times[tick]/1000, 10)
		dst = append(dst, `,"value":`...)
		dst = append(v.Append(dst), '}')
		n++
	}
	return dst
}

func datadogResource(resource []metric.Label) (tags []string, host string) {
	for _, l := range resource {
		if l.Key == "host.name" {
			host = l.Value
			continue
		}
		tags = append(tags, datadogTag(l))
	}
	return tags, host
}

// datadogName makes a name of letters, digits, underscores and dots, that begins
// with a letter and has at most 200 of them ("Custom metrics" in the
// documentation).
func datadogName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.':
			return r
		default:
			return '_'
		}
	}, name)
	if first := (name + "_")[0] | 0x20; first < 'a' || first > 'z' { // in lower case
		name = "m" + name
	}
	return name[:min(len(name), 200)]
}

// datadogTag is key:value, at most 200 characters, as the documentation has it
// ("Define tags"). Datadog itself makes lower case of it, and underscores of what
// it does not take.
func datadogTag(l metric.Label) string {
	tag := strings.ToValidUTF8(l.Key+":"+l.Value, "_")
	if utf8.RuneCountInString(tag) > 200 {
		tag = string([]rune(tag)[:200])
	}
	return tag
}

// datadogUnit returns Datadog's word for a UCUM unit, or "".
func datadogUnit(unit string) string {
	switch unit {
	case "By":
		return "byte"
	case "s":
		return "second"
	case "ms":
		return "millisecond"
	case "%", "percent":
		return "percent"
	case "1":
		return "fraction"
	default:
		return ""
	}
}

// Judge takes a 2xx for an acknowledgement if its body is JSON with an empty
// list of errors, or none.
func (datadog) Judge(_ backend.Sent, a backend.Answer) (j backend.Judgement, known bool) {
	if !ok(a) {
		return j, false
	}
	if err := datadogErrors(a.Body); err != nil {
		return backend.Judgement{Cause: err.Error()}, true
	}
	return backend.Judgement{Verdict: backend.Acked}, true
}

func datadogErrors(body []byte) error {
	var answer map[string]json.RawMessage
	if json.Unmarshal(body, &answer) != nil || answer == nil {
		return errors.New("the answer is not Datadog's (no JSON object)")
	}
	var list []string
	if raw, there := answer["errors"]; !there {
		var status string // of the API before: {"status":"ok"}
		if json.Unmarshal(answer["status"], &status) != nil || status != "ok" {
			return errors.New("the answer is not Datadog's (no list of errors)")
		}
	} else if json.Unmarshal(raw, &list) != nil {
		return errors.New("the answer is not Datadog's (errors is no list)")
	}
	if len(list) > 0 {
		return errors.New(list[0])
	}
	return nil
}
