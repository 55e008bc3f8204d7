package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/spool"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const testEpoch = 0xfeedfacecafebeef

// nativeBody returns batch seq, compressed if seq is even.
func nativeBody(t *testing.T, seq uint64) []byte {
	t.Helper()
	b := metric.Batch{
		Agent: metric.Agent{ID: "a1", Version: "1", Epoch: testEpoch, Seq: seq},
		Times: []int64{1763801234567 + int64(seq)*15000},
		Series: []metric.Column{{
			Series: &metric.Series{Desc: &metric.Desc{Name: "system.cpu.time", Unit: "s", Kind: metric.Counter}},
			Values: []metric.Value{metric.Int(int64(seq))},
		}},
	}
	body := encode.Native{}.Append(nil, &b)
	if seq%2 == 1 {
		return body
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.NoCompression) // the same length with every version of Go
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(body)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func batchID(seq uint64) string { return metric.BatchID(testEpoch, seq) }

// liveSpool creates a spool with batches 1 to n, where batch 2 is delivered and
// batch 3 is dead, and leaves it open.
func liveSpool(t *testing.T, n uint64) (dir string, s *spool.Spool) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "spool")
	s = spool.Open(spool.Config{Dir: dir, MaxBytes: 16 << 20})
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	for seq := uint64(1); seq <= n; seq++ {
		r := spool.Record{ID: spool.ID{Epoch: testEpoch, Seq: seq}, Items: 10 * int64(seq), TimeMS: 1763801234567 + int64(seq)*15000, Payload: nativeBody(t, seq)}
		if err := s.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	s.Ack(spool.ID{Epoch: testEpoch, Seq: 2}, 0)
	refuseBatches(t, s, "the endpoint answered 400 Bad Request", 3)
	return dir, s
}

// letterID returns the id of a batch's entry in a letter.
func letterID(seq uint64) string { return metric.BatchID(testEpoch+1, seq) }

// refuseBatches marks all points of batches as refused and writes one letter.
func refuseBatches(t *testing.T, s *spool.Spool, reason string, seqs ...uint64) {
	t.Helper()
	for _, seq := range seqs {
		of := spool.ID{Epoch: testEpoch, Seq: seq}
		s.Ack(of, 10*int64(seq))
		s.SetAside(spool.Letter{Of: of, Reason: reason, Record: spool.Record{
			ID: spool.ID{Epoch: testEpoch + 1, Seq: seq}, Items: 10 * int64(seq), TimeMS: 1763801234567, Payload: nativeBody(t, seq),
		}})
	}
	if err := s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// closedSpool returns the directory of such a spool after its agent has
// stopped.
func closedSpool(t *testing.T, n uint64) string {
	t.Helper()
	dir, s := liveSpool(t, n)
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// flip damages only the payload of batch seq.
func flip(t *testing.T, dir string, seq uint64) {
	t.Helper()
	segments, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, nativeBody(t, seq))
	b[at+20] ^= 1
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// ask runs a spool command on dir and checks its exit code.
func ask(t *testing.T, code int, dir string, args ...string) (stdout, stderr string) {
	t.Helper()
	got, stdout, stderr := start(context.Background(), t, nil, append(append([]string{"spool"}, args...), "--dir", dir)...)
	if got != code {
		t.Errorf("spool %s: exit code %d, want %d; stderr\n%s", strings.Join(args, " "), got, code, stderr)
	}
	return stdout, stderr
}

// objects parses JSON lines.
func objects(t *testing.T, text string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, o)
	}
	return all
}

func field(all []map[string]any, name string) (values []string) {
	for _, o := range all {
		values = append(values, fmt.Sprint(o[name]))
	}
	return values
}

