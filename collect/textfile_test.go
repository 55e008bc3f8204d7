package collect_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// scripts is a directory of text files and the collector that reads it.
type scripts struct {
	t         *testing.T
	dir       string
	collector collect.Collector
	snapshot  *metric.Snapshot
}

func newScripts(t *testing.T) *scripts { return boundedScripts(t, 0) }

// boundedScripts returns scripts with a limit on the number of samples.
func boundedScripts(t *testing.T, maxSeries int) *scripts {
	dir := t.TempDir()
	cfg := collect.Config{TextfileDir: dir, TextfileMaxAge: time.Hour, MaxSeries: maxSeries}
	for _, b := range collect.Builtins() {
		if b.Name == "textfile" {
			return &scripts{t, dir, b.New(cfg), metric.NewSnapshot(0)}
		}
	}
	t.Fatal("no collector textfile")
	return nil
}

func (s *scripts) write(name, text string) {
	s.t.Helper()
	check(s.t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644))
}

// collect returns the points by series, except the modification times, and the
// error.
func (s *scripts) collect() (map[string]string, string) {
	s.t.Helper()
	s.snapshot.Reset(1)
	done := make(chan error, 1)
	go func() { done <- s.collector.Collect(context.Background(), s.snapshot) }()
	var err error
	select {
	case err = <-done:
	case <-time.After(30 * time.Second):
		s.t.Fatal("the collector hangs")
	}
	points := map[string]string{}
	for _, p := range s.snapshot.Points {
		if p.Series.Name == "heka.agent.textfile.mtime" {
			continue
		}
		key := p.Series.Name
		for _, l := range p.Series.Labels {
			key += " " + l.Key + "=" + l.Value
		}
		points[key] = fmt.Sprintf("%v %s", p.Series.Kind, p.Value.Append(nil))
	}
	if n := s.snapshot.Duplicates(); n != 0 {
		s.t.Errorf("%d points of series that had one", n)
	}
	if err == nil {
		return points, ""
	}
	return points, err.Error()
}

func (s *scripts) want(points map[string]string, problems ...string) {
	s.t.Helper()
	got, problem := s.collect()
	if fmt.Sprint(got) != fmt.Sprint(points) {
		s.t.Errorf("points are %v, want %v", got, points)
	}
	if lines := strings.Join(problems, "\n"); problem != lines {
		s.t.Errorf("problems are\n%s\nwant\n%s", problem, lines)
	}
}

type points = map[string]string

func TestTextfile(t *testing.T) {
	s := newScripts(t)
	s.want(points{})
	s.write("raid.prom", "# HELP md_degraded Lacks a disk.\n# TYPE md_degraded gauge\nmd_degraded{device=\"md0\"} 1\n")
	s.write("backup.prom", "# TYPE backups_total counter\nbackups_total 7\nbackup_ratio 0.25\nbackup_bad NaN\n"+
		"# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1.5\nh_count 2\n# TYPE s summary\ns{quantile=\"0.5\"} 3\ns_sum 4\ns_count 5\n")
	s.write("backup.prom.tmp", "half{")
	all := points{
		"md_degraded device=md0": "gauge 1", "backups_total": "counter 7", "backup_ratio": "gauge 0.25",
		"h_bucket le=+Inf": "counter 2", "h_sum": "counter 1.5", "h_count": "counter 2",
		"s quantile=0.5": "gauge 3", "s_sum": "counter 4", "s_count": "counter 5",
	}
	s.want(all)
	s.want(all)
	for _, p := range s.snapshot.Points {
		if p.Series.Name == "md_degraded" && p.Series.Help != "Lacks a disk." {
			t.Errorf("help is %q", p.Series.Help)
		}
	}
	check(t, os.Remove(filepath.Join(s.dir, "backup.prom")))
	s.want(points{"md_degraded device=md0": "gauge 1"})
	// With another type the metric is another series, even with the same name.
	s.write("raid.prom", "# TYPE md_degraded counter\nmd_degraded{device=\"md0\"} 21\n")
	s.want(points{"md_degraded device=md0": "counter 21"})
	check(t, os.RemoveAll(s.dir))
	s.want(points{}, "read "+s.dir+": no such file or directory")
}

