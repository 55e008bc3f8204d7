package encode

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// Schema is the name and version of the native format.
const Schema = "heka.batch/1"

// Native is the agent's own wire format, specified in docs/wire.md. The zero
// value is ready to use and safe for concurrent use.
type Native struct{}

// Heka is the backend that takes the native format: heka-ingest, and whatever
// else implements docs/wire.md.
func Heka() backend.Backend {
	return backend.Backend{
		Name: "heka", Native: true, Format: Native{}, ContentType: "application/json",
		Path: "/v1/batches", KeyHeader: "X-Api-Key", Compressions: []string{"gzip", "zstd"},
	}
}

// Append appends b as one line of JSON, without a newline, and returns the
// extended slice. It allocates nothing per series or point but the growth of
// dst.
func (Native) Append(dst []byte, b *metric.Batch) []byte {
	dst = append(dst, `{"schema":"`+Schema+`","batch_id":"`...)
	dst = append(dst, b.ID()...)
	dst = append(dst, `","agent":{"id":`...)
	dst = appendString(dst, b.Agent.ID)
	dst = append(dst, `,"version":`...)
	dst = appendString(dst, b.Agent.Version)
	dst = append(dst, `,"epoch":"`...)
	dst = append(dst, metric.EpochString(b.Agent.Epoch)...)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, b.Agent.Seq, 10)
	dst = append(dst, `},"resource":`...)
	dst = appendLabels(dst, b.Resource)
	dst = append(dst, `,"start_ms":`...)
	dst = strconv.AppendInt(dst, b.StartMS, 10)
	dst = append(dst, `,"interval_ms":`...)
	dst = strconv.AppendInt(dst, b.IntervalMS, 10)
	dst = append(dst, `,"times":[`...)
	for i, t := range b.Times {
		dst = comma(dst, i)
		dst = strconv.AppendInt(dst, t, 10)
	}
	dst = append(dst, `],"series":[`...)
	for i := range b.Series {
		dst = comma(dst, i)
		dst = appendColumn(dst, &b.Series[i])
	}
	dst = append(dst, `],"loss":{`...)
	for i, l := range b.Loss {
		dst = comma(dst, i)
		dst = appendString(dst, l.Reason)
		dst = append(dst, `:{"points":`...)
		dst = strconv.AppendInt(dst, l.Points, 10)
		dst = append(dst, '}')
	}
	return append(dst, "}}"...)
}

func appendColumn(dst []byte, c *metric.Column) []byte {
	dst = append(dst, `{"name":`...)
	dst = appendString(dst, c.Name)
	dst = append(dst, `,"unit":`...)
	dst = appendString(dst, c.Unit)
	dst = append(dst, `,"kind":"`...)
	dst = append(dst, c.Kind.String()...)
	dst = append(dst, `","labels":`...)
	dst = appendLabels(dst, c.Series.Labels)
	if c.StartMS != 0 {
		dst = append(dst, `,"start_ms":`...)
		dst = strconv.AppendInt(dst, c.StartMS, 10)
	}
	dst = append(dst, `,"values":[`...)
	for i, v := range c.Values {
		dst = comma(dst, i)
		dst = v.Append(dst)
	}
	return append(dst, "]}"...)
}

func appendLabels(dst []byte, labels []metric.Label) []byte {
	dst = append(dst, '{')
	for i, l := range labels {
		dst = comma(dst, i)
		dst = appendString(dst, l.Key)
		dst = append(dst, ':')
		dst = appendString(dst, l.Value)
	}
	return append(dst, '}')
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}

// appendString appends s as a JSON string. Names and labels are nearly always
// printable ASCII; anything else (a mount point may hold any byte) takes
// encoding/json's way, with invalid UTF-8 replaced.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(strings.ToValidUTF8(s, "\ufffd")) // a string cannot fail to marshal
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// answer is what an ingest replies to a batch.
type answer struct {
	BatchID  string `json:"batch_id"`
	Schema   string `json:"schema"`
	Points   int64  `json:"points"`
	Rejected []struct {
		Series int    `json:"series"`
		Reason string `json:"reason"`
	} `json:"rejected"`
}

// Judge takes a 2xx for an acknowledgement if its body echoes the batch id.
func (n Native) Judge(sent backend.Sent, a backend.Answer) (j backend.Judgement, known bool) {
	if !ok(a) {
		return j, false
	}
	rejected, err := n.Acknowledged(sent.ID, sent.Points, a.Body)
	if err != nil {
		return backend.Judgement{Cause: err.Error()}, true
	}
	return backend.Judgement{Verdict: backend.Acked, Rejected: rejected}, true
}

// Acknowledged reads the body of a 2xx answer to the batch id. It returns an
// error unless the body echoes that id, as only an ingest would: a proxy's
// page or a captive portal does not.
func (Native) Acknowledged(id string, points int64, body []byte) (metric.Rejected, error) {
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return metric.Rejected{}, errors.New("the answer is not an acknowledgement (no JSON)")
	}
	if a.Schema != "" { // an answer has none
		return metric.Rejected{}, errors.New("the answer repeats the batch, and does not acknowledge it")
	}
	if a.BatchID != id {
		return metric.Rejected{}, fmt.Errorf("the answer does not acknowledge batch %s", id)
	}
	if len(a.Rejected) == 0 {
		return metric.Rejected{}, nil
	}
	r := metric.Rejected{Points: points - min(max(a.Points, 0), points), Reason: a.Rejected[0].Reason}
	for _, s := range a.Rejected {
		r.Series = append(r.Series, s.Series)
	}
	return r, nil
}
