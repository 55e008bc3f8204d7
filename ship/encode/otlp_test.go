package encode_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// otlpRequest is ExportMetricsServiceRequest as far as the agent makes one
// (opentelemetry-proto, metrics/v1/metrics.proto, in protobuf's JSON mapping).
type otlpRequest struct {
	ResourceMetrics []struct {
		Resource struct {
			Attributes []otlpAttribute `json:"attributes"`
		} `json:"resource"`
		ScopeMetrics []struct {
			Scope   map[string]string `json:"scope"`
			Metrics []struct {
				Name  string    `json:"name"`
				Unit  string    `json:"unit"`
				Gauge *otlpData `json:"gauge"`
				Sum   *otlpData `json:"sum"`
			} `json:"metrics"`
		} `json:"scopeMetrics"`
	} `json:"resourceMetrics"`
}

type otlpData struct {
	AggregationTemporality int         `json:"aggregationTemporality"`
	IsMonotonic            bool        `json:"isMonotonic"`
	DataPoints             []otlpPoint `json:"dataPoints"`
}

type otlpPoint struct {
	Attributes        []otlpAttribute `json:"attributes"`
	StartTimeUnixNano int64           `json:"startTimeUnixNano,string"`
	TimeUnixNano      int64           `json:"timeUnixNano,string"`
	AsInt             *int64          `json:"asInt,string"`
	AsDouble          *float64        `json:"asDouble"`
}

type otlpAttribute struct {
	Key   string `json:"key"`
	Value struct {
		StringValue string `json:"stringValue"`
	} `json:"value"`
}

func readOTLP(t *testing.T, body []byte) (points []readPoint) {
	t.Helper()
	var request otlpRequest
	strictJSON(t, body, &request)
	seen := make(map[string]bool)
	for _, r := range request.ResourceMetrics {
		for _, m := range r.ScopeMetrics[0].Metrics {
			data := m.Sum
			if data == nil {
				data = m.Gauge
			}
			if name := fmt.Sprint(m.Name, m.Unit, m.Sum != nil); seen[name] || data == nil || len(data.DataPoints) == 0 {
				t.Fatalf("metric %s twice, or without data", name)
			} else {
				seen[name] = true
			}
			for _, p := range data.DataPoints {
				value := readPoint{series: fmt.Sprint(m.Name, m.Unit, p.Attributes), timeMS: p.TimeUnixNano / 1e6}
				switch {
				case (p.AsInt == nil) == (p.AsDouble == nil) || p.TimeUnixNano%1e6 != 0 || p.StartTimeUnixNano > p.TimeUnixNano:
					t.Fatalf("%s: a point with two values, none, or a bad time: %+v", m.Name, p)
				case p.AsInt != nil:
					value.value = fmt.Sprint(*p.AsInt)
				default:
					value.value = fmt.Sprint(*p.AsDouble)
				}
				points = append(points, value)
			}
		}
	}
	return points
}

// A counter starts at boot, or when it says itself; a gauge does not start.
func TestOTLPKindsAndStarts(t *testing.T) {
	var request otlpRequest
	strictJSON(t, encode.OTLP().Format.Append(nil, sample()), &request)
	scope := request.ResourceMetrics[0].ScopeMetrics[0]
	if scope.Scope["version"] != "1.2.3" || len(request.ResourceMetrics[0].Resource.Attributes) != 3 {
		t.Errorf("scope %v, resource %v", scope.Scope, request.ResourceMetrics[0].Resource)
	}
	cpu, memory, load := scope.Metrics[0], scope.Metrics[1], scope.Metrics[2]
	if cpu.Sum == nil || cpu.Sum.AggregationTemporality != 2 || !cpu.Sum.IsMonotonic || len(cpu.Sum.DataPoints) != 5 {
		t.Fatalf("cpu time is %+v, want a cumulative monotonic sum of 5 points", cpu.Sum)
	}
	if first, last := cpu.Sum.DataPoints[0], cpu.Sum.DataPoints[3]; first.StartTimeUnixNano != 1763700000000e6 || last.StartTimeUnixNano != 1763800000000e6 {
		t.Errorf("starts %d and %d, want the host's boot and the series' own", first.StartTimeUnixNano, last.StartTimeUnixNano)
	}
	if p := cpu.Sum.DataPoints[2]; p.AsDouble == nil || *p.AsDouble != 13 {
		t.Errorf("13 seconds among others are %+v, want a double", p)
	}
	if memory.Sum == nil || memory.Sum.IsMonotonic || memory.Sum.DataPoints[0].AsInt == nil {
		t.Errorf("memory is %+v, want a sum of integers that goes up and down", memory.Sum)
	}
	if load.Gauge == nil || load.Gauge.DataPoints[0].StartTimeUnixNano != 0 {
		t.Errorf("load is %+v, want a gauge without a start", load)
	}
}

