package encode

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// Splunk is Splunk's HTTP Event Collector with a token for a metrics index
// ("Get metrics in from other sources" in its documentation): events with several
// measurements, one for each tick and set of labels. A batch that is sent again
// is stored again; HEC has nothing to tell by.
func Splunk() backend.Backend {
	return backend.Backend{
		Name: "splunk", Format: splunk{}, ContentType: "application/json",
		Path: "/services/collector", KeyHeader: "Authorization", KeyScheme: "Splunk ", Compressions: []string{"gzip"},
	}
}

type splunk struct{}

// Append writes one event after another. Labels and resource are dimensions.
func (splunk) Append(dst []byte, b *metric.Batch) []byte {
	for _, d := range documents(b) {
		dst = append(dst, `{"time":`...)
		dst = appendSeconds(dst, b.Times[d.tick])
		dst = append(dst, `,"event":"metric","source":"heka-insights-agent"`...)
		for _, l := range b.Resource {
			if l.Key == "host.name" {
				dst = appendString(append(dst, `,"host":`...), l.Value)
			}
		}
		dst = append(dst, `,"fields":{`...)
		for i, series := range d.series {
			c := &b.Series[series]
			dst = appendString(comma(dst, i), "metric_name:"+c.Name)
			dst = c.Values[d.tick].Append(append(dst, ':'))
		}
		dst = appendDimensions(dst, d.labels, b.Resource)
		dst = append(dst, "}}\n"...)
	}
	return dst
}

// appendSeconds writes Unix ms as seconds with three decimals.
func appendSeconds(dst []byte, ms int64) []byte {
	dst = strconv.AppendInt(dst, ms/1000, 10)
	return fmt.Appendf(dst, ".%03d", ms%1000)
}

// appendDimensions appends ,"key":"value" for each label, and for each attribute
// that no label hides. A dimension has a value.
func appendDimensions(dst []byte, labels, resource []metric.Label) []byte {
	seen := make(map[string]bool, len(labels)+len(resource))
	for _, list := range [][]metric.Label{labels, resource} {
		for _, l := range list {
			key := dimensionName(l.Key)
			if seen[key] || l.Value == "" {
				continue
			}
			seen[key] = true
			dst = appendString(append(dst, ','), key)
			dst = appendString(append(dst, ':'), l.Value)
		}
	}
	return dst
}

// dimensionName keeps a name from being one of Splunk's own fields, which an
// underscore begins as well, or from looking like a measurement.
func dimensionName(key string) string {
	switch key {
	case "host", "source", "sourcetype", "index", "time", "timestamp", "linecount", "punct", "splunk_server":
		return "label." + key
	}
	if strings.HasPrefix(key, "_") || strings.HasPrefix(key, "metric_name:") {
		return "label." + key
	}
	return key
}

// splunkAnswer is HEC's answer to any request.
type splunkAnswer struct {
	Text    string `json:"text"`
	Code    *int   `json:"code"`
	Invalid *int   `json:"invalid-event-number"`
}

const (
	hintSplunkIndex   = "let the token write to a metrics index, by default"
	hintSplunkChannel = "switch the token's indexer acknowledgement off, or set X-Splunk-Request-Channel in HEKA_HEADERS"
)

// Judge goes by the codes of the documentation ("HTTP Event Collector: possible
// error codes"). An event that is named as invalid is bad; the others are sent
// again without it, since nothing says whether those before it were indexed.
func (splunk) Judge(sent backend.Sent, a backend.Answer) (j backend.Judgement, known bool) {
	var said splunkAnswer
	if json.Unmarshal(a.Body, &said) != nil || said.Code == nil {
		return j, false
	}
	j.Cause = fmt.Sprintf("%s (code %d)", said.Text, *said.Code)
	switch code := *said.Code; {
	case code == 0 && ok(a):
		return backend.Judgement{Verdict: backend.Acked}, true
	case ok(a):
		return j, true
	case a.Status != http.StatusBadRequest:
		return j, false
	case code == 5 && sent.Points == 0: // no data
		return backend.Judgement{Verdict: backend.Reject, Cause: j.Cause}, true
	case code == 7: // incorrect index
		j.Verdict, j.Hint = backend.Pause, hintSplunkIndex
	case code == 10 || code == 11: // data channel
		j.Verdict, j.Hint = backend.Pause, hintSplunkChannel
	default:
		j.Verdict = backend.Reject
		if rejected, again, err := splunkInvalid(sent, said); err == nil {
			rejected.Reason = j.Cause
			j.Rejected, j.Again = rejected, again
		}
	}
	return j, true
}

// splunkInvalid returns the points of the invalid event, and of all others.
func splunkInvalid(sent backend.Sent, said splunkAnswer) (bad metric.Rejected, again []metric.Place, err error) {
	all := documents(sent.Batch)
	if said.Invalid == nil || *said.Invalid < 0 || *said.Invalid >= len(all) || len(all) == 1 {
		return bad, nil, errors.New("no event is named, or there is no other")
	}
	for n, d := range all {
		if n == *said.Invalid {
			bad.Places = d.places()
			bad.Points = int64(len(bad.Places))
		} else {
			again = append(again, d.places()...)
		}
	}
	return bad, again, nil
}
