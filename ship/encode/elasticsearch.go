package encode

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// Elasticsearch is the bulk API of Elasticsearch and OpenSearch
// (https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk):
// one document for each tick and set of labels, created under an id that follows
// from what it holds, so that one that is there already (409) is delivered. The
// endpoint names the index or data stream; docs/backends.md has its template.
func Elasticsearch() backend.Backend {
	return backend.Backend{
		Name: "elasticsearch", Format: elasticsearch{}, ContentType: "application/x-ndjson",
		Path: "/metrics-heka-default/_bulk", KeyHeader: "Authorization", KeyScheme: "ApiKey ", Compressions: []string{"gzip"},
		Query: map[string]string{"filter_path": "errors,items.*.status,items.*.error.type,items.*.error.reason"},
	}
}

type elasticsearch struct{}

// Append writes an action and a document in turns.
func (elasticsearch) Append(dst []byte, b *metric.Batch) []byte {
	tail := append([]byte(`,"resource":`), appendLabels(nil, b.Resource)...)
	tail = appendString(append(tail, `,"agent":{"id":`...), b.Agent.ID)
	tail = append(tail, '}')
	for _, l := range b.Resource {
		if l.Key == "host.name" {
			tail = append(appendString(append(tail, `,"host":{"name":`...), l.Value), '}')
		}
	}
	tail = append(tail, "}\n"...)
	for _, d := range documents(b) {
		dst = append(dst, `{"create":{"_id":"`...)
		dst = append(dst, documentID(b, &d)...)
		dst = append(dst, "\"}}\n"...)
		dst = append(dst, `{"@timestamp":"`...)
		dst = time.UnixMilli(b.Times[d.tick]).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
		dst = append(dst, `","labels":`...)
		dst = appendLabels(dst, d.labels)
		dst = append(dst, `,"metrics":{`...)
		for i, series := range d.series {
			c := &b.Series[series]
			dst = appendString(comma(dst, i), c.Name)
			dst = appendMappedNumber(append(dst, ':'), c.Unit, c.Values[d.tick])
		}
		dst = append(dst, '}')
		dst = append(dst, tail...)
	}
	return dst
}

// appendMappedNumber writes a number so that a metric's first one does not make an
// integer field of what has fractions: those would be cut off in the index.
func appendMappedNumber(dst []byte, unit string, v metric.Value) []byte {
	from := len(dst)
	dst = v.Append(dst)
	counted := unit == "By" || strings.HasPrefix(unit, "{") && unit != "{thread}" && unit != "{cpu}"
	if !counted && !bytes.ContainsAny(dst[from:], ".eE") {
		dst = append(dst, ".0"...)
	}
	return dst
}

// documentID names a document by whose it is, its time, its labels and its
// readings: the same in every batch and part that holds just these points, and
// another one for others of that time, as after the clock was set back.
func documentID(b *metric.Batch, d *document) string {
	text := appendString(nil, b.Agent.ID)
	text = fmt.Appendf(text, "%d", b.Times[d.tick])
	text = appendLabels(text, d.labels)
	for _, series := range d.series {
		text = appendString(text, b.Series[series].Name)
		text = b.Series[series].Values[d.tick].Append(text)
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}

// bulkItem is what became of one document.
type bulkItem struct {
	Status int `json:"status"`
	Error  struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	} `json:"error"`
}

// bulkAnswer is a bulk answer as far as it was read.
type bulkAnswer struct {
	known bool // it has items
	whole bool // it is not cut off
	items []bulkItem
}

// readBulk reads an answer that may be cut off.
func readBulk(body []byte) (a bulkAnswer) {
	d := json.NewDecoder(bytes.NewReader(body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return a
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return a
		}
		if key == "items" {
			a.known = true
			a.items = readBulkItems(d)
			continue
		}
		var skipped json.RawMessage
		if d.Decode(&skipped) != nil {
			return a
		}
	}
	end, err := d.Token()
	a.whole = err == nil && end == json.Delim('}')
	return a
}

// readBulkItems reads the items, each under the name of its action: some servers
// that speak for Elasticsearch have another one for create.
func readBulkItems(d *json.Decoder) (items []bulkItem) {
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return nil
	}
	for d.More() {
		var actions map[string]bulkItem
		if d.Decode(&actions) != nil || len(actions) != 1 {
			return items
		}
		for _, item := range actions {
			items = append(items, item)
		}
	}
	_, _ = d.Token()
	return items
}

const hintBulkItems = "is HEKA_ENDPOINT the bulk API of Elasticsearch or OpenSearch, with items in its answer (filter_path), and does it take HEKA_COMPRESSION?"

// Judge goes by the items of a 2xx: there is one for each document, in their order.
// "errors": false alone is no acknowledgement; a server that could not read the body
// says that too. Items that the answer does not tell of, since it was cut off, are
// sent again: their ids make that safe.
func (elasticsearch) Judge(sent backend.Sent, a backend.Answer) (j backend.Judgement, known bool) {
	if !ok(a) || sent.Batch == nil {
		return j, false
	}
	answer, all := readBulk(a.Body), documents(sent.Batch)
	n := len(answer.items)
	switch {
	case !answer.known:
		j.Cause = "the answer is not that of a bulk request: it has no items"
	case n > len(all), n < len(all) && (answer.whole || n == 0):
		j.Cause = fmt.Sprintf("the answer tells of %d documents, and %d were sent", n, len(all))
	default:
		return judgeItems(all, answer.items), true
	}
	j.Hint = hintBulkItems
	return j, true
}

func judgeItems(all []document, items []bulkItem) (j backend.Judgement) {
	delivered, busy := false, ""
	for n, d := range all {
		if n >= len(items) {
			j.Again = append(j.Again, d.places()...)
			continue
		}
		item := items[n]
		cause := strings.TrimSpace(fmt.Sprintf("%d %s %s", item.Status, item.Error.Type, item.Error.Reason))
		switch itemVerdict(item) {
		case backend.Acked:
			delivered = true
		case backend.Retry:
			busy = cmp.Or(busy, cause)
			j.Again = append(j.Again, d.places()...)
		case backend.Pause:
			return backend.Judgement{Verdict: backend.Pause, Cause: cause, Hint: "check the index in HEKA_ENDPOINT, and the rights of the key"}
		default:
			j.Rejected.Places = append(j.Rejected.Places, d.places()...)
			j.Rejected.Reason = cmp.Or(j.Rejected.Reason, cause)
		}
	}
	j.Rejected.Points = int64(len(j.Rejected.Places))
	switch {
	case busy != "":
		j.Verdict, j.Cause, j.Overload = backend.Retry, busy, true
	case !delivered && j.Rejected.Points > 0: // so it may be the index that is wrong
		j.Verdict, j.Cause = backend.Reject, j.Rejected.Reason
		if len(j.Again) == 0 {
			j.Rejected = metric.Rejected{}
		}
	default:
		j.Verdict = backend.Acked
	}
	return j
}

func itemVerdict(item bulkItem) backend.Verdict {
	switch s := item.Status; {
	case s >= 200 && s < 300, s == http.StatusConflict:
		return backend.Acked
	case s == http.StatusTooManyRequests, s >= 500, s == 0, item.Error.Type == "cluster_block_exception":
		return backend.Retry
	case s == http.StatusNotFound, s == http.StatusForbidden, s == http.StatusUnauthorized:
		return backend.Pause
	default:
		return backend.Reject
	}
}
