package encode_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// conformance is what the test of all backends has to know of one.
type conformance struct {
	// golden is the file with the body of sample.
	golden string
	// read reads a body back, as strictly as the backend does.
	read func(t *testing.T, body []byte) []readPoint
	// stepMS is the resolution of its time stamps; 0 is 1 ms.
	stepMS int64
	// accepted are answers with this status by which it has all of a batch.
	status   int
	accepted []string
}

// readPoint is one point of a body.
type readPoint struct {
	// series is the name and the labels, in any form in which two series differ.
	series string
	timeMS int64
	// value is the number as it is written.
	value string
}

func conformances() map[string]conformance {
	otlpAccepted := []string{"", "{}", `{"partialSuccess":{}}`}
	return map[string]conformance{
		"heka":            {"native.json", readNative, 0, 200, []string{`{"batch_id":"` + sample().ID() + `","points":1}`}},
		"otlp":            {"otlp.json", readOTLP, 0, 200, otlpAccepted},
		"newrelic":        {"newrelic.json", readOTLP, 0, 200, otlpAccepted},
		"datadog":         {"datadog.json", readDatadog, 1000, 202, []string{`{"errors":[]}`}},
		"splunk":          {"splunk.jsonl", readSplunk, 0, 200, []string{`{"text":"Success","code":0}`}},
		"elasticsearch":   {"elasticsearch.ndjson", readElasticsearch, 0, 200, []string{`{"errors":false,"took":3,"items":[` + strings.Repeat(`{"create":{"status":201}},`, 8) + `{"create":{"status":409}}]}`}},
		"clickhouse":      {"clickhouse.jsonl", readClickHouse, 0, 200, []string{""}},
		"victoriametrics": {"victoriametrics.jsonl", readVictoriaMetrics, 0, 204, []string{""}},
	}
}

func eachBackend(t *testing.T, test func(t *testing.T, b backend.Backend, c conformance)) {
	all := conformances()
	for _, b := range encode.Backends() {
		c, known := all[b.Name]
		if !known {
			t.Errorf("backend %s has no line in conformances", b.Name)
			continue
		}
		t.Run(b.Name, func(t *testing.T) { test(t, b, c) })
	}
}

// What is in the table is complete, and what a lookup finds is that.
func TestBackendsAreDescribed(t *testing.T) {
	names := make(map[string]bool)
	eachBackend(t, func(t *testing.T, b backend.Backend, _ conformance) {
		if found, ok := encode.Find(b.Name); !ok || found.Name != b.Name || names[b.Name] {
			t.Errorf("Find(%q) = %q, %v; seen before: %v", b.Name, found.Name, ok, names[b.Name])
		}
		names[b.Name] = true
		if b.Format == nil || b.ContentType == "" || b.KeyHeader != http.CanonicalHeaderKey(b.KeyHeader) || b.KeyHeader == "" {
			t.Errorf("incomplete, or a header not in canonical form: %+v", b)
		}
		if b.Path != "" && b.Path[0] != '/' || b.Endpoint != "" && !strings.HasPrefix(b.Endpoint, "https://") {
			t.Errorf("path %q, endpoint %q", b.Path, b.Endpoint)
		}
	})
	if b, ok := encode.Find("none"); ok {
		t.Errorf("Find(none) = %v", b)
	}
}

// Every point is in the body, once, with its time and value, and no others.
func TestEncodersKeepEveryPoint(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend.Backend, c conformance) {
		golden(t, c.golden, b.Format.Append(nil, sample()))
		wantSame(t, sample(), c, b.Format.Append(nil, sample()))
		rng := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			batch := randomBatch(rng)
			body := b.Format.Append(nil, batch)
			wantSame(t, batch, c, body)
			if again := b.Format.Append([]byte("x"), batch); string(again) != "x"+string(body) {
				t.Fatalf("the same batch after a prefix makes another body:\n%s\n%s", body, again)
			}
		}
		empty := sample()
		for i := range empty.Series {
			clear(empty.Series[i].Values)
		}
		if body := b.Format.Append(nil, empty); len(body) > 0 && len(c.read(t, body)) > 0 {
			t.Errorf("nulls make points: %s", body)
		}
	})
}

