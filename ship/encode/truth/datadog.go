package truth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// DatadogPoint is a point as Datadog's own client understands it. What the body
// leaves out is zero.
type DatadogPoint struct {
	Metric    string            `json:"metric"`
	Type      int32             `json:"type"` // 0 unspecified, 1 count, 2 rate, 3 gauge
	Unit      string            `json:"unit"`
	Interval  int64             `json:"interval"` // in seconds
	Tags      []string          `json:"tags"`
	Resources []DatadogResource `json:"resources"`
	Timestamp int64             `json:"timestamp"` // in seconds since 1970
	Value     float64           `json:"value"`     // all numbers are float64 there
}

// DatadogResource is what a series is about, such as a host.
type DatadogResource struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Datadog reads bodies by the types of Datadog's client.
type Datadog struct{ program string }

// BuildDatadog builds the program that reads.
func BuildDatadog(t *testing.T) Datadog {
	t.Helper()
	return Datadog{program: build(t, "datadog")}
}

// Read reads the uncompressed body of a POST to /api/v2/series. It is an error if
// anything in it is not of Datadog's schema: an unknown field, a wrong type, a type
// of metric that there is not, a point without time or value.
func (d Datadog) Read(t *testing.T, body []byte) (points []DatadogPoint, err error) {
	t.Helper()
	run := exec.CommandContext(t.Context(), d.program)
	run.Stdin = bytes.NewReader(body)
	out, err := run.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("%s", strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(out) {
		var p DatadogPoint
		if err := json.Unmarshal(line, &p); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		points = append(points, p)
	}
	return points, nil
}
