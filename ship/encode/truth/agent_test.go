package truth_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship/encode/truth"
)

// door is what stands before a backend; shut, it answers 503.
type door struct {
	URL  string
	shut atomic.Bool
}

func newDoor(t *testing.T, backend string) *door {
	t.Helper()
	to, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: to.Scheme, Host: to.Host})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.shut.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	d.URL = server.URL
	return d
}

// agent is a running process of it.
type agent struct {
	t   *testing.T
	cmd *exec.Cmd
	log bytes.Buffer
}

func buildAgent(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "agent")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../../cmd/heka-insights-agent")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

func startAgent(t *testing.T, program, spool string, vars ...string) *agent {
	t.Helper()
	a := &agent{t: t, cmd: exec.CommandContext(t.Context(), program)}
	a.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HEKA_SPOOL_DIR=" + spool, "HEKA_INTERVAL=100ms", "HEKA_BATCH_INTERVAL=300ms",
		"HEKA_RETRY_INITIAL=100ms", "HEKA_RETRY_MAX=300ms", "HEKA_COLLECTORS=system,memory,agent", "HEKA_HOSTNAME=web-1", "HEKA_DRAIN_MULTIPLIER=50",
	}, vars...)
	a.cmd.Stderr = &a.log
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.cmd.Process.Kill() })
	return a
}

func (a *agent) stop() string {
	a.t.Helper()
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		a.t.Fatal(err)
	}
	if err := a.cmd.Wait(); err != nil {
		a.t.Fatalf("%v: %s", err, a.log.String())
	}
	return a.log.String()
}

// gaps are where more than a second is missing in a row of times in ms.
func gaps(times []int64) (list []string) {
	slices.Sort(times)
	for i := 1; i < len(times); i++ {
		if missing := times[i] - times[i-1]; missing > 1000 {
			list = append(list, fmt.Sprintf("%d ms", missing))
		}
	}
	return list
}

// uptimes reads back when the agent read system.uptime.
type uptimes func(t *testing.T) []int64

func backends(t *testing.T) map[string]func(t *testing.T) (url string, vars []string, read uptimes) {
	t.Helper()
	received := func(t *testing.T, c *truth.Collector) (times []int64) {
		for _, p := range c.Points(t) {
			if p.Name == "system.uptime" {
				times = append(times, (p.TimeNS+5e5)/1e6)
			}
		}
		return times
	}
	return map[string]func(t *testing.T) (string, []string, uptimes){
		"otlp": func(t *testing.T) (string, []string, uptimes) {
			c := truth.StartCollector(t, 0)
			return c.OTLP, nil, func(t *testing.T) []int64 { return received(t, c) }
		},
		"splunk": func(t *testing.T) (string, []string, uptimes) {
			c := truth.StartCollector(t, 0)
			return c.Splunk, []string{"HEKA_API_KEY=token"}, func(t *testing.T) []int64 { return received(t, c) }
		},
		"victoriametrics": func(t *testing.T) (string, []string, uptimes) {
			v := truth.StartVictoriaMetrics(t)
			return v.URL, nil, func(t *testing.T) (times []int64) {
				for _, p := range v.Points(t, "system_uptime_seconds") {
					times = append(times, p.TimeMS)
				}
				return times
			}
		},
		"clickhouse": func(t *testing.T) (string, []string, uptimes) {
			c := truth.StartClickHouse(t)
			table, err := os.ReadFile(filepath.Join("..", "testdata", "clickhouse-old.sql"))
			if err != nil {
				t.Fatal(err)
			}
			c.Exec(t, string(table))
			vars := []string{"HEKA_USERNAME=" + c.User, "HEKA_PASSWORD=" + c.Password}
			return c.URL + "/?insert_deduplication_token=", vars, func(t *testing.T) (times []int64) {
				for _, row := range c.Rows(t, "SELECT time_ms FROM heka_metrics FINAL WHERE name = 'system.uptime'") {
					ms, err := strconv.ParseInt(fmt.Sprint(row["time_ms"]), 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					times = append(times, ms)
				}
				return times
			}
		},
	}
}

// The agent spools for one backend that is not there; started again for another,
// it delivers all of that, goes through an outage, and ends with nothing left.
func TestTheAgentAndItsBackends(t *testing.T) {
	program := buildAgent(t)
	for exporter, start := range backends(t) {
		t.Run(exporter, func(t *testing.T) {
			backend, vars, read := start(t)
			d := newDoor(t, backend)
			to, err := url.Parse(backend)
			if err != nil {
				t.Fatal(err)
			}
			spool := t.TempDir()
			first := startAgent(t, program, spool, "HEKA_ENDPOINT=http://127.0.0.1:1/v1/batches")
			time.Sleep(2 * time.Second)
			if said := first.stop(); strings.Contains(said, `"batches_spooled":0`) {
				t.Fatalf("nothing was spooled: %s", said)
			}
			vars = append(vars, "HEKA_EXPORTER="+exporter, "HEKA_ENDPOINT="+d.URL+to.RequestURI())
			second := startAgent(t, program, spool, vars...)
			time.Sleep(3 * time.Second)
			d.shut.Store(true)
			time.Sleep(3 * time.Second)
			d.shut.Store(false)
			time.Sleep(4 * time.Second)
			said := second.stop()
			if !strings.Contains(said, `"batches_spooled":0`) || strings.Contains(said, `"level":"error"`) {
				t.Errorf("in the end: %s", said)
			}
			times := read(t)
			// Between the two processes there is a gap of about as long as a start takes.
			if missing := gaps(times); len(times) < 80 || len(missing) > 1 {
				t.Errorf("%d times, with gaps of %v", len(times), missing)
			}
		})
	}
}
