package truth

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
)

const victoriaMetricsProgram = "/usr/bin/victoria-metrics"

// VictoriaMetrics is a running server with an empty storage.
type VictoriaMetrics struct {
	// URL has no path.
	URL string
}

// Point is one value of one series.
type Point struct {
	Name string
	// Labels are all labels but the name.
	Labels map[string]string
	TimeMS int64
	// Value is the number as the server writes it, unrounded by the reader.
	Value string
}

// StartVictoriaMetrics starts Debian's, which keeps everything for 100 years. The
// test is skipped without it.
func StartVictoriaMetrics(t *testing.T) VictoriaMetrics {
	t.Helper()
	installed(t, victoriaMetricsProgram)
	addr := freeAddress(t)
	serve(t, "http://"+addr+"/health", victoriaMetricsProgram,
		"-httpListenAddr="+addr, "-storageDataPath="+t.TempDir(), "-retentionPeriod=100y", "-loggerLevel=WARN")
	return VictoriaMetrics{URL: "http://" + addr}
}

// Points returns all points of the series that a selector takes, such as
// {__name__!=""}: those of a series in the order of time, the series in no order.
func (v VictoriaMetrics) Points(t *testing.T, selector string) (points []Point) {
	t.Helper()
	// What was just taken in is not found before it is flushed.
	if _, err := ask(t.Context(), http.MethodGet, v.URL+"/internal/force_flush", nil); err != nil {
		t.Fatal(err)
	}
	query := url.Values{"match[]": {selector}, "start": {"0"}, "end": {"9999999999"}}
	out, err := ask(t.Context(), http.MethodGet, v.URL+"/api/v1/export?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(out) {
		var series struct {
			Metric     map[string]string
			Values     []json.Number
			Timestamps []int64
		}
		if err := json.Unmarshal(line, &series); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		name := series.Metric["__name__"]
		delete(series.Metric, "__name__")
		for i, value := range series.Values {
			points = append(points, Point{Name: name, Labels: series.Metric, TimeMS: series.Timestamps[i], Value: value.String()})
		}
	}
	return points
}
