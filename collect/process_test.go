package collect_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/shirou/gopsutil/v4/process"
)

const bootStat = "cpu  1 2 3 4 5 6 7 8 9 0\nbtime 1000000\nprocesses 5\n"

// statLine formats a /proc/PID/stat.
func statLine(pid int, comm string, user, system, threads, started, pages int) string {
	return fmt.Sprintf("%d (%s) S 1 2 3 4 -1 4194560 10 20 30 40 %d %d 50 60 20 0 %d 0 %d 123456 %d 18446744073709551615 1 1 0\n",
		pid, comm, user, system, threads, started, pages)
}

// processes runs the collector on a /proc with these lines, by pid.
func processes(t *testing.T, h *host, c collect.Collector, s *metric.Snapshot, stats map[int]string) map[string]point {
	t.Helper()
	files := tree{"proc/stat": bootStat}
	for pid, line := range stats {
		files[fmt.Sprintf("proc/%d/stat", pid)] = line
		pages := 0
		if end := strings.LastIndex(line, ")"); end > 0 {
			fields := strings.Fields(line[end:])
			if len(fields) > 22 {
				_, _ = fmt.Sscan(fields[22], &pages)
			}
		}
		files[fmt.Sprintf("proc/%d/statm", pid)] = fmt.Sprintf("9999 %d 3 4 0 5 0\n", pages)
		files[fmt.Sprintf("proc/%d/fd/0", pid)] = "x"
		files[fmt.Sprintf("proc/%d/fd/1", pid)] = "x"
	}
	h.write(t, files)
	s.Reset(2_000_000_000)
	check(t, c.Collect(h.ctx, s))
	points := map[string]point{}
	for _, p := range s.Points {
		key := p.Series.Name
		for _, l := range p.Series.Labels {
			key += " " + l.Value
		}
		points[key] = point{startMS: p.Series.StartMS, value: p.Value}
	}
	return points
}

func newProcesses(t *testing.T, cfg collect.Config) (*host, collect.Collector) {
	h := newHost(t, nil)
	return h, h.collectors(cfg, "process")[0]
}

func everyProcess() collect.Config {
	return collect.Config{Process: collect.Filter{Include: regexp.MustCompile(`(?s).`)}}
}

func TestProcess(t *testing.T) {
	h, c := newProcesses(t, everyProcess())
	s := metric.NewSnapshot(0)
	got := processes(t, h, c, s, map[int]string{7: statLine(7, "web (1) a", 250, 50, 3, 12345, 100)})
	page := int64(os.Getpagesize())
	for series, want := range map[string]float64{
		"process.cpu.time 7 web (1) a user":         2.5,
		"process.cpu.time 7 web (1) a system":       0.5,
		"process.memory.usage 7 web (1) a":          float64(100 * page),
		"process.threads 7 web (1) a":               3,
		"process.open_file_descriptors 7 web (1) a": 2,
	} {
		if p, ok := got[series]; !ok || p.value.Float64() != want {
			t.Errorf("%s = %v, want %v of %v", series, p.value.Float64(), want, got)
		}
		if start := got[series].startMS; start != 1000000_000+123450 {
			t.Errorf("%s starts at %d", series, start)
		}
	}
	if len(got) != 5 {
		t.Errorf("%d series, want 5", len(got))
	}
}

