package encode_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// datadogPayload is MetricPayload of Datadog's API, v2, as its OpenAPI
// description has it.
type datadogPayload struct {
	Series []struct {
		Metric string `json:"metric"`
		Type   int    `json:"type"`
		Unit   string `json:"unit"`
		Points []struct {
			Timestamp int64       `json:"timestamp"`
			Value     json.Number `json:"value"`
		} `json:"points"`
		Tags      []string `json:"tags"`
		Resources []struct {
			Type string `json:"type"`
			Name string `json:"name"`
		} `json:"resources"`
	} `json:"series"`
}

func readDatadog(t *testing.T, body []byte) (points []readPoint) {
	t.Helper()
	var payload datadogPayload
	strictJSON(t, body, &payload)
	name := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]{0,199}$`)
	for _, s := range payload.Series {
		if !name.MatchString(s.Metric) || s.Type != 3 || len(s.Points) == 0 {
			t.Fatalf("not a metric of Datadog's: %+v", s)
		}
		for _, tag := range s.Tags {
			if utf8.RuneCountInString(tag) > 200 || !strings.Contains(tag, ":") {
				t.Fatalf("not a tag of Datadog's: %q", tag)
			}
		}
		if len(s.Resources) != 1 || s.Resources[0].Type != "host" || s.Resources[0].Name != "web-1" {
			t.Fatalf("resources %v, want the host", s.Resources)
		}
		for _, p := range s.Points {
			points = append(points, readPoint{fmt.Sprint(s.Metric, s.Tags), p.Timestamp * 1000, p.Value.String()})
		}
	}
	return points
}

func TestDatadogNamesTagsAndUnits(t *testing.T) {
	b := sample()
	b.Series[0].Series = &metric.Series{
		Desc:   &metric.Desc{Name: "5 é-" + strings.Repeat("x", 300), Unit: "%"},
		Labels: []metric.Label{metric.L("key", strings.Repeat("ü", 300)), metric.L("bad", "\xff")},
	}
	var payload datadogPayload
	strictJSON(t, encode.Datadog().Format.Append(nil, b), &payload)
	s := payload.Series[0]
	if !strings.HasPrefix(s.Metric, "m5___x") || len(s.Metric) != 200 || s.Unit != "percent" {
		t.Errorf("%s (%d bytes), unit %q", s.Metric, len(s.Metric), s.Unit)
	}
	if utf8.RuneCountInString(s.Tags[0]) != 200 || s.Tags[1] != "bad:_" || !slices.Contains(s.Tags, "os.type:linux") || slices.Contains(s.Tags, "host.name:web-1") {
		t.Errorf("tags %q", s.Tags)
	}
	if memory := payload.Series[1]; memory.Unit != "byte" || memory.Metric != "system.memory.usage" {
		t.Errorf("%+v", memory)
	}
}

func TestDatadogAnswers(t *testing.T) {
	for body, want := range map[string]backend.Verdict{
		`{"errors":[]}`:            backend.Acked,
		`{"errors":["Bad point"]}`: backend.Retry,
		`{"errors":"none"}`:        backend.Retry,
		`{}`:                       backend.Retry,
		`{"status":"ok"}`:          backend.Acked,
		`{"status":"error"}`:       backend.Retry,
	} {
		j, known := encode.Datadog().Format.Judge(backend.Sent{Points: 9}, backend.Answer{Status: 202, Header: http.Header{}, Body: []byte(body)})
		if !known || j.Verdict != want {
			t.Errorf("%s: %+v, %v; want verdict %d", body, j, known, want)
		}
	}
}
