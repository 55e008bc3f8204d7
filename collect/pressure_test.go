package collect_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/rs/zerolog"
)

func TestPressure(t *testing.T) {
	h := newHost(t, tree{
		"proc/pressure/cpu":    "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n", // before Linux 5.13 there was no full
		"proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00\nfull total=x\n",
		"proc/pressure/io":     "some avg10=1.00 avg60=0.00 avg300=0.00 total=250\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=18446744073709551615\n",
	})
	s := metric.NewSnapshot(0)
	s.Reset(1)
	err := h.collectors(collect.Config{}, "pressure")[0].Collect(h.ctx, s)
	got := map[string]float64{}
	for _, p := range s.Points {
		got[seriesName(p.Series)] = p.Value.Float64()
	}
	const name = "system.linux.pressure.stall_time"
	if len(got) != 2 || got[name+"{resource=cpu,type=some}"] != 1.5 || got[name+"{resource=io,type=some}"] != 0.00025 {
		t.Errorf("got %v", got)
	}
	if err == nil || !strings.Contains(err.Error(), "memory: line") || !strings.Contains(err.Error(), "io: line") || errors.Is(err, collect.ErrAbsent) {
		t.Errorf("error %v, want the lines of memory and io without a total", err)
	}
}

func TestPressureThatFailsIsNotAbsent(t *testing.T) {
	h := newHost(t, tree{"proc/pressure/cpu/file": "x", "proc/pressure/io": "idle\n"})
	s := metric.NewSnapshot(0)
	s.Reset(1)
	err := h.collectors(collect.Config{}, "pressure")[0].Collect(h.ctx, s)
	if !errors.Is(err, syscall.EISDIR) || !strings.Contains(err.Error(), "io: no line") || errors.Is(err, collect.ErrAbsent) {
		t.Errorf("error %v, want that of reading a directory, and of io", err)
	}
	// The errors of kernels with psi=0 and of kernels without the files, and
	// other errors.
	for err, want := range map[error]bool{
		&os.PathError{Op: "read", Err: syscall.EOPNOTSUPP}: true, fs.ErrNotExist: true,
		&os.PathError{Op: "open", Err: syscall.EACCES}: false, nil: false,
	} {
		if got := collect.PressureIsAbsent(err); got != want {
			t.Errorf("%v is absent: %v, want %v", err, got, want)
		}
	}
}

// TestWhatIsAbsentIsSaidOnce uses a kernel that does not count pressure.
func TestWhatIsAbsentIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, tree{"proc/stat": "btime 1\n"})
		var log bytes.Buffer
		s := collect.NewScheduler(collect.Config{}, h.collectors(collect.Config{}, "pressure", "container"), &sink{}, zerolog.New(&log))
		check(t, s.Take(h.ctx, 3, 5*time.Second))
		for i, c := range s.Stats().Collectors {
			if c.Errors != 0 || c.Timeouts != 0 || c.LastError == "" {
				t.Errorf("collector %d: %+v, want no error counted, and the reason", i, c)
			}
		}
		if lines := strings.Count(log.String(), "\n"); lines != 2 {
			t.Errorf("%d lines, want one for each collector:\n%s", lines, log.String())
		}
	})
}