func ids(seqs ...uint64) (all []string) {
	for _, seq := range seqs {
		all = append(all, batchID(seq))
	}
	return all
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestSpoolMissing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	out := filepath.Join(t.TempDir(), "out")
	for _, args := range []string{"ls", "verify", "cat", "dead", "export " + out, "replay --all", "purge --dead --yes", "purge --waiting --yes"} {
		stdout, stderr := ask(t, exitFailure, dir, strings.Fields(args)...)
		if stdout != "" || !strings.Contains(stderr, "there is no spool in "+dir) {
			t.Errorf("spool %s: stdout %q, stderr %q", args, stdout, stderr)
		}
	}
	for _, name := range []string{dir, out} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}

// TestSpoolElsewhere checks that a directory with other contents is not
// reported as an intact, empty spool, which would mislead the operator.
func TestSpoolElsewhere(t *testing.T) {
	dir := filepath.Dir(closedSpool(t, 5))
	for _, args := range []string{"ls", "verify", "cat", "dead", "export " + t.TempDir(), "replay --all", "purge --waiting --yes"} {
		if _, stderr := ask(t, exitFailure, dir, strings.Fields(args)...); !strings.Contains(stderr, "there is no spool in "+dir+":") {
			t.Errorf("spool %s: %s", args, stderr)
		}
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("holds %v now", names)
	}
}

func TestSpoolEmpty(t *testing.T) {
	dir := t.TempDir()
	for _, args := range []string{"ls", "cat", "dead", "export " + t.TempDir(), "replay --all", "purge --dead --quarantine --yes"} {
		if stdout, _ := ask(t, exitOK, dir, strings.Fields(args)...); stdout != "" {
			t.Errorf("spool %s prints %q", args, stdout)
		}
	}
	stdout, _ := ask(t, exitOK, dir, "verify")
	if o := objects(t, stdout); len(o) != 1 || o[0]["severity"] != "ok" {
		t.Errorf("verify says %s", stdout)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("made %v", names)
	}
}

