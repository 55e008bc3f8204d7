package collect_test

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// TestAsNobody runs every collector as an unprivileged user. The default
// collectors read everything. An opt-in collector reports once what it leaves
// out, and which capability it needs.
func TestAsNobody(t *testing.T) {
	if os.Getuid() != 0 {
		readAsNobody(t)
		textfileAllowed(t)
		processDenied(t)
		return
	}
	self, err := os.Open("/proc/self/exe")
	check(t, err)
	defer self.Close()
	// Use the open file: nobody may not enter the directory that it is in.
	child := exec.CommandContext(t.Context(), "/proc/self/fd/3", "-test.run=^TestAsNobody$", "-test.v")
	child.ExtraFiles = []*os.File{self}
	child.Dir = "/"
	child.Env = []string{"TMPDIR=/tmp"}
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestAsNobody") {
		t.Errorf("%v\n%s", err, out)
	}
}

func readAsNobody(t *testing.T) {
	cfg := collect.Config{
		Detailed: true, PerCore: true, ProcessTop: 10,
		Process: collect.Filter{Include: regexp.MustCompile(".")},
	}
	for _, b := range collect.Builtins() {
		s := metric.NewSnapshot(0)
		c := b.New(cfg)
		for tick := range 2 {
			s.Reset(int64(tick))
			err := c.Collect(t.Context(), s)
			if err != nil && (!b.OptIn || !errors.Is(err, collect.ErrAbsent)) {
				t.Errorf("%s: %v", b.Name, err)
			}
			if b.Name == "process" && !errors.Is(err, collect.ErrAbsent) && !filesOfPid1(s) {
				t.Errorf("process: %v, and no file descriptors of process 1", err)
			}
			if b.Name == "process" && err != nil && !strings.Contains(err.Error(), "CAP_SYS_PTRACE") {
				t.Errorf("process: %v, want the capability", err)
			}
			if !b.OptIn && len(s.Points) == 0 && b.Name != "filesystem" {
				t.Errorf("%s: no points", b.Name)
			}
		}
	}
}

// filesOfPid1 reports whether this kernel shows the count to every user.
func filesOfPid1(s *metric.Snapshot) bool {
	for _, p := range s.Points {
		if p.Series.Name == "process.open_file_descriptors" && p.Series.Labels[0].Value == "1" {
			return true
		}
	}
	return false
}

// processDenied simulates a kernel before Linux 6.2, which hides the open files
// of other users, and a process whose stat line is hidden.
func processDenied(t *testing.T) {
	for file, want := range map[string]string{"fd": "open file descriptors of other users' processes", "stat": "processes that /proc hides"} {
		h, c := newProcesses(t, everyProcess())
		s := metric.NewSnapshot(0)
		stats := map[int]string{1: statLine(1, "init", 1, 0, 1, 1, 1), 2: statLine(2, "other", 1, 0, 1, 1, 1)}
		processes(t, h, c, s, stats)
		denied := h.dir + "/proc/2/" + file
		check(t, os.Chmod(denied, 0))
		for range 2 {
			s.Reset(2_000_000_000)
			err := c.Collect(h.ctx, s)
			if !errors.Is(err, collect.ErrAbsent) || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "CAP_SYS_PTRACE") {
				t.Errorf("%s: %v", file, err)
			}
			if n := len(s.Points); n != map[string]int{"fd": 9, "stat": 5}[file] {
				t.Errorf("%s: %d points", file, n)
			}
		}
		check(t, os.Chmod(denied, 0o700))
	}
}
