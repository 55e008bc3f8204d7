package truth_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/heka-insights/heka-insights-agent/ship/encode/truth"
)

// post posts a body and returns the status, the answer's headers and its body.
func post(t *testing.T, url string, header http.Header, body []byte) (status int, answered http.Header, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, strings.TrimSpace(text.String())
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t *testing.T, text string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll([]byte(text), nil)
}

// otlpBody has one point of each kind.
const otlpBody = `{"resourceMetrics":[{"resource":{"attributes":[{"key":"host.name","value":{"stringValue":"web-1"}}]},
"scopeMetrics":[{"scope":{"name":"heka","version":"1"},"metrics":[
{"name":"system.cpu.time","unit":"s","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
{"attributes":[{"key":"state","value":{"stringValue":"user"}}],"startTimeUnixNano":"1700000000000000001","timeUnixNano":"1700000005000000000","asInt":"9007199254740993"}]}},
{"name":"system.cpu.utilization","unit":"1","gauge":{"dataPoints":[{"timeUnixNano":"1700000005000000000","asDouble":0.1}]}}]}]}]}`

// TestCollectorReadsOTLP posts one body in each compression.
func TestCollectorReadsOTLP(t *testing.T) {
	c := truth.StartCollector(t, 0)
	count, share := int64(9007199254740993), 0.1
	host := map[string]any{"host.name": "web-1"}
	want := []truth.Received{
		{
			From: "otlp", Name: "system.cpu.time", Unit: "s", Type: "sum", Monotonic: true, Temporality: "Cumulative", Resource: host, Scope: "heka",
			ScopeVersion: "1", Attributes: map[string]any{"state": "user"}, TimeNS: 1700000005000000000, StartNS: 1700000000000000001, Int: &count,
		},
		{
			From: "otlp", Name: "system.cpu.utilization", Unit: "1", Type: "gauge", Resource: host, Scope: "heka",
			ScopeVersion: "1", Attributes: map[string]any{}, TimeNS: 1700000005000000000, Double: &share,
		},
	}
	for encoding, body := range map[string][]byte{"": []byte(otlpBody), "gzip": gzipped(t, otlpBody), "zstd": zstded(t, otlpBody)} {
		status, _, answer := post(t, c.OTLP, http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {encoding}}, body)
		if status != http.StatusOK || answer != `{"partialSuccess":{}}` {
			t.Errorf("%s: %d %s", encoding, status, answer)
		}
		if got := c.Points(t); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", encoding, got, want)
		}
	}
	if got := []string{want[0].Value(), want[1].Value(), (&truth.Received{}).Value()}; !reflect.DeepEqual(got, []string{"9007199254740993", "0.1", ""}) {
		t.Errorf("values %v", got)
	}
}

// TestCollectorRefusesOTLP is about what the receiver answers to what it does not
// take.
func TestCollectorRefusesOTLP(t *testing.T) {
	c := truth.StartCollector(t, 2000)
	named := func(name string) []byte { return []byte(strings.Replace(otlpBody, "system.cpu.time", name, 1)) }
	large := named(strings.Repeat("x", 2000))
	for _, test := range []struct {
		name, kind, encoding string
		body                 []byte
		status               int
		says                 string
	}{
		{"permanent", "application/json", "", named(truth.RefusePermanently), 500, `{"code":13,"message":"Permanent error: refused for good, as asked"}`},
		{"invalid", "application/json", "", named(truth.RefuseAsInvalid), 400, `{"code":3,"message":"invalid, as asked"}`},
		{"for now", "application/json", "", named(truth.RefuseForNow), 503, `{"code":14,"message":"refused for now, as asked"}`},
		{"exhausted", "application/json", "", named(truth.RefuseExhausted), 429, `{"code":8,"message":"exhausted, as asked"}`},
		{"no JSON", "application/json", "", []byte(`{"resourceMetrics":[`), 400, `{"code":3,"message":"`},
		{"a number that is none", "application/json", "", []byte(strings.Replace(otlpBody, `0.1`, `"x"`, 1)), 400, `{"code":3,"message":"`},
		{"a field that there is not", "application/json", "", []byte(`{"resourceMetric":[]}`), 200, `{"partialSuccess":{}}`},
		{"nothing", "application/json", "", nil, 400, `{"code":3,"message":"`},
		{"too large", "application/json", "", large, 400, `{"code":3,"message":"http: request body too large"}`},
		{"too large once unpacked", "application/json", "gzip", gzipped(t, string(large)), 400, `{"code":3,"message":"http: request body too large"}`},
		{"no gzip", "application/json", "gzip", []byte(otlpBody), 400, `{"code":3,"message":"gzip: invalid header"}`},
		{"unknown encoding", "application/json", "br", []byte(otlpBody), 400, `{"code":3,"message":"unsupported Content-Encoding: br"}`},
		{"unknown type", "text/plain", "", []byte(otlpBody), 415, `415 unsupported media type`},
	} {
		status, header, answer := post(t, c.OTLP, http.Header{"Content-Type": {test.kind}, "Content-Encoding": {test.encoding}}, test.body)
		// protobuf's JSON has a space there or has none, as the build's hash falls.
		if status != test.status || !strings.HasPrefix(strings.Replace(answer, `, "message"`, `,"message"`, 1), test.says) {
			t.Errorf("%s: %d %s", test.name, status, answer)
		}
		if got := header.Get("Retry-After"); got != "" {
			t.Errorf("%s: Retry-After %s", test.name, got)
		}
	}
	if got := c.Points(t); got != nil {
		t.Errorf("it took %+v", got)
	}
}

