package encode_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// readDatadog reads a body by the schema MetricPayload of Datadog's API.
func readDatadog(t *testing.T, body []byte) (points []readPoint) {
	t.Helper()
	var payload struct {
		Series []struct {
			Metric   string `json:"metric"`
			Type     *int   `json:"type"`
			Unit     string `json:"unit"`
			Interval int64  `json:"interval"`
			Points   []struct {
				Timestamp int64       `json:"timestamp"`
				Value     json.Number `json:"value"`
			} `json:"points"`
			Tags      []string `json:"tags"`
			Resources []struct {
				Name string `json:"name"`
				Type string `json:"type"`
			} `json:"resources"`
		} `json:"series"`
	}
	strictJSON(t, body, &payload)
	if payload.Series == nil {
		t.Fatalf("no series: %s", body)
	}
	name := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._]{0,199}$`)
	units := []string{"", "byte", "second", "millisecond", "fraction", "percent", "thread"}
	for _, s := range payload.Series {
		if !name.MatchString(s.Metric) || s.Type == nil || *s.Type != 3 || s.Interval != 0 || !slices.Contains(units, s.Unit) || len(s.Points) == 0 {
			t.Fatalf("not a gauge as Datadog takes it: %+v", s)
		}
		if len(s.Resources) != 1 || s.Resources[0].Type != "host" || s.Resources[0].Name != "web-1" || !slices.Contains(s.Tags, "os.type:linux") {
			t.Fatalf("another host or resource: %+v", s)
		}
		for _, tag := range s.Tags {
			if strings.HasSuffix(tag, ":") || strings.HasPrefix(tag, "host.name") {
				t.Fatalf("tag %q", tag)
			}
		}
		seconds := make(map[int64]bool)
		for _, p := range s.Points {
			if seconds[p.Timestamp] {
				t.Fatalf("two points of a second: %+v", s)
			}
			seconds[p.Timestamp] = true
			points = append(points, readPoint{fmt.Sprintf("%s %q", s.Metric, s.Tags), p.Timestamp * 1000, p.Value.String()})
		}
	}
	return points
}

func judgeDatadog(b *metric.Batch, status int, body string) (backend.Judgement, bool) {
	sent := backend.Sent{ID: b.ID(), Points: b.Points(), Batch: b}
	return encode.Datadog().Format.Judge(sent, backend.Answer{Status: status, Header: http.Header{}, Body: []byte(body)})
}

func TestDatadogAnswers(t *testing.T) {
	for _, c := range []struct {
		status  int
		body    string
		known   bool
		verdict backend.Verdict
		cause   string
	}{
		{202, `{"errors":[]}`, true, backend.Acked, ""},
		{202, `{"status":"ok"}`, true, backend.Acked, ""},
		{200, `{"status":"ok"}`, false, 0, ""},
		{202, `{"status":"ok","errors":["bad point"]}`, true, backend.Reject, "bad point"},
		{202, `{"errors":null}`, false, 0, ""},
		{202, ``, false, 0, ""},
		{400, `{"errors":["Bad Request"]}`, false, 0, ""},
		{403, `{"errors":["Forbidden"]}`, true, backend.Pause, "API key"},
		{408, `{"errors":["timeout"]}`, false, 0, ""},
		{413, `{"errors":["Payload too big"]}`, false, 0, ""},
		{429, `{"errors":["slow down"]}`, false, 0, ""},
	} {
		j, known := judgeDatadog(sample(), c.status, c.body)
		if known != c.known || j.Verdict != c.verdict || !strings.Contains(j.Cause, c.cause) || j.Rejected.Points != 0 {
			t.Errorf("%d %s: %+v, %v; want verdict %d, %v", c.status, c.body, j, known, c.verdict, c.known)
		}
	}
}

// Datadog keeps one point of a series a second, and no series with a long name:
// the others are not sent, and are named when the rest is acknowledged.
func TestDatadogNamesWhatItCannotTake(t *testing.T) {
	b := sample()
	b.Times = []int64{1763801234100, 1763801234600, 1763801235000}
	b.Series[1].Desc = &metric.Desc{Name: strings.Repeat("n", 201)}
	j, _ := judgeDatadog(b, 202, `{"errors":[]}`)
	want := []metric.Place{{Series: 0, Time: 0}, {Series: 1, Time: 0}, {Series: 1, Time: 2}, {Series: 2, Time: 0}}
	if !slices.Equal(j.Rejected.Places, want) || j.Rejected.Points != 4 || j.Rejected.Reason == "" {
		t.Errorf("rejected %+v, want %v", j.Rejected, want)
	}
	read := readDatadog(t, encode.Datadog().Format.Append(nil, b))
	if left := b.Points() - j.Rejected.Points; int64(len(read)) != left {
		t.Errorf("%d points are sent, want the other %d", len(read), left)
	}
}

func TestDatadogNamesAndTags(t *testing.T) {
	b := sample()
	b.Times, b.Series = b.Times[:1], nil
	for _, name := range []string{"a.b:c", "_x", "ü", "Z9"} {
		s := &metric.Series{Desc: &metric.Desc{Name: name, Unit: "%"}, Labels: []metric.Label{metric.L("os.type", "mine"), metric.L("empty", "")}}
		b.Series = append(b.Series, metric.Column{Series: s, Values: []metric.Value{metric.Int(1)}})
	}
	body := string(encode.Datadog().Format.Append(nil, b))
	for _, want := range []string{`"a.b_c"`, `"heka_x"`, `"heka_"`, `"Z9"`, `"tags":["os.type:mine","empty"]`, `"unit":"percent"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}
