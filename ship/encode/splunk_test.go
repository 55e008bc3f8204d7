package encode_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// splunkEvent is an event of HEC's metrics format.
type splunkEvent struct {
	Time   json.Number                `json:"time"`
	Event  string                     `json:"event"`
	Source string                     `json:"source"`
	Host   string                     `json:"host"`
	Fields map[string]json.RawMessage `json:"fields"`
}

func readSplunk(t *testing.T, body []byte) (points []readPoint) {
	t.Helper()
	for line := range bytes.Lines(body) {
		var event splunkEvent
		strictJSON(t, line, &event)
		seconds, ms, found := strings.Cut(event.Time.String(), ".")
		if event.Event != "metric" || event.Host != "web-1" || !found || len(ms) != 3 {
			t.Fatalf("not a metric event: %s", line)
		}
		var timeMS int64
		if _, err := fmt.Sscan(seconds+ms, &timeMS); err != nil {
			t.Fatal(err)
		}
		dimensions := make(map[string]string)
		for key, raw := range event.Fields {
			if text := ""; json.Unmarshal(raw, &text) == nil {
				dimensions[key] = text
			}
		}
		for key, raw := range event.Fields {
			if name, measured := strings.CutPrefix(key, "metric_name:"); measured {
				points = append(points, readPoint{fmt.Sprint(name, dimensions), timeMS, string(raw)})
			} else if strings.HasPrefix(key, "_") || dimensions[key] == "" {
				t.Fatalf("not a dimension: %q=%s", key, raw)
			}
		}
	}
	return points
}

// Readings with the same labels share an event, and no other do.
func TestSplunkEvents(t *testing.T) {
	b := sample()
	labels := []metric.Label{metric.L("state", "user"), metric.L("_raw", "x"), metric.L("host", "h"), metric.L("os.type", "mine"), metric.L("empty", "")}
	b.Series[0].Series = &metric.Series{Desc: b.Series[0].Desc, Labels: labels}
	b.Series[1].Series = &metric.Series{Desc: b.Series[1].Desc, Labels: labels}
	b.Series[2].Series = &metric.Series{Desc: b.Series[0].Desc, Labels: labels} // the same name again
	body := encode.Splunk().Format.Append(nil, b)
	lines := bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	if len(lines) != 7 {
		t.Fatalf("%d events, want 2, 2 and 3:\n%s", len(lines), body)
	}
	const want = `"fields":{"metric_name:system.cpu.time":12.5,"metric_name:system.memory.usage":123,"state":"user","label._raw":"x","label.host":"h","os.type":"mine","host.name":"web-1"}}`
	if first := string(lines[0]); !strings.Contains(first, want) || !strings.HasPrefix(first, `{"time":1763801234.567,`) {
		t.Errorf("the first event is %s", first)
	}
}

func TestSplunkAnswers(t *testing.T) {
	batch := sample() // 2, 2 and 4 events
	sent := backend.Sent{Points: batch.Points(), Batch: batch}
	for _, c := range []struct {
		status   int
		body     string
		known    bool
		verdict  backend.Verdict
		rejected int64
		again    int
	}{
		{200, `{"text":"Success","code":0}`, true, backend.Acked, 0, 0},
		{200, `{"text":"Success"}`, false, 0, 0, 0},
		{200, `{"text":"Server is busy","code":9}`, true, backend.Retry, 0, 0},
		{400, `{"text":"Invalid data format","code":6,"invalid-event-number":0}`, true, backend.Reject, 1, 8},
		{400, `{"text":"Error in handling indexed fields","code":15,"invalid-event-number":6}`, true, backend.Reject, 1, 8},
		{400, `{"text":"Invalid data format","code":6,"invalid-event-number":99}`, true, backend.Reject, 0, 0},
		{400, `{"text":"Invalid data format","code":6}`, true, backend.Reject, 0, 0},
		{400, `{"text":"Incorrect index","code":7,"invalid-event-number":1}`, true, backend.Pause, 0, 0},
		{400, `{"text":"Data channel is missing","code":10}`, true, backend.Pause, 0, 0},
		{403, `{"text":"Invalid token","code":4}`, false, 0, 0, 0},
		{503, `{"text":"Server is busy","code":9}`, false, 0, 0, 0},
	} {
		j, known := encode.Splunk().Format.Judge(sent, backend.Answer{Status: c.status, Header: http.Header{}, Body: []byte(c.body)})
		if known != c.known || known && (j.Verdict != c.verdict || j.Rejected.Points != c.rejected || len(j.Again) != c.again) {
			t.Errorf("%d %s: %+v, %v; want %+v", c.status, c.body, j, known, c)
		}
		wantPlaces(t, batch, append(j.Again, j.Rejected.Places...))
	}
}