// splunkBody has an event of two metrics and one of the older form.
const splunkBody = `{"time":1700000005.123,"event":"metric","host":"web-1","source":"heka","sourcetype":"heka:metrics","index":"m",` +
	`"fields":{"state":"user","metric_name:system.cpu.time":9007199254740993,"metric_name:system.cpu.utilization":0.5}}` + "\n" +
	`{"time":"1700000006","event":"metric","fields":{"metric_name":"system.uptime","_value":7}}`

// TestCollectorReadsSplunk posts one body in each compression. The receiver makes
// a gauge of float64 of each metric; a time in seconds loses what float64 does not
// hold, which is under a microsecond.
func TestCollectorReadsSplunk(t *testing.T) {
	c := truth.StartCollector(t, 0)
	count, share, uptime := float64(9007199254740992), 0.5, 7.
	web := truth.Received{
		From: "splunk", Type: "gauge", TimeNS: 1700000005122999808, Attributes: map[string]any{"state": "user"},
		Resource: map[string]any{
			"com.splunk.hec.access_token": "one-token", "com.splunk.index": "m", "com.splunk.source": "heka",
			"com.splunk.sourcetype": "heka:metrics", "host.name": "web-1",
		},
	}
	want := []truth.Received{web, web, {
		From: "splunk", Type: "gauge", Name: "system.uptime", TimeNS: 1700000006000000000, Attributes: map[string]any{},
		Resource: map[string]any{"com.splunk.hec.access_token": "one-token"}, Double: &uptime,
	}}
	want[0].Name, want[0].Double = "system.cpu.time", &count
	want[1].Name, want[1].Double = "system.cpu.utilization", &share
	for encoding, body := range map[string][]byte{"": []byte(splunkBody), "gzip": gzipped(t, splunkBody), "zstd": zstded(t, splunkBody)} {
		status, _, answer := post(t, c.Splunk, http.Header{"Authorization": {"Splunk one-token"}, "Content-Encoding": {encoding}}, body)
		if status != http.StatusOK || answer != `{"text": "Success", "code": 0}` {
			t.Errorf("%s: %d %s", encoding, status, answer)
		}
		got := c.Points(t)
		slices.SortFunc(got, func(a, b truth.Received) int { return strings.Compare(a.Name, b.Name) })
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", encoding, got, want)
		}
	}
}

// TestCollectorRefusesSplunk is about what the receiver answers to what it does
// not take. One bad event of a body refuses all of them, but a value that is no
// number is left out and no word said.
func TestCollectorRefusesSplunk(t *testing.T) {
	c := truth.StartCollector(t, 2000)
	metric := func(name, value string) string {
		return `{"time":1700000005,"event":"metric","fields":{"metric_name:` + name + `":` + value + `}}`
	}
	const success, failed, format = `{"text": "Success", "code": 0}`, `"Internal Server Error"`, `{"text":"Invalid data format","code":6}`
	first := metric("first", "1") + "\n"
	large := first + metric(strings.Repeat("x", 2000), "1")
	for _, test := range []struct {
		name, encoding string
		body           []byte
		status         int
		says           string
		takes          string
	}{
		{"permanent", "", []byte(first + metric(truth.RefusePermanently, "1")), 500, failed, ""},
		{"invalid", "", []byte(first + metric(truth.RefuseAsInvalid, "1")), 500, failed, ""},
		{"for now", "", []byte(first + metric(truth.RefuseForNow, "1")), 500, failed, ""},
		{"exhausted", "", []byte(first + metric(truth.RefuseExhausted, "1")), 500, failed, ""},
		{"no JSON", "", []byte(first + `{"event":`), 400, format, ""},
		{"nothing", "", nil, 400, `{"text":"No data","code":5}`, ""},
		{"no metric", "", []byte(first + `{"time":1,"fields":{"a":"b"}}`), 400, `{"text":"Event field is required","code":12}`, ""},
		{"a log", "", []byte(first + `{"time":1,"event":"hello"}`), 400, `"Unsupported log event"`, ""},
		{
			"a nested field", "", []byte(first + `{"time":1,"event":"metric","fields":{"a":{"b":1}}}`), 400,
			`{"text":"Error in handling indexed fields","code":15,"invalid-event-number":1}`, "",
		},
		{"a bad time", "", []byte(first + `{"time":"soon","event":"metric","fields":{"metric_name:a":1}}`), 400, format, ""},
		{"a word for a value", "", []byte(first + metric("a", `"x"`)), 200, success, "first=1"},
		{"a number in quotes", "", []byte(first + metric("a", `"1.5"`)), 200, success, "first=1 a=1.5"},
		{"null for a value", "", []byte(first + metric("a", `null`)), 200, success, "first=1"},
		{"too large", "", []byte(large), 400, format, ""},
		{"too large once unpacked", "gzip", gzipped(t, large), 400, format, ""},
		{"no gzip", "gzip", []byte(first), 400, "gzip: invalid header", ""},
		{"unknown encoding", "br", []byte(first), 400, "unsupported Content-Encoding: br", ""},
	} {
		status, _, answer := post(t, c.Splunk, http.Header{"Content-Encoding": {test.encoding}}, test.body)
		var took []string
		for _, p := range c.Points(t) {
			took = append(took, p.Name+"="+p.Value())
		}
		if status != test.status || answer != test.says || strings.Join(took, " ") != test.takes {
			t.Errorf("%s: %d %s, took %v", test.name, status, answer, took)
		}
	}
}