// TestTextfileProblems checks that a mistake only affects its own file, and
// that the error names the file.
func TestTextfileProblems(t *testing.T) {
	s := newScripts(t)
	good := points{"good": "gauge 1", "same x=1": "gauge 1", "two a=1 b=2": "gauge 5"}
	s.write("a-good.prom", "good 1\nsame{x=\"1\"} 1\ntwo{b=\"2\",a=\"1\"} 5\n")
	path := func(name string) string { return filepath.Join(s.dir, name) }
	for _, c := range []struct {
		name, problem string
		make          func(path string) error
	}{
		{"half.prom", "half.prom: line 2: the last line has no end: half of a file", text("x 1\ny 2")},
		{"mistake.prom", "mistake.prom: line 1: no metric name", text("9 1\n")},
		{"timed.prom", "timed.prom: has time stamps: a value is stamped when it is read", text("x 1 1700000000000\n")},
		{"large.prom", "large.prom: is larger than 1048576 bytes", text(strings.Repeat("# a comment\n", 1<<17))},
		{"labels.prom", "labels.prom: x has more than 64 labels, or a name over 255 or a value over 4096 bytes", text("x{l=\"" + strings.Repeat("v", 4097) + "\"} 1\n")},
		{"name.prom", "name.prom: " + strings.Repeat("n", 64) + " has more than 64 labels, or a name over 255 or a value over 4096 bytes", text(strings.Repeat("n", 256) + " 1\n")},
		{"order.prom", "order.prom: 1 points left out: two,a=\"1\",b=\"2\" is in a-good.prom already", text("two{b=\"2\",a=\"1\"} 2\n")},
		{"repeats.prom", "repeats.prom: 2 points left out: same,x=\"1\" is in a-good.prom already", text("same{x=\"1\"} 2\nsame{x=\"1\"} 3\n")},
		{"kind.prom", "kind.prom: 1 points left out: good is a gauge before", text("# TYPE good counter\ngood{x=\"2\"} 2\n")},
		{"pipe.prom", "pipe.prom: is not a regular file", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
		{"dir.prom", "dir.prom: is not a regular file", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"loop.prom", "loop.prom: too many levels of symbolic links", func(path string) error { return os.Symlink(path, path) }},
		{"dangling.prom", "dangling.prom: no such file or directory", func(path string) error { return os.Symlink("nowhere", path) }},
		{"stale.prom", "stale.prom: was last written at 2001-09-09T01:46:40Z, longer ago than HEKA_TEXTFILE_MAX_AGE", func(path string) error {
			old := time.Unix(1e9, 0)
			return join(os.WriteFile(path, []byte("x 1\n"), 0o600), os.Chtimes(path, old, old))
		}},
	} {
		check(t, c.make(path(c.name)))
		s.want(good, c.problem)
		s.want(good, c.problem)
		check(t, os.Remove(path(c.name)))
		s.want(good)
	}
}

func text(s string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(s), 0o600) }
}

