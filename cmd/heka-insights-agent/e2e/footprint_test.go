package e2e_test

import (
	"compress/gzip"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// sink is an ingest over TLS that measures what it receives.
type sink struct {
	mu                   sync.Mutex
	bytes, points, ticks int64 // of all batches except the first
	batches, series      int64
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	counted := &countingReader{r: r.Body}
	unzipped, err := gzip.NewReader(counted)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	body, _ := io.ReadAll(unzipped)
	batch, err := encode.Native{}.Decode(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batches++; s.batches > 1 {
		s.bytes += counted.n
		s.points += batch.Points()
		s.ticks += int64(len(batch.Times))
		s.series = int64(len(batch.Series))
	}
	fmt.Fprintf(w, `{"batch_id":%q,"status":"accepted","points":%d}`, batch.ID(), batch.Points())
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// BenchmarkFootprint measures the shipped binary against the budgets: resident
// memory, CPU time per tick, bytes on the wire per point, and the size of the
// binary, with default collectors over TLS. It ticks five times as fast as by
// default, with as many ticks per batch, so that one minute stands for five.
func BenchmarkFootprint(b *testing.B) {
	binary := program(b, "heka-insights-agent")
	for _, ticks := range []int{3, 12} {
		b.Run(fmt.Sprintf("ticksPerBatch=%d", ticks), func(b *testing.B) {
			for b.Loop() {
				footprint(b, binary, ticks)
			}
		})
	}
}

func footprint(b *testing.B, binary string, ticksPerBatch int) {
	received := &sink{}
	server := httptest.NewTLSServer(received)
	defer server.Close()
	ca := filepath.Join(b.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		b.Fatal(err)
	}
	agent := exec.Command(binary)
	agent.Stderr = os.Stderr
	agent.Env = append(os.Environ(), "HEKA_ENDPOINT="+server.URL, "HEKA_TLS_CA_FILE="+ca, "HEKA_LOG_LEVEL=warn",
		"HEKA_SPOOL_DIR="+filepath.Join(b.TempDir(), "spool"), "HEKA_INTERVAL=1s", fmt.Sprintf("HEKA_BATCH_INTERVAL=%ds", ticksPerBatch))
	if err := agent.Start(); err != nil {
		b.Fatal(err)
	}
	defer agent.Wait()
	defer agent.Process.Signal(syscall.SIGTERM)
	time.Sleep(10 * time.Second) // skip the start
	cpuBefore, _ := usage(b, agent.Process.Pid)
	const window = 60
	time.Sleep(window * time.Second)
	cpu, rss := usage(b, agent.Process.Pid)
	received.mu.Lock()
	defer received.mu.Unlock()
	info, err := os.Stat(binary)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64((cpu-cpuBefore).Microseconds())/1000/window, "cpu-ms/tick")
	b.ReportMetric(rss/(1<<20), "rss-MiB")
	b.ReportMetric(float64(received.bytes)/float64(received.points), "wire-B/point")
	b.ReportMetric(float64(received.points)/float64(received.ticks), "points/tick")
	b.ReportMetric(float64(info.Size())/1e6, "binary-MB")
	b.ReportMetric(0, "ns/op")
}

// usage returns a process's CPU time, as the scheduler counts it in ns, and its
// resident memory in bytes.
func usage(b *testing.B, pid int) (cpu time.Duration, rss float64) {
	b.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		b.Fatalf("no tasks of %d: %v", pid, err)
	}
	for _, task := range tasks {
		raw, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended meanwhile
		}
		ns, err := strconv.ParseInt(strings.Fields(string(raw))[0], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		cpu += time.Duration(ns)
	}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(statm))[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return cpu, pages * float64(os.Getpagesize())
}
