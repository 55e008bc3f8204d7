package truth

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// Names of metrics for which the Collector refuses the whole request with an error
// of a pipeline behind the receiver, and how: the status of OTLP. Splunk's receiver
// answers each with 500.
const (
	RefusePermanently = "refuse.permanently" // an error marked as permanent: 500
	RefuseAsInvalid   = "refuse.as.invalid"  // InvalidArgument: 400
	RefuseForNow      = "refuse.for.now"     // an error of no kind: 503
	RefuseExhausted   = "refuse.exhausted"   // ResourceExhausted: 429
)

// Collector is a running program with two receivers of the OpenTelemetry Collector.
// It is for one goroutine.
type Collector struct {
	// OTLP is the URL of the otlp receiver's /v1/metrics.
	OTLP string
	// Splunk is the URL of the splunk_hec receiver's /services/collector. It takes
	// every token and keeps it as the resource attribute com.splunk.hec.access_token.
	Splunk string

	in  io.Writer
	out *bufio.Scanner
	end func()
}

// Received is a point as the Collector understood it. What is neither a gauge nor a
// sum is there once, by its type, without a value.
type Received struct {
	From         string         `json:"from"` // otlp or splunk
	Name         string         `json:"name"`
	Unit         string         `json:"unit"`
	Type         string         `json:"type"` // gauge or sum
	Monotonic    bool           `json:"monotonic"`
	Temporality  string         `json:"temporality"` // of a sum: Cumulative, Delta or Unspecified
	Resource     map[string]any `json:"resource"`
	Scope        string         `json:"scope"`
	ScopeVersion string         `json:"scope_version"`
	Attributes   map[string]any `json:"attributes"`
	TimeNS       int64          `json:"time_ns"`
	StartNS      int64          `json:"start_ns"` // 0 if there is none
	// Int or Double is the value, whichever the receiver holds.
	Int    *int64   `json:"int"`
	Double *float64 `json:"double"`
}

// Value is the number as text: an integer in decimal, any other as the shortest
// text that is the same float64; "" without a value.
func (r *Received) Value() string {
	switch {
	case r.Int != nil:
		return strconv.FormatInt(*r.Int, 10)
	case r.Double != nil:
		return strconv.FormatFloat(*r.Double, 'g', -1, 64)
	}
	return ""
}

// StartCollector builds the program and starts it. maxBodyBytes bounds a request's
// body after decompression; 0 is the receivers' default, 20 MiB.
func StartCollector(t *testing.T, maxBodyBytes int) *Collector {
	t.Helper()
	run := exec.CommandContext(t.Context(), build(t, "collector"), "-max-body", strconv.Itoa(maxBodyBytes))
	run.Stderr = os.Stderr
	in, err := run.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = run.Wait()
	})
	c := &Collector{in: in, out: bufio.NewScanner(out), end: func() { _ = run.Process.Kill() }}
	c.out.Buffer(nil, 1<<20)
	var addresses struct{ OTLP, Splunk string }
	if err := json.Unmarshal([]byte(c.line(t)), &addresses); err != nil {
		t.Fatalf("the collector's addresses: %v", err)
	}
	c.OTLP = "http://" + addresses.OTLP + "/v1/metrics"
	c.Splunk = "http://" + addresses.Splunk + "/services/collector"
	return c
}

// Points returns what was received since it was last called, in the order in which
// the requests were answered. Every point of a request that was answered is there.
func (c *Collector) Points(t *testing.T) (points []Received) {
	t.Helper()
	if _, err := io.WriteString(c.in, "\n"); err != nil {
		t.Fatal(err)
	}
	for {
		line := c.line(t)
		if line == "" {
			return points
		}
		var p Received
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		points = append(points, p)
	}
}

func (c *Collector) line(t *testing.T) string {
	t.Helper()
	late := time.AfterFunc(patience, c.end)
	defer late.Stop()
	if !c.out.Scan() {
		t.Fatalf("the collector says nothing: %v", c.out.Err())
	}
	return c.out.Text()
}