func join(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestTextfileRepaired checks that each file is sent again once it is repaired,
// even with the same size and in the same second.
func TestTextfileRepaired(t *testing.T) {
	s := newScripts(t)
	s.write("x.prom", "x 1")
	s.want(points{}, "x.prom: line 1: the last line has no end: half of a file")
	s.write("y", "x\t3\n")
	check(t, os.Rename(filepath.Join(s.dir, "y"), filepath.Join(s.dir, "x.prom")))
	s.want(points{"x": "gauge 3"})
	s.write("y", "x\t4\n")
	info, err := os.Stat(filepath.Join(s.dir, "x.prom"))
	check(t, err)
	check(t, os.Chtimes(filepath.Join(s.dir, "y"), info.ModTime(), info.ModTime()))
	check(t, os.Rename(filepath.Join(s.dir, "y"), filepath.Join(s.dir, "x.prom")))
	s.want(points{"x": "gauge 4"})
	old := time.Now().Add(-2 * time.Hour)
	check(t, os.Chtimes(filepath.Join(s.dir, "x.prom"), old, old))
	if got, problem := s.collect(); len(got) != 0 || !strings.Contains(problem, "longer ago") {
		t.Errorf("a stale file: %v, %s", got, problem)
	}
	check(t, os.Chtimes(filepath.Join(s.dir, "x.prom"), time.Time{}, time.Now()))
	s.want(points{"x": "gauge 4"})
}

// textfileAllowed checks that a file is sent as soon as its permissions allow
// reading it, without any other change. It must not run as root.
func textfileAllowed(t *testing.T) {
	s := newScripts(t)
	s.write("x.prom", "x 1\n")
	check(t, os.Chmod(filepath.Join(s.dir, "x.prom"), 0))
	s.want(points{}, "x.prom: permission denied")
	check(t, os.Chmod(filepath.Join(s.dir, "x.prom"), 0o600))
	s.want(points{"x": "gauge 1"})
}

func TestTooManyTextfiles(t *testing.T) {
	s := newScripts(t)
	for i := range 1002 {
		s.write(fmt.Sprintf("%04d.prom", i), fmt.Sprintf("x{i=\"%d\"} 1\n", i))
	}
	got, problem := s.collect()
	if want := "read " + s.dir + ": 2 files over the limit of 1000 are left out"; len(got) != 1000 || problem != want {
		t.Errorf("%d points, %q, want 1000, %q", len(got), problem, want)
	}
}

// TestTextfilesTogether checks the common limit on samples. A file that would
// exceed it is left out completely, and later files may still fit.
func TestTextfilesTogether(t *testing.T) {
	s := boundedScripts(t, 5)
	const over = ": is left out: with the files before it, it has more samples than HEKA_MAX_SERIES"
	s.write("a.prom", "a 1\naa 2\naaa 3\n")
	s.write("b.prom", "b 1\nbb 2\nbbb 3\n")
	s.write("c.prom", "c 1\n")
	ac := points{"a": "gauge 1", "aa": "gauge 2", "aaa": "gauge 3", "c": "gauge 1"}
	s.want(ac, "b.prom"+over)
	s.want(ac, "b.prom"+over)
	s.write("a.prom", "a 1\n") // now there is room
	all := points{"a": "gauge 1", "b": "gauge 1", "bb": "gauge 2", "bbb": "gauge 3", "c": "gauge 1"}
	s.want(all)
	s.write("a.prom", "a 1\naa 2\naaa 3\n") // and no more room
	s.want(ac, "b.prom"+over)
	s.write("a.prom", strings.Repeat("a 1\n", 6))
	s.want(points{"b": "gauge 1", "bb": "gauge 2", "bbb": "gauge 3", "c": "gauge 1"}, "a.prom"+over)
	check(t, os.Remove(filepath.Join(s.dir, "a.prom")))
	s.write("d.prom", "d -1e+30\n") // exactly as many as allowed
	s.want(points{"b": "gauge 1", "bb": "gauge 2", "bbb": "gauge 3", "c": "gauge 1", "d": "gauge -1e+30"})
}

// TestTextfileBytesTogether checks the common limit on bytes. Files over the
// limit are not read.
func TestTextfileBytesTogether(t *testing.T) {
	s := newScripts(t)
	text := func(name string) string { return name + " 1\n" + strings.Repeat("# a comment\n", 1<<20/12-1) }
	for i := range 9 {
		s.write(fmt.Sprintf("%d.prom", i), text(fmt.Sprintf("x%d", i)))
	}
	s.write("9.prom", "x9 1\n")
	s.write("0-bad.prom", strings.Repeat("# a comment\n", 1<<20/4)) // uses up no room
	got, problem := s.collect()
	const want = "0-bad.prom: is larger than 1048576 bytes\n8.prom: is left out: with the files before it, it is over the 8 MiB of all together"
	if _, there := got["x9"]; len(got) != 9 || problem != want || !there {
		t.Errorf("%v, %q; want all but x8, %q", got, problem, want)
	}
	check(t, os.Remove(filepath.Join(s.dir, "0.prom")))
	if got, problem = s.collect(); len(got) != 9 || strings.Contains(problem, "8.prom") {
		t.Errorf("%v, %q; want all that are left", got, problem)
	}
}

// TestTextfilesThatDoNotChange checks that unchanged files are not read again,
// and that their points keep their series.
func TestTextfilesThatDoNotChange(t *testing.T) {
	s := newScripts(t)
	s.write("x.prom", "x 1\n")
	s.want(points{"x": "gauge 1"})
	first := s.snapshot.Points[len(s.snapshot.Points)-1].Series
	s.write("y.prom", "y 1\n")
	s.want(points{"x": "gauge 1", "y": "gauge 1"})
	found := false
	for _, p := range s.snapshot.Points {
		found = found || p.Series == first
	}
	if !found {
		t.Error("a series changed its identity with another file")
	}
	allocations := testing.AllocsPerRun(20, func() {
		s.snapshot.Reset(1)
		_ = s.collector.Collect(t.Context(), s.snapshot)
	})
	if allocations > 30 {
		t.Errorf("%v allocations a tick with nothing new", allocations)
	}
}

// TestTextfileStorm writes, breaks and removes files at random. Each tick must
// show exactly the intact files.
func TestTextfileStorm(t *testing.T) {
	s := newScripts(t)
	rng := rand.New(rand.NewPCG(3, 4))
	whole := map[int]string{}
	for n := range 300 {
		i := rng.IntN(8)
		name := fmt.Sprintf("%d.prom", i)
		switch rng.IntN(4) {
		case 0:
			_ = os.Remove(filepath.Join(s.dir, name))
			delete(whole, i)
		case 1:
			s.write(name, fmt.Sprintf("x{i=\"%d\"} %d\nbroken", i, n))
			delete(whole, i)
		default:
			s.write("new", fmt.Sprintf("x{i=\"%d\"} %d\n", i, n))
			check(t, os.Rename(filepath.Join(s.dir, "new"), filepath.Join(s.dir, name)))
			whole[i] = fmt.Sprintf("gauge %d", n)
		}
		want := points{}
		for i, v := range whole {
			want[fmt.Sprintf("x i=%d", i)] = v
		}
		if got, _ := s.collect(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("step %d: %v, want %v", n, got, want)
		}
	}
}

// BenchmarkTextfile runs a tick with five unchanged files of twenty points.
func BenchmarkTextfile(b *testing.B) {
	dir := b.TempDir()
	for f := range 5 {
		var text strings.Builder
		for i := range 20 {
			fmt.Fprintf(&text, "metric_%d{device=\"d%d\"} %d\n", f, i, i)
		}
		if err := os.WriteFile(fmt.Sprintf("%s/%d.prom", dir, f), []byte(text.String()), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for _, builtin := range collect.Builtins() {
		if builtin.Name != "textfile" {
			continue
		}
		c := builtin.New(collect.Config{TextfileDir: dir})
		s := metric.NewSnapshot(0)
		b.ReportAllocs()
		for b.Loop() {
			s.Reset(1)
			if err := c.Collect(b.Context(), s); err != nil {
				b.Fatal(err)
			}
		}
	}
}
