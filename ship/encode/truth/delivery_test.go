package truth_test

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/ship/encode/truth"
)

// hostBatch is a batch of a real host, brought to now, and some awkward series.
func hostBatch(t *testing.T) *metric.Batch {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "testdata", "host.json"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := encode.Native{}.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.Times {
		b.Times[i] = time.Now().Truncate(time.Second).Add(time.Duration(i-3)*5*time.Second).UnixMilli() + 123
	}
	odd := &metric.Desc{Name: "odd.labels", Unit: "By", Kind: metric.UpDown}
	for i, text := range []string{`quote " and \ slash`, "ü €", "a,b=c;d{e}", "<script>", "tab\tand newline\n"} {
		values := []metric.Value{metric.Int(1<<53 - int64(i)), {}, metric.Int(-int64(i))}
		b.Series = append(b.Series, metric.Column{Series: &metric.Series{Desc: odd, Labels: []metric.Label{metric.L("path", text)}}, Values: values})
	}
	return b
}

// reading is what a backend has of a batch: a value for each series and time.
type reading map[string]string

func key(name string, labels map[string]string, timeMS int64) string {
	return fmt.Sprintf("%s %q %d", name, slices.Collect(func(yield func(string) bool) {
		for _, k := range slices.Sorted(maps.Keys(labels)) {
			if !yield(k + "=" + labels[k]) {
				return
			}
		}
	}), timeMS)
}

// want is the batch itself, with names as the backend has them.
func want(b *metric.Batch, name func(c *metric.Column) string) reading {
	r := reading{}
	for i := range b.Series {
		c := &b.Series[i]
		labels := map[string]string{}
		for _, l := range c.Series.Labels {
			labels[l.Key] = l.Value
		}
		for tick, v := range c.Values {
			if !v.IsNull() {
				r[key(name(c), labels, b.Times[tick])] = number(string(v.Append(nil)))
			}
		}
	}
	return r
}

func asIs(c *metric.Column) string { return c.Name }