func TestOTLPAnswers(t *testing.T) {
	for body, want := range map[string]struct {
		verdict backend.Verdict
		points  int64
	}{
		`{}`:                    {backend.Acked, 0},
		`{"partialSuccess":{}}`: {backend.Acked, 0},
		`{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"too old"}}`:     {backend.Acked, 3},
		`{"partialSuccess":{"rejectedDataPoints":3,"errorMessage":"too old"}}`:       {backend.Acked, 3},
		`{"partial_success":{"rejected_data_points":"3","error_message":"too old"}}`: {backend.Acked, 3},
		`{"partialSuccess":{"rejectedDataPoints":"99"}}`:                             {backend.Reject, 0},
		`{"partialSuccess":{"rejectedDataPoints":"-1"}}`:                             {backend.Acked, 0},
		`{"partialSuccess":{"errorMessage":"deprecated"}}`:                           {backend.Acked, 0},
		`{"partialSuccess":{"rejectedDataPoints":"many"}}`:                           {backend.Retry, 0},
		`{"partialSuccess":5}`: {backend.Retry, 0},
	} {
		j, known := encode.OTLP().Format.Judge(backend.Sent{Points: 9}, backend.Answer{Status: 200, Header: http.Header{}, Body: []byte(body)})
		if !known || j.Verdict != want.verdict || j.Rejected.Points != want.points {
			t.Errorf("%s: %+v, %v; want verdict %d and %d rejected", body, j, known, want.verdict, want.points)
		}
		if want.points == 3 && !strings.Contains(j.Rejected.Reason, "too old") {
			t.Errorf("%s: the reason is %q", body, j.Rejected.Reason)
		}
	}
	html := backend.Answer{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}}
	if j, known := encode.OTLP().Format.Judge(backend.Sent{}, html); known && j.Verdict == backend.Acked {
		t.Error("an empty page is taken for an acknowledgement")
	}
}

// Two series of a name with different units are two metrics.
func TestOTLPGroupsByDescription(t *testing.T) {
	b := sample()
	b.Series[1].Series = &metric.Series{Desc: &metric.Desc{Name: "system.cpu.time", Unit: "ms", Kind: metric.Counter}}
	if points := readOTLP(t, encode.OTLP().Format.Append(nil, b)); int64(len(points)) != b.Points() {
		t.Errorf("%d points, want %d", len(points), b.Points())
	}
}

// Prometheus tells hosts apart by service.instance.id; New Relic does without.
func TestOTLPNamesTheInstance(t *testing.T) {
	own := sample()
	own.Resource = append(own.Resource, metric.L("service.instance.id", "mine"))
	for _, c := range []struct {
		to   backend.Backend
		b    *metric.Batch
		want string
	}{{encode.OTLP(), sample(), "a1"}, {encode.OTLP(), own, "mine"}, {encode.NewRelic(), sample(), ""}} {
		var request otlpRequest
		strictJSON(t, c.to.Format.Append(nil, c.b), &request)
		got := ""
		for _, a := range request.ResourceMetrics[0].Resource.Attributes {
			if a.Key == "service.instance.id" {
				got += a.Value.StringValue
			}
		}
		if got != c.want {
			t.Errorf("%s: the instance is %q, want %q", c.to.Name, got, c.want)
		}
	}
}