// TestProcessChoice checks from tick to tick which processes are sent.
func TestProcessChoice(t *testing.T) {
	names := func(got map[string]point) (list string) {
		for _, pid := range []string{"1", "2", "3", "4", "5", "6"} {
			for series := range got {
				if strings.HasPrefix(series, "process.threads "+pid+" ") {
					list += pid
				}
			}
		}
		return list
	}
	at := func(cpu ...int) map[int]string {
		stats := map[int]string{}
		for i, ticks := range cpu {
			stats[i+1] = statLine(i+1, []string{"init", "idle", "web", "db", "web", "secret"}[i], ticks, 0, 1, 10, 10*(i+1))
		}
		return stats
	}
	for _, c := range []struct {
		name  string
		cfg   collect.Config
		ticks []string
	}{
		{"top", collect.Config{ProcessTop: 1}, []string{"", "36", "16"}},
		{"top two", collect.Config{ProcessTop: 2}, []string{"", "3456", "1256"}},
		{"named", collect.Config{Process: collect.Filter{Include: regexp.MustCompile("^web$")}}, []string{"35", "35", "35"}},
		{"named and top", collect.Config{ProcessTop: 1, Process: collect.Filter{Include: regexp.MustCompile("^web$")}}, []string{"35", "356", "1356"}},
		{"excluded", collect.Config{ProcessTop: 1, Process: collect.Filter{Exclude: regexp.MustCompile("secret|web")}}, []string{"", "4", "14"}},
		{"excluded wins", collect.Config{Process: collect.Filter{Include: regexp.MustCompile("."), Exclude: regexp.MustCompile("e")}}, []string{"14", "14", "14"}},
		{"none", collect.Config{}, []string{"", "", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, collector := newProcesses(t, c.cfg)
			s := metric.NewSnapshot(0)
			for i, stats := range []map[int]string{at(500, 100, 0, 0, 0, 0), at(500, 100, 50, 40, 0, 0), at(600, 130, 50, 40, 0, 0)} {
				if got := names(processes(t, h, collector, s, stats)); got != c.ticks[i] {
					t.Errorf("tick %d sends %q, want %q", i, got, c.ticks[i])
				}
			}
		})
	}
}

// TestProcessesThatComeAndGo checks that short-lived processes do not take the
// places of other series. A process that exists for a single tick is not sent,
// and the number of newcomers is limited.
func TestProcessesThatComeAndGo(t *testing.T) {
	h, c := newProcesses(t, collect.Config{ProcessTop: 10, MaxSeries: 200})
	s := metric.NewSnapshot(0)
	seen := map[string]bool{}
	for tick := range 100 {
		stats := map[int]string{1: statLine(1, "init", tick, 0, 1, 1, 1)}
		for i := range 5 {
			brief, lasting := 1000+tick*10+i, 5000+tick/2*10+i
			stats[brief] = statLine(brief, "brief", 100, 0, 1, 1, 100)
			stats[lasting] = statLine(lasting, "lasting", 100+tick, 0, 1, 1, 50)
		}
		got := processes(t, h, c, s, stats)
		if _, ok := got["process.threads 1 init"]; tick > 0 && !ok {
			t.Fatalf("tick %d has no process 1", tick)
		}
		for series := range got {
			if pid, found := strings.CutPrefix(series, "process.threads "); found {
				seen[pid] = true
			}
		}
	}
	if len(seen) != 200/2/5 {
		t.Errorf("%d processes were sent, want %d: %v", len(seen), 200/2/5, seen)
	}
}

// TestProcessNumberReused checks that a reused pid is a new process with new
// counters.
func TestProcessNumberReused(t *testing.T) {
	h, c := newProcesses(t, everyProcess())
	s := metric.NewSnapshot(0)
	const series = "process.cpu.time 9 job user"
	first := processes(t, h, c, s, map[int]string{9: statLine(9, "job", 900, 0, 1, 100, 5)})[series]
	second := processes(t, h, c, s, map[int]string{9: statLine(9, "job", 1, 0, 1, 7000, 5)})[series]
	if first.value.Float64() != 9 || second.value.Float64() != 0.01 || second.startMS-first.startMS != 69000 {
		t.Errorf("%+v, then %+v", first, second)
	}
	renamed := processes(t, h, c, s, map[int]string{9: statLine(9, "other", 2, 0, 1, 7000, 5)})
	if _, ok := renamed["process.threads 9 other"]; !ok {
		t.Errorf("after exec: %v", renamed)
	}
	if left := processes(t, h, c, s, nil); len(left) != 0 {
		t.Errorf("after its end: %v", left)
	}
}

// TestProcessNames: names may contain any bytes, labels may not.
func TestProcessNames(t *testing.T) {
	h, c := newProcesses(t, everyProcess())
	got := processes(t, h, c, metric.NewSnapshot(0), map[int]string{
		2: statLine(2, ") S 1 (", 1, 0, 1, 1, 1), 3: statLine(3, "a\nb", 1, 0, 1, 1, 1), 4: statLine(4, "\xff\x00", 1, 0, 1, 1, 1),
		5: "5 (half) S 1 2 3", 6: "", 7: statLine(8, "of another", 1, 0, 1, 1, 1),
	})
	for _, series := range []string{"process.threads 2 ) S 1 (", "process.threads 3 a\uFFFDb", "process.threads 4 \uFFFD\uFFFD"} {
		if _, ok := got[series]; !ok {
			t.Errorf("no %q in %v", series, got)
		}
	}
	if len(got) != 15 {
		t.Errorf("%d series, want those of 3 processes", len(got))
	}
}