func wantSame(t *testing.T, b *metric.Batch, c conformance, body []byte) {
	t.Helper()
	var got, want []string
	series := make(map[string]bool)
	for _, p := range c.read(t, body) {
		got = append(got, fmt.Sprint(p.timeMS, " ", number(t, p.value)))
		series[p.series] = true
	}
	wantSeries := 0
	for i := range b.Series {
		points := 0
		for tick, v := range b.Series[i].Values {
			if !v.IsNull() {
				step := max(c.stepMS, 1)
				want = append(want, fmt.Sprint(b.Times[tick]/step*step, " ", number(t, string(v.Append(nil)))))
				points++
			}
		}
		wantSeries += min(points, 1)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(series) != wantSeries {
		t.Fatalf("%d series with the points\n%q\nwant %d with\n%q\nin\n%s", len(series), got, wantSeries, want, body)
	}
}

// number is a number's one spelling: integers as they are, so that none is
// rounded on its way.
func number(t *testing.T, text string) string {
	t.Helper()
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatalf("not a number: %q", text)
	}
	if n := int64(f); float64(n) == f && n > -1<<53 && n < 1<<53 {
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// randomBatch has awkward names, labels and values. Its times are 15 s apart.
func randomBatch(rng *rand.Rand) *metric.Batch {
	texts := []string{"a", "b", "ü \x01\xff", `"q\`, "x,y:z=1", "<é>", "line\nbreak", strings.Repeat("long", 80)}
	units := []string{"", "1", "By", "s", "{thread}", "ms", "%"}
	b := sample()
	b.Times, b.Series = nil, nil
	for range rng.IntN(4) {
		b.Times = append(b.Times, 1763801234567+15_000*int64(len(b.Times)))
	}
	for i := range rng.IntN(6) {
		desc := &metric.Desc{Name: fmt.Sprintf("m.%d", i), Unit: units[rng.IntN(len(units))], Kind: metric.Kind(rng.IntN(3))}
		if rng.IntN(4) == 0 {
			desc.Name = fmt.Sprintf("text_file_%d_total", i)
		}
		s := &metric.Series{Desc: desc}
		for key := range rng.IntN(4) {
			s.Labels = append(s.Labels, metric.L(fmt.Sprintf("key.%d", key), texts[rng.IntN(len(texts))]))
		}
		column := metric.Column{Series: s}
		for range b.Times {
			column.Values = append(column.Values, randomValue(rng))
		}
		b.Series = append(b.Series, column)
	}
	return b
}

func randomValue(rng *rand.Rand) metric.Value {
	switch rng.IntN(5) {
	case 0:
		return metric.Value{}
	case 1:
		return metric.Int(int64(rng.Uint64()))
	case 2:
		return metric.Float((rng.Float64() - 0.5) * 1e300)
	case 3:
		return metric.Float(rng.Float64())
	default:
		return metric.Int(rng.Int64N(1000))
	}
}

// Only the backend's own word is an acknowledgement, and what every server means
// by its status it means too.
func TestAnswersOfAllBackends(t *testing.T) {
	want := map[int]backend.Verdict{
		401: backend.Pause, 403: backend.Pause, 404: backend.Pause, 405: backend.Pause,
		413: backend.TooLarge, 415: backend.Unsupported, 429: backend.Retry, 500: backend.Retry, 502: backend.Retry, 503: backend.Retry,
	}
	eachBackend(t, func(t *testing.T, b backend.Backend, c conformance) {
		judge := func(status int, body string) (backend.Judgement, bool) {
			batch := sample()
			sent := backend.Sent{ID: batch.ID(), Points: batch.Points(), Batch: batch}
			return b.Format.Judge(sent, backend.Answer{Status: status, Header: http.Header{}, Body: []byte(body)})
		}
		for _, body := range c.accepted {
			if j, known := judge(c.status, body); !known || j.Verdict != backend.Acked || j.Rejected.Points > 0 && b.Name != "heka" || len(j.Again) > 0 {
				t.Errorf("%d %s: %+v, %v; want all of it acknowledged", c.status, body, j, known)
			}
		}
		for _, body := range []string{"<html>Welcome to the airport</html>", "OK", "null", "[]", `"x"`, "{", `{"error":"x"}`, `{"code":3,"message":"login required"}`, `{"errors":false}`, `{"message":"please log in"}`} {
			for _, status := range []int{200, 201, 202, 204, 206} {
				if j, known := judge(status, body); known && j.Verdict == backend.Acked {
					t.Errorf("%d %s is taken for an acknowledgement", status, body)
				}
			}
		}
		// A server that repeats what it is sent has not stored it.
		batch := sample()
		if j, known := judge(200, string(b.Format.Append(nil, batch))); known && j.Verdict == backend.Acked {
			t.Error("the body itself is taken for an acknowledgement")
		}
		for status, verdict := range want {
			for _, body := range []string{"", "<html>", "{}", "null", "[1]"} {
				if j, known := judge(status, body); known && j.Verdict != verdict {
					t.Errorf("%d %s: %+v, want verdict %d or no rule of its own", status, body, j, verdict)
				}
			}
		}
	})
}

// Whatever an answer holds, what it is taken for fits what was sent.
func FuzzJudge(f *testing.F) {
	for _, c := range conformances() {
		for _, body := range c.accepted {
			f.Add(c.status, []byte(body))
		}
	}
	f.Add(400, []byte(`{"text":"Invalid data format","code":6,"invalid-event-number":1}`))
	f.Add(200, []byte(`{"errors":true,"items":[{"create":{"status":400,"error":{"type":"x","reason":"y"}}},{"create":{"status":429}}]}`))
	f.Add(200, []byte(`{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"too old"}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, b := range encode.Backends() {
			batch := sample()
			sent := backend.Sent{ID: batch.ID(), Points: batch.Points(), Batch: batch}
			j, known := b.Format.Judge(sent, backend.Answer{Status: status, Header: http.Header{}, Body: body})
			if !known {
				continue
			}
			if j.Verdict == backend.Acked && (status < 200 || status > 299) {
				t.Errorf("%s: %d is taken for an acknowledgement", b.Name, status)
			}
			if j.Rejected.Points < 0 || j.Rejected.Points > sent.Points || int64(len(j.Again)+len(j.Rejected.Places)) > sent.Points {
				t.Errorf("%s: %d rejected, %d named, %d to be sent again; of %d", b.Name, j.Rejected.Points, len(j.Rejected.Places), len(j.Again), sent.Points)
			}
			wantPlaces(t, batch, slices.Concat(j.Again, j.Rejected.Places))
		}
	})
}

// wantPlaces checks that each place holds a point, and none is named twice.
func wantPlaces(t *testing.T, b *metric.Batch, places []metric.Place) {
	t.Helper()
	seen := make(map[metric.Place]bool)
	for _, at := range places {
		inside := at.Series >= 0 && at.Series < len(b.Series) && at.Time >= 0 && at.Time < len(b.Times)
		if !inside || seen[at] || b.Series[at.Series].Values[at.Time].IsNull() {
			t.Errorf("%+v is no point of the batch, or is named twice", at)
		}
		seen[at] = true
	}
}

func readNative(t *testing.T, body []byte) (points []readPoint) {
	t.Helper()
	b, err := encode.Native{}.Decode(body)
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for _, c := range b.Series {
		for tick, v := range c.Values {
			if !v.IsNull() {
				points = append(points, readPoint{fmt.Sprint(c.Name, c.Series.Labels), b.Times[tick], string(v.Append(nil))})
			}
		}
	}
	return points
}

func readVictoriaMetrics(t *testing.T, body []byte) (points []readPoint) {
	t.Helper()
	for line := range bytes.Lines(body) {
		var l struct {
			Metric     map[string]string `json:"metric"`
			Values     []json.Number     `json:"values"`
			Timestamps []int64           `json:"timestamps"`
		}
		strictJSON(t, line, &l)
		if len(l.Values) != len(l.Timestamps) || l.Metric["__name__"] == "" {
			t.Fatalf("a line without a name, or values without times: %s", line)
		}
		for i, v := range l.Values {
			points = append(points, readPoint{fmt.Sprint(slices.Sorted(maps.Keys(l.Metric)), l.Metric), l.Timestamps[i], v.String()})
		}
	}
	return points
}

// strictJSON fails on unknown fields and on anything after the value.
func strictJSON(t *testing.T, text []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if d.More() {
		t.Fatalf("more than one value: %s", text)
	}
}