// TestSpoolDirectory also takes the directory from the environment, even if the
// rest of the environment is invalid.
func TestSpoolDirectory(t *testing.T) {
	dir := closedSpool(t, 4)
	vars := map[string]string{"HEKA_SPOOL_DIR": dir, "HEKA_TIMEOUT": "x", "HEKA_ENDPONT": "y"}
	code, _, _ := start(done(), t, vars, "spool", "ls", "--summary")
	if code != exitFailure {
		t.Errorf("after the end of its context: exit code %d", code)
	}
	code, stdout, stderr := start(context.Background(), t, vars, "spool", "ls")
	if code != exitOK || len(objects(t, stdout)) != 2 {
		t.Errorf("exit code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
}

func TestSpoolLs(t *testing.T) {
	dir := closedSpool(t, 5)
	stdout, stderr := ask(t, exitOK, dir, "ls")
	lines := objects(t, stdout)
	same(t, "waiting", field(lines, "batch_id"), ids(1, 4, 5))
	same(t, "points", field(lines, "points"), []string{"10", "40", "50"})
	first := lines[0]
	if first["epoch"] != "feedfacecafebeef" || first["seq"] != 1.0 || first["time"] != "2025-11-22T08:47:29.567Z" ||
		first["time_ms"] != 1763801249567.0 || first["bytes"] != float64(len(nativeBody(t, 1))) || first["state"] != "waiting" {
		t.Errorf("first line %v", first)
	}
	for _, want := range []string{"3 batches wait: 100 points", "appended 150 points = delivered 20 + evicted 0 + expired 0 + corrupt 0 + dead 30 + waiting 100", "1 dead letters: 30 points"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr has no %q:\n%s", want, stderr)
		}
	}
	stdout, _ = ask(t, exitOK, dir, "ls", "--all")
	same(t, "states", field(objects(t, stdout), "state"), []string{"waiting", "delivered", "dead", "waiting", "waiting"})

	stdout, stderr = ask(t, exitOK, dir, "ls", "--summary")
	var sums summaryLine
	if err := json.Unmarshal([]byte(stdout), &sums); err != nil || stderr != "" {
		t.Fatalf("%v, stderr %q", err, stderr)
	}
	if sums.Waiting != (batchTotals{3, 100, sums.Waiting.Bytes}) || sums.DeadLetters.Points != 30 || sums.Totals["appended"] != 150 || sums.Running {
		t.Errorf("sums %+v", sums)
	}
}

// TestSpoolTable checks the tables that people see.
func TestSpoolTable(t *testing.T) {
	dir := closedSpool(t, 5)
	flip(t, dir, 5)
	var all strings.Builder
	for _, args := range []string{"ls --all", "ls --summary", "dead", "verify", "purge --dead --waiting"} {
		_, stdout, _ := start(context.Background(), t, nil, append(append([]string{"spool"}, strings.Fields(args)...), "--format", "table", "--dir", dir)...)
		fmt.Fprintf(&all, "$ spool %s\n%s\n", args, stdout)
	}
	segments, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	got := strings.ReplaceAll(all.String(), filepath.Base(segments[0]), "0000000000000001-SSSSSSSS.seg")
	letters, _ := filepath.Glob(filepath.Join(dir, "dead", "*"))
	got = strings.ReplaceAll(got, filepath.Base(letters[0]), "TTTTTTTTTTTTTTTT-000000000000001e-SSSSSSSS.dead")
	path := filepath.Join("testdata", "spool.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestSpoolVerify names the damaged batch and the batches next to a gap.
func TestSpoolVerify(t *testing.T) {
	dir := closedSpool(t, 6)
	stdout, _ := ask(t, exitOK, dir, "verify")
	if o := objects(t, stdout); len(o) != 1 || o[0]["severity"] != "ok" || o[0]["batches"] != 6.0 || o[0]["dead_letters"] != 1.0 {
		t.Errorf("a sound spool: %s", stdout)
	}
	flip(t, dir, 4)
	stdout, stderr := ask(t, exitFailure, dir, "verify")
	o := objects(t, stdout)
	same(t, "severities", field(o, "severity"), []string{"damage", "damage"})
	if o[0]["batch_id"] != batchID(4) || o[0]["points"] != 40.0 || o[0]["time"] != timeText(1763801234567+60000) || o[1]["points_lost"] != 40.0 ||
		!strings.Contains(stderr, "40 points are lost") {
		t.Errorf("stdout %s, stderr %s", stdout, stderr)
	}
	// Damage the header of batch 5 too.
	segments, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, nativeBody(t, 5))-30] ^= 1
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, _ = ask(t, exitFailure, dir, "verify")
	gap := objects(t, stdout)[1]
	if gap["what"] != "gap" || gap["points"] != 50.0 || gap["after"].(map[string]any)["batch_id"] != batchID(4) ||
		gap["before"].(map[string]any)["batch_id"] != batchID(6) {
		t.Errorf("the gap is %v", gap)
	}
}

// listing returns the names, modes and contents of a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&all, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			fmt.Fprintf(&all, "%x\n", b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestSpoolReadersChangeNothing runs each command that only reads, with and
// without a running agent, on an intact and on a damaged spool.
func TestSpoolReadersChangeNothing(t *testing.T) {
	for _, what := range []string{"sound", "damaged", "live"} {
		t.Run(what, func(t *testing.T) {
			dir, s := liveSpool(t, 5)
			code := exitOK
			if what != "live" {
				if err := s.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if what == "damaged" {
				flip(t, dir, 5)
				code = exitFailure
			}
			segments, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
			if err := os.Chmod(segments[0], 0o444); err != nil {
				t.Fatal(err)
			}
			before := listing(t, dir)
			for _, args := range []string{"ls", "ls --all", "ls --summary", "dead", "cat --dead"} {
				ask(t, exitOK, dir, strings.Fields(args)...)
			}
			for _, args := range []string{"verify", "cat", "export " + t.TempDir()} {
				ask(t, code, dir, strings.Fields(args)...)
			}
			if after := listing(t, dir); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
		})
	}
}