// TestWorkersOfTheKernel: the name of a kernel worker says what it currently
// does. The label must not.
func TestWorkersOfTheKernel(t *testing.T) {
	h, c := newProcesses(t, everyProcess())
	s := metric.NewSnapshot(0)
	worker := func(comm string) string {
		return strings.Replace(statLine(5, comm, 1, 0, 1, 1, 0), " 123456 ", " 0 ", 1)
	}
	for _, comm := range []string{"kworker/u8:2-events", "kworker/u8:2+flush-254:0", "kworker/u8:2"} {
		if got := processes(t, h, c, s, map[int]string{5: worker(comm)}); got["process.threads 5 kworker/u8:2"].value.Int64() != 1 || len(got) != 4 { // it has no files
			t.Errorf("%s: %v", comm, got)
		}
	}
	if got := processes(t, h, c, s, map[int]string{5: statLine(5, "kworker/u8:2-x", 1, 0, 1, 1, 1)}); got["process.threads 5 kworker/u8:2-x"].value.Int64() != 1 {
		t.Errorf("a program of that name: %v", got)
	}
}

// TestProcessesThatRename: a process that renames itself is a new series each
// time, and counts as a newcomer.
func TestProcessesThatRename(t *testing.T) {
	h, c := newProcesses(t, collect.Config{ProcessTop: 10, MaxSeries: 200})
	s := metric.NewSnapshot(0)
	seen := map[string]bool{}
	for tick := range 100 {
		got := processes(t, h, c, s, map[int]string{7: statLine(7, fmt.Sprint("name", tick), tick*10, 0, 1, 1, 5)})
		for series := range got {
			if name, found := strings.CutPrefix(series, "process.threads 7 "); found {
				seen[name] = true
			}
		}
	}
	if len(seen) == 0 || len(seen) > 200/2/5 {
		t.Errorf("%d names were sent, want some, and at most %d", len(seen), 200/2/5)
	}
}

// TestProcessNumberReusedAtTheTop: the CPU time of a process's predecessor with
// the same pid must not count for it.
func TestProcessNumberReusedAtTheTop(t *testing.T) {
	h, c := newProcesses(t, collect.Config{ProcessTop: 1})
	s := metric.NewSnapshot(0)
	processes(t, h, c, s, map[int]string{9: statLine(9, "job", 900, 0, 1, 100, 5)})
	if got := processes(t, h, c, s, map[int]string{9: statLine(9, "job", 950, 0, 1, 7000, 5)}); len(got) > 0 {
		t.Errorf("in its first tick: %v", got)
	}
	if got := processes(t, h, c, s, map[int]string{9: statLine(9, "job", 960, 0, 1, 7000, 5)}); len(got) == 0 {
		t.Error("nothing in its second tick")
	}
}

// TestProcessWholeName: a name that the kernel truncated is completed from the
// program's name.
func TestProcessWholeName(t *testing.T) {
	h, c := newProcesses(t, collect.Config{Process: collect.Filter{Include: regexp.MustCompile("-exporter$|^a{15}$|^other$")}})
	line := statLine(7, "prometheus-node", 1, 0, 1, 1, 1)
	h.write(t, tree{
		"proc/7/cmdline": "/usr/bin/prometheus-node-exporter\x00--web", "proc/8/cmdline": "/bin/other\x00",
		"proc/9/cmdline": strings.Repeat("a", 500),
	})
	h.files = nil
	got := processes(t, h, c, metric.NewSnapshot(0), map[int]string{
		7: line, 8: statLine(8, "prometheus-node", 1, 0, 1, 1, 1), 9: statLine(9, strings.Repeat("a", 15), 1, 0, 1, 1, 1),
	})
	for _, series := range []string{"process.threads 7 prometheus-node-exporter", "process.threads 9 " + strings.Repeat("a", 15)} {
		if _, ok := got[series]; !ok {
			t.Errorf("no %s", series)
		}
	}
	if len(got) != 10 {
		t.Errorf("%v, want two processes", got)
	}
}