// number is the one spelling of a number.
func number(text string) string {
	if _, err := strconv.ParseInt(text, 10, 64); err == nil {
		return text
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	if n := int64(f); float64(n) == f && math.Abs(f) <= 1<<53 {
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func (r reading) same(t *testing.T, other reading) {
	t.Helper()
	wrong := 0
	for k, v := range r {
		if other[k] != v {
			if wrong++; wrong < 10 {
				t.Errorf("%s is %q, want %q", k, other[k], v)
			}
		}
	}
	if len(other) != len(r) || len(r) < 200 || wrong > 0 {
		t.Errorf("%d points were read, %d sent; %d are not the same", len(other), len(r), wrong)
	}
}

// shipper sends batches as the agent does.
func shipper(t *testing.T, exporter, endpoint string, authorize func(h http.Header)) func(b *metric.Batch, kind ship.Compression) ship.Outcome {
	t.Helper()
	to, _ := encode.Find(exporter)
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	for name, text := range to.Query {
		query.Set(name, text)
	}
	u.RawQuery = query.Encode()
	client, err := ship.NewClient(ship.ClientConfig{
		Endpoint: u, AgentID: "agent-1", UserAgent: "heka-insights-agent/test",
		Timeout: 30 * time.Second, Backend: to, Decode: encode.Native{}.Decode,
		Authorize: func(h http.Header, _ bool) error {
			if authorize == nil {
				h.Set(to.KeyHeader, to.KeyScheme+"a key")
			} else {
				authorize(h)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return func(b *metric.Batch, kind ship.Compression) ship.Outcome {
		body := encode.Native{}.Append(nil, b)
		return client.Send(t.Context(), ship.Payload{ID: b.ID(), Points: b.Points(), Body: body, Compression: kind})
	}
}

func wantAcked(t *testing.T, outcomes ...ship.Outcome) {
	t.Helper()
	for _, o := range outcomes {
		if o.Verdict != ship.Acked || o.RejectedPoints > 0 || o.Unsent {
			t.Fatalf("not acknowledged: %+v", o)
		}
	}
}

func TestOTLPIsReadBack(t *testing.T) {
	collector := truth.StartCollector(t, 0)
	for _, exporter := range []string{"otlp", "newrelic"} {
		for _, kind := range []ship.Compression{ship.CompressionNone, ship.CompressionGzip, ship.CompressionZstd} {
			b := hostBatch(t)
			wantAcked(t, shipper(t, exporter, collector.OTLP, nil)(b, kind))
			got := reading{}
			for _, p := range collector.Points(t) {
				got[key(p.Name, textual(p.Attributes), p.TimeNS/1e6)] = number(p.Value())
				wantOTLPPoint(t, b, exporter, &p)
			}
			want(b, asIs).same(t, got)
		}
	}
}

func textual(attributes map[string]any) map[string]string {
	labels := map[string]string{}
	for k, v := range attributes {
		labels[k] = fmt.Sprint(v)
	}
	return labels
}

func wantOTLPPoint(t *testing.T, b *metric.Batch, exporter string, p *truth.Received) {
	t.Helper()
	i := slices.IndexFunc(b.Series, func(c metric.Column) bool { return c.Name == p.Name })
	if i < 0 {
		t.Fatalf("%s was not sent", p.Name)
	}
	c := b.Series[i]
	gauge := c.Kind == metric.Gauge
	if p.Unit != c.Unit || (p.Type == "gauge") != gauge || p.Monotonic != (c.Kind == metric.Counter) || !gauge && p.Temporality != "Cumulative" ||
		gauge != (p.StartNS == 0) || p.StartNS > p.TimeNS || p.Scope != "heka-insights-agent" || p.ScopeVersion != b.Agent.Version {
		t.Errorf("%s of kind %s was read as %+v", p.Name, c.Kind, p)
	}
	if _, named := p.Resource["service.instance.id"]; p.Resource["host.name"] != "web-1.example.com" || named != (exporter == "otlp") {
		t.Errorf("resource %v", p.Resource)
	}
}

func TestOTLPRefusals(t *testing.T) {
	collector := truth.StartCollector(t, 40_000)
	send := shipper(t, "otlp", collector.OTLP, nil)
	for name, verdict := range map[string]ship.Verdict{
		truth.RefuseAsInvalid: ship.Reject, truth.RefuseForNow: ship.Retry, truth.RefuseExhausted: ship.Retry, truth.RefusePermanently: ship.Retry,
	} {
		b := hostBatch(t)
		b.Series = append(b.Series[:3:3], metric.Column{Series: &metric.Series{Desc: &metric.Desc{Name: name}}, Values: b.Series[0].Values})
		if o := send(b, ship.CompressionGzip); o.Verdict != verdict {
			t.Errorf("%s: %+v, want verdict %d", name, o, verdict)
		}
	}
	if o := send(hostBatch(t), ship.CompressionGzip); o.Verdict != ship.TooLarge {
		t.Errorf("a body over the Collector's limit: %+v", o)
	}
}

func TestSplunkIsReadBack(t *testing.T) {
	collector := truth.StartCollector(t, 0)
	b := hostBatch(t)
	wantAcked(t, shipper(t, "splunk", collector.Splunk, nil)(b, ship.CompressionGzip))
	got := reading{}
	for _, p := range collector.Points(t) {
		labels := textual(p.Attributes)
		for _, l := range b.Resource {
			if labels[l.Key] != l.Value && p.Resource[l.Key] != l.Value {
				t.Fatalf("%s has not the attribute %s: %v, %v", p.Name, l.Key, labels, p.Resource)
			}
			delete(labels, l.Key)
		}
		got[key(p.Name, labels, (p.TimeNS+5e5)/1e6)] = number(p.Value())
	}
	want(b, asIs).same(t, got)
}

func TestVictoriaMetricsIsReadBack(t *testing.T) {
	server := truth.StartVictoriaMetrics(t)
	b := hostBatch(t)
	send := shipper(t, "victoriametrics", server.URL+"/api/v1/import", nil)
	wantAcked(t, send(b, ship.CompressionGzip), send(b, ship.CompressionZstd), send(b, ship.CompressionNone)) // zstd it would not read
	got := reading{}
	for _, p := range server.Points(t, `{job="heka-insights-agent"}`) {
		if p.Labels["instance"] != "web-1.example.com" {
			t.Fatalf("labels %v", p.Labels)
		}
		labels := maps.Clone(p.Labels)
		delete(labels, "instance")
		delete(labels, "job")
		for _, l := range b.Resource {
			delete(labels, strings.ReplaceAll(l.Key, ".", "_"))
		}
		k := key(p.Name, labels, p.TimeMS)
		if _, twice := got[k]; twice {
			continue // it keeps what is sent twice until it merges
		}
		got[k] = number(p.Value)
	}
	suffixes := map[string]string{"By": "_bytes", "s": "_seconds", "1": "_ratio"}
	want(b, func(c *metric.Column) string {
		name := strings.ReplaceAll(c.Name, ".", "_")
		if !strings.HasSuffix(name, suffixes[c.Unit]) {
			name += suffixes[c.Unit]
		}
		if c.Kind == metric.Counter {
			name += "_total"
		}
		return name
	}).same(t, got)
}

func TestClickHouseIsReadBack(t *testing.T) {
	server := truth.StartClickHouse(t)
	table, err := os.ReadFile(filepath.Join("..", "testdata", "clickhouse-old.sql"))
	if err != nil {
		t.Fatal(err)
	}
	send := shipper(t, "clickhouse", server.URL+"/?insert_deduplication_token=", func(h http.Header) {
		(&http.Request{Header: h}).SetBasicAuth(server.User, server.Password)
	})
	b := hostBatch(t)
	if o := send(b, ship.CompressionGzip); o.Verdict != ship.Pause || o.Hint == "" {
		t.Errorf("without the table: %+v, want a pause with a hint", o)
	}
	server.Exec(t, string(table))
	wantAcked(t, send(b, ship.CompressionGzip), send(b, ship.CompressionGzip), send(b, ship.CompressionNone))
	got := reading{}
	for _, row := range server.Rows(t, "SELECT * FROM heka_metrics FINAL") {
		labels := map[string]string{}
		values := row["label_values"].([]any)
		for i, k := range row["label_keys"].([]any) {
			labels[k.(string)] = values[i].(string)
		}
		ms, err := strconv.ParseInt(fmt.Sprint(row["time_ms"]), 10, 64)
		if err != nil || row["host"] != "web-1.example.com" || row["agent_id"] != b.Agent.ID {
			t.Fatalf("%v: %v", err, row)
		}
		got[key(row["name"].(string), labels, ms)] = number(fmt.Sprint(row["value"]))
	}
	sent := want(b, asIs)
	for k, v := range sent { // its own parser of floats may miss the nearest one
		if almost(got[k], v) {
			got[k] = v
		}
	}
	sent.same(t, got)
}

// almost reports whether two floats are neighbours at most.
func almost(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && (math.Nextafter(x, y) == y || x == y)
}

func TestDatadogIsReadBack(t *testing.T) {
	b := hostBatch(t)
	points, err := truth.BuildDatadog(t).Read(t, encode.Datadog().Format.Append(nil, b))
	if err != nil {
		t.Fatal(err)
	}
	got := reading{}
	for _, p := range points {
		labels := map[string]string{}
		for _, tag := range p.Tags {
			k, v, _ := strings.Cut(tag, ":")
			labels[k] = v
		}
		for _, l := range b.Resource {
			delete(labels, l.Key)
		}
		if p.Type != 3 || len(p.Resources) != 1 || p.Resources[0] != (truth.DatadogResource{Name: "web-1.example.com", Type: "host"}) {
			t.Fatalf("%+v", p)
		}
		got[key(p.Metric, labels, p.Timestamp*1000+123)] = number(strconv.FormatFloat(p.Value, 'f', -1, 64))
	}
	want(b, asIs).same(t, got)
}
