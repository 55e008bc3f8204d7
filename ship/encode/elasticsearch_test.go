package encode_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// elasticDocument is a document of the template in docs/backends.md.
type elasticDocument struct {
	Timestamp time.Time              `json:"@timestamp"`
	Labels    map[string]string      `json:"labels"`
	Metrics   map[string]json.Number `json:"metrics"`
	Resource  map[string]string      `json:"resource"`
	Agent     map[string]string      `json:"agent"`
	Host      map[string]string      `json:"host"`
}

// readBulkBody reads the pairs of lines of a bulk request.
func readBulkBody(t *testing.T, body []byte) (ids []string, documents []elasticDocument) {
	t.Helper()
	lines := bytes.SplitAfter(body, []byte("\n"))
	if last := lines[len(lines)-1]; len(last) > 0 || len(lines)%2 != 1 {
		t.Fatalf("a bulk body ends with a newline, and has pairs of lines:\n%s", body)
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(lines); i += 2 {
		var action struct {
			Create struct {
				ID string `json:"_id"`
			} `json:"create"`
		}
		var document elasticDocument
		strictJSON(t, lines[i], &action)
		strictJSON(t, lines[i+1], &document)
		if action.Create.ID == "" || seen[action.Create.ID] || document.Host["name"] != "web-1" || document.Agent["id"] != "a1" {
			t.Fatalf("not a document, or its id twice: %s%s", lines[i], lines[i+1])
		}
		seen[action.Create.ID] = true
		ids, documents = append(ids, action.Create.ID), append(documents, document)
	}
	return ids, documents
}

func readElasticsearch(t *testing.T, body []byte) (points []readPoint) {
	t.Helper()
	_, documents := readBulkBody(t, body)
	for _, d := range documents {
		for name, value := range d.Metrics {
			points = append(points, readPoint{fmt.Sprint(name, d.Labels), d.Timestamp.UnixMilli(), strings.TrimSuffix(value.String(), ".0")})
		}
	}
	return points
}

// A document's id is the same in every batch that holds just its points, and
// another one wherever anything of it differs.
func TestElasticsearchIDs(t *testing.T) {
	format := encode.Elasticsearch().Format
	all, _ := readBulkBody(t, format.Append(nil, sample()))
	again := sample()
	again.Agent.Epoch, again.Agent.Seq, again.Part = 5, 6, "/0"
	clear(again.Series[3].Values) // another document
	left, _ := readBulkBody(t, format.Append(nil, again))
	if fmt.Sprint(left[:5]) != fmt.Sprint(all[:5]) || len(left) != len(all)-1 {
		t.Errorf("ids %v and %v", all, left)
	}
	known := make(map[string]bool)
	for _, id := range all {
		known[id] = true
	}
	for name, change := range map[string]func(b *metric.Batch){
		"agent": func(b *metric.Batch) { b.Agent.ID = "a1 " },
		"time":  func(b *metric.Batch) { b.Times = []int64{1, 2, 3} },
		"values": func(b *metric.Batch) {
			for i := range b.Series {
				for tick, v := range b.Series[i].Values {
					if !v.IsNull() {
						b.Series[i].Values[tick] = metric.Float(v.Float64()/2 + 1)
					}
				}
			}
		},
		"labels": func(b *metric.Batch) { relabel(b, metric.L("state", "x")) },
		"name": func(b *metric.Batch) {
			b.Series = b.Series[:1]
			b.Series[0].Series = &metric.Series{Desc: &metric.Desc{Name: "other"}}
		},
	} {
		b := sample()
		change(b)
		body := bytes.ReplaceAll(format.Append(nil, b), []byte(`"a1 "`), []byte(`"a1"`))
		ids, _ := readBulkBody(t, body)
		for _, id := range ids {
			if known[id] {
				t.Errorf("%s: a document has the id of another", name)
			}
		}
	}
}

func relabel(b *metric.Batch, l metric.Label) {
	for i := range b.Series {
		b.Series[i].Series = &metric.Series{Desc: b.Series[i].Desc, Labels: []metric.Label{l, metric.L("n", fmt.Sprint(i))}}
	}
}

// A whole number of what has fractions does not look like an integer.
func TestElasticsearchNumbers(t *testing.T) {
	body := string(encode.Elasticsearch().Format.Append(nil, sample()))
	for _, want := range []string{`"system.cpu.time":13.0}`, `"system.cpu.load_average.1m":-3.0}`, `"system.memory.usage":123}`, `"system.cpu.time":1e-09}`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
}

func TestElasticsearchAnswers(t *testing.T) {
	batch := sample() // 9 points in 8 documents
	sent := backend.Sent{Points: batch.Points(), Batch: batch}
	items := func(statuses ...int) string {
		var list []string
		for _, s := range statuses {
			item := fmt.Sprintf(`{"create":{"status":%d}}`, s)
			if s == 403 {
				item = `{"create":{"status":403,"error":{"type":"cluster_block_exception","reason":"read-only"}}}`
			}
			list = append(list, item)
		}
		return `{"errors":true,"took":3,"items":[` + strings.Join(list, ",") + `]}`
	}
	whole := items(201, 400, 201, 201, 201, 201, 201, 201, 201)
	for _, c := range []struct {
		body     string
		verdict  backend.Verdict
		rejected int64
		again    int
	}{
		{`{"errors":false,"items":[{"create":{"sta`, backend.Retry, 0, 0},
		{`{"errors":false}`, backend.Retry, 0, 0},
		{`{"errors":false,"took":3}`, backend.Retry, 0, 0},
		{`{"errors":false,"items":[]}`, backend.Retry, 0, 0},
		{`{"errors":false,"items":null}`, backend.Retry, 0, 0},
		{`{"errors":false,"items":[{},{},{},{},{},{},{},{},{}]}`, backend.Retry, 0, 0},
		{`{"errors":false,"items":[{"create":{}},{"create":{}},{"create":{}},{"create":{}},{"create":{}},{"create":{}},{"create":{}},{"create":{}},{"create":{}}]}`, backend.Retry, 0, 9},
		{strings.Replace(items(201, 201, 201, 201, 201, 201, 201, 201), "true", "false", 1), backend.Retry, 0, 0},           // one is missing
		{strings.Replace(items(201, 201, 201, 201, 201, 201, 201, 201, 201, 201), "true", "false", 1), backend.Retry, 0, 0}, // one too many
		{strings.Replace(items(201, 201, 201, 201, 201, 201, 201, 201, 201), "true", "false", 1), backend.Acked, 0, 0},
		{strings.ReplaceAll(items(200, 201, 201, 201, 201, 201, 201, 201, 201), "create", "index"), backend.Acked, 0, 0},
		{strings.Replace(items(201, 500, 201, 201, 201, 201, 201, 201, 201), "true", "false", 1), backend.Retry, 0, 1},
		{`{"took":3}`, backend.Retry, 0, 0},
		{items(201, 409, 201, 201, 201, 201, 201, 201, 201), backend.Acked, 0, 0},
		{whole, backend.Acked, 1, 0},
		{items(201, 400, 429, 201, 503, 403, 201, 201, 201), backend.Retry, 1, 3},
		{items(201, 404, 201, 201, 201, 201, 201, 201, 201), backend.Pause, 0, 0},
		{items(400, 400, 400, 400, 400, 400, 400, 400, 400), backend.Reject, 0, 0},
		{items(400, 400), backend.Retry, 0, 0},
		{items(400, 400, 400)[:97], backend.Reject, 2, 7},
		{whole[:len(whole)-20], backend.Acked, 1, 1}, // cut off in the last item
		{`{"errors":true}`, backend.Retry, 0, 0},
	} {
		j, known := encode.Elasticsearch().Format.Judge(sent, backend.Answer{Status: 200, Header: http.Header{}, Body: []byte(c.body)})
		if !known || j.Verdict != c.verdict || j.Rejected.Points != c.rejected || len(j.Again) != c.again || j.Overload != (c.verdict == backend.Retry && c.again > 0) {
			t.Errorf("%s: %+v, %v; want %+v", c.body, j, known, c)
		}
		wantPlaces(t, batch, append(j.Again, j.Rejected.Places...))
	}
}