// TestProcessOfThisMachine compares with gopsutil's readings of a child that
// sleeps with open files.
func TestProcessOfThisMachine(t *testing.T) {
	child := exec.CommandContext(t.Context(), "sleep", "60")
	open, err := os.Open(os.DevNull)
	check(t, err)
	defer open.Close()
	child.ExtraFiles = []*os.File{open, open, open}
	check(t, child.Start())
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	cfg := collect.Config{Process: collect.Filter{Include: regexp.MustCompile("^sleep$")}}
	var c collect.Collector
	for _, b := range collect.Builtins() {
		if b.Name == "process" {
			c = b.New(cfg)
		}
	}
	pid := fmt.Sprint(child.Process.Pid)
	theirs, err := process.NewProcessWithContext(t.Context(), int32(child.Process.Pid))
	check(t, err)
	s := metric.NewSnapshot(0)
	var problem string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		s.Reset(time.Now().UnixMilli())
		if err := c.Collect(t.Context(), s); err != nil && !errors.Is(err, collect.ErrAbsent) {
			t.Fatal(err)
		}
		got := map[string]metric.Point{}
		for _, p := range s.Points {
			if p.Series.Labels[0].Value == pid {
				got[p.Series.Name] = p
			}
		}
		memory, errMemory := theirs.MemoryInfoWithContext(t.Context())
		threads, errThreads := theirs.NumThreadsWithContext(t.Context())
		files, errFiles := theirs.NumFDsWithContext(t.Context())
		created, errCreated := theirs.CreateTimeWithContext(t.Context())
		check(t, errors.Join(errMemory, errThreads, errFiles, errCreated))
		if len(got) < 4 { // the child is still the test binary, before it executes sleep
			problem = fmt.Sprint("not found: ", got)
			continue
		}
		start := got["process.cpu.time"].Series.StartMS
		if int64(memory.RSS) != got["process.memory.usage"].Value.Int64() || int64(threads) != got["process.threads"].Value.Int64() ||
			int64(files) != got["process.open_file_descriptors"].Value.Int64() || max(start-created, created-start) > 1000 {
			problem = fmt.Sprintf("%v; theirs: %v, %d threads, %d files, started %d", got, memory, threads, files, created)
			continue
		}
		return
	}
	t.Error(problem)
}

func FuzzProcessStat(f *testing.F) {
	f.Add(statLine(7, "web (1) a", 250, 50, 3, 12345, 100))
	f.Add("1 (a) S")
	f.Add("99999999999999999999 (a) S 1 2 3 4 5 6 7 8 9 1 1 1 1 1 1 1 1 1 1 1 1 1 1")
	f.Fuzz(func(t *testing.T, line string) {
		stat, ok := collect.ParseProcessStat([]byte(line))
		if ok && (stat.Pid <= 0 || stat.CPU < 0 || stat.Threads < 0 || stat.Pages < 0 || stat.Started < 0 || !strings.Contains(line, "("+stat.Comm+")")) {
			t.Errorf("%q: %+v", line, stat)
		}
	})
}

// BenchmarkProcess runs a tick with 5,000 processes, of which 20 are sent.
func BenchmarkProcess(b *testing.B) {
	dir := b.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "proc"), 0o755); err != nil {
		b.Fatal(err)
	}
	_ = os.WriteFile(filepath.Join(dir, "proc/stat"), []byte(bootStat), 0o600)
	for pid := 1; pid <= 5000; pid++ {
		_ = os.MkdirAll(filepath.Join(dir, "proc", fmt.Sprint(pid), "fd"), 0o755)
		_ = os.WriteFile(filepath.Join(dir, "proc", fmt.Sprint(pid), "stat"), []byte(statLine(pid, "worker", pid, 0, 1, 1, pid)), 0o600)
	}
	b.Setenv("HOST_PROC", filepath.Join(dir, "proc"))
	var c collect.Collector
	for _, builtin := range collect.Builtins() {
		if builtin.Name == "process" {
			c = builtin.New(collect.Config{ProcessTop: 10})
		}
	}
	s := metric.NewSnapshot(0)
	b.ReportAllocs()
	for b.Loop() {
		s.Reset(1)
		if err := c.Collect(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}
