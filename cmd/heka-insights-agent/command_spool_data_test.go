package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// TestSpoolCat checks that the printed bodies can be decoded, whatever their
// compression.
func TestSpoolCat(t *testing.T) {
	dir := closedSpool(t, 6)
	seqs := func(text string) (all []uint64) {
		t.Helper()
		for line := range strings.Lines(text) {
			b, err := encode.Native{}.Decode([]byte(line))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b.Agent.Seq)
		}
		return all
	}
	for _, c := range []struct {
		args string
		code int
		want []uint64
	}{
		{"", exitOK, []uint64{1, 4, 5, 6}},
		{"--dead", exitOK, []uint64{3}},
		{batchID(6) + " " + strings.ToUpper(batchID(2)) + " " + batchID(3), exitOK, []uint64{2, 3, 6, 3}},
		{batchID(6) + " " + batchID(99), exitFailure, []uint64{6}},
	} {
		stdout, stderr := ask(t, c.code, dir, append([]string{"cat"}, strings.Fields(c.args)...)...)
		if got := seqs(stdout); !slices.Equal(got, c.want) {
			t.Errorf("cat %s prints %v, want %v; stderr %s", c.args, got, c.want, stderr)
		}
	}
	ask(t, exitUsage, dir, "cat", "--format", "table")
	flip(t, dir, 4)
	stdout, stderr := ask(t, exitFailure, dir, "cat")
	if got := seqs(stdout); !slices.Equal(got, []uint64{1, 5, 6}) || !strings.Contains(stderr, "skipped: batch "+batchID(4)) {
		t.Errorf("prints %v; stderr %s", got, stderr)
	}
}

// TestSpoolCatForeignBody checks that a body that is not a batch is skipped.
func TestSpoolCatForeignBody(t *testing.T) {
	dir := t.TempDir()
	s := spool.Open(spool.Config{Dir: dir, MaxBytes: 1 << 20})
	for seq, body := range []string{"\x1f\x8bnot gzip", "{\"a\":\n1}", "plain"} {
		if err := s.Append(spool.Record{ID: spool.ID{Epoch: 1, Seq: uint64(seq)}, Items: 1, TimeMS: 1, Payload: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := ask(t, exitFailure, dir, "cat")
	if stdout != "{\"a\":1}\n" || strings.Count(stderr, "skipped: ") != 2 {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
}

func TestSpoolExport(t *testing.T) {
	dir := closedSpool(t, 5)
	out := filepath.Join(t.TempDir(), "a", "b")
	stdout, _ := ask(t, exitOK, dir, "export", out)
	lines := objects(t, stdout)
	same(t, "batches", field(lines, "batch_id"), ids(1, 4, 5))
	same(t, "encodings", field(lines, "content_encoding"), []string{"", "gzip", ""})
	for i, seq := range []uint64{1, 4, 5} {
		name := lines[i]["file"].(string)
		got, err := os.ReadFile(name)
		info, statErr := os.Stat(name)
		if err != nil || statErr != nil || !bytes.Equal(got, nativeBody(t, seq)) || info.Mode().Perm() != 0o600 {
			t.Errorf("batch %d: %v, %v, %v", seq, err, statErr, info)
		}
	}
	same(t, "files", []string{filepath.Base(lines[0]["file"].(string)), filepath.Base(lines[1]["file"].(string))}, []string{batchID(1) + ".json", batchID(4) + ".json.gz"})

	stdout, _ = ask(t, exitOK, dir, "export", out)
	same(t, "status again", field(objects(t, stdout), "status"), []string{"present", "present", "present"})

	other := lines[0]["file"].(string)
	if err := os.WriteFile(other, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := ask(t, exitFailure, dir, "export", out)
	if b, _ := os.ReadFile(other); string(b) != "mine" || len(objects(t, stdout)) != 2 || !strings.Contains(stderr, "holds something else") {
		t.Errorf("holds %q; stdout %s, stderr %s", b, stdout, stderr)
	}
	stdout, _ = ask(t, exitOK, dir, "export", "--dead", out)
	same(t, "dead", field(objects(t, stdout), "batch_id"), []string{letterID(3)})
	stdout, _ = ask(t, exitOK, dir, "export", out, batchID(2))
	same(t, "by id", field(objects(t, stdout), "batch_id"), ids(2))
	if names, _ := os.ReadDir(out); len(names) != 5 {
		t.Errorf("left behind: %v", names)
	}
	before := listing(t, dir)
	for _, to := range []string{dir, filepath.Join(dir, "dead"), filepath.Join(dir, "new", "er")} {
		if _, stderr = ask(t, exitUsage, dir, "export", to); !strings.Contains(stderr, "is the spool itself") || listing(t, dir) != before {
			t.Errorf("into the spool: %s", stderr)
		}
	}
}

// TestSpoolDamagedDelivered exports everything that waits, although a batch
// that was delivered before is damaged, and reports success.
func TestSpoolDamagedDelivered(t *testing.T) {
	dir := closedSpool(t, 5)
	flip(t, dir, 2)
	ask(t, exitFailure, dir, "verify")
	for _, args := range []string{"cat", "export " + t.TempDir()} {
		if _, stderr := ask(t, exitOK, dir, strings.Fields(args)...); stderr != "" {
			t.Errorf("%s says %s", args, stderr)
		}
	}
	ask(t, exitFailure, dir, "cat", batchID(2))
}

// TestSpoolDeadAndReplay lists what the backend refused, and a running spool
// sends it again.
func TestSpoolDeadAndReplay(t *testing.T) {
	dir, s := liveSpool(t, 5)
	stdout, _ := ask(t, exitOK, dir, "dead")
	line := objects(t, stdout)[0]
	if line["batch_id"] != batchID(3) || line["points"] != 30.0 || line["reason"] != "the endpoint answered 400 Bad Request" || line["state"] != "dead" ||
		line["letter_id"] != letterID(3) || line["bytes"] != float64(len(nativeBody(t, 3))) {
		t.Errorf("the dead batch is %v", line)
	}
	_, stderr := ask(t, exitFailure, dir, "replay", batchID(4))
	if !strings.Contains(stderr, "no letter holds points of batch "+batchID(4)) || !strings.Contains(stderr, "0 letters will be sent again") {
		t.Errorf("a batch that is not dead: %s", stderr)
	}
	stdout, stderr = ask(t, exitOK, dir, "replay", batchID(3))
	if len(objects(t, stdout)) != 1 || !strings.Contains(stderr, "1 letters will be sent again") {
		t.Errorf("stdout %s, stderr %s", stdout, stderr)
	}
	stdout, _ = ask(t, exitOK, dir, "dead")
	same(t, "states", field(objects(t, stdout), "state"), []string{"replay"})
	_, stderr = ask(t, exitOK, dir, "replay", "--all")
	if !strings.Contains(stderr, "0 letters will be sent again") {
		t.Errorf("once more: %s", stderr)
	}
	if st := s.Stats(); st.Records != 3 {
		t.Errorf("%d batches wait in the running spool", st.Records)
	}
}

// TestSpoolLetters names letters by their file, with and without its suffix,
// and by each batch that they hold. A letter is always taken as a whole.
func TestSpoolLetters(t *testing.T) {
	dir, s := liveSpool(t, 9)
	refuseBatches(t, s, "422", 4, 5)
	refuseBatches(t, s, "too old", 5+1)
	stdout, _ := ask(t, exitOK, dir, "dead")
	lines := objects(t, stdout)
	same(t, "batches", field(lines, "batch_id"), ids(3, 4, 5, 6))
	files := field(lines, "file")
	if files[1] != files[2] || files[0] == files[1] {
		t.Fatalf("files %v", files)
	}
	stdout, _ = ask(t, exitUsage, dir, "purge", "--dead", files[0], batchID(5))
	same(t, "would go", field(objects(t, stdout), "file"), []string{files[0], files[1]})
	same(t, "points", field(objects(t, stdout), "points"), []string{"30", "90"})
	stdout, _ = ask(t, exitOK, dir, "purge", "--dead", "--yes", strings.TrimSuffix(filepath.Base(files[0]), ".dead"))
	same(t, "removed", field(objects(t, stdout), "removed"), []string{"true"})
	stdout, stderr := ask(t, exitOK, dir, "replay", letterID(4))
	same(t, "one letter, whole", field(objects(t, stdout), "letter_id"), []string{letterID(4), letterID(5)})
	if !strings.Contains(stderr, "1 letters will be sent again") {
		t.Errorf("replay: %s", stderr)
	}
	stdout, _ = ask(t, exitOK, dir, "dead")
	same(t, "states", field(objects(t, stdout), "state"), []string{"replay", "replay", "dead"})
	for _, args := range []string{"purge " + filepath.Base(files[0]), "purge --quarantine " + batchID(5), "replay x", "replay"} {
		ask(t, exitUsage, dir, strings.Fields(args)...)
	}
	if _, stderr = ask(t, exitFailure, dir, "replay", filepath.Base(files[0])); !strings.Contains(stderr, "there is no letter") {
		t.Errorf("a letter that is gone: %s", stderr)
	}
}

func TestSpoolPurge(t *testing.T) {
	dir, s := liveSpool(t, 5)
	before := listing(t, dir)
	stdout, stderr := ask(t, exitUsage, dir, "purge", "--dead", "--waiting")
	same(t, "would go", field(objects(t, stdout), "what"), []string{"dead", "waiting"})
	same(t, "removed", field(objects(t, stdout), "removed"), []string{"false", "false"})
	if after := listing(t, dir); after != before || !strings.Contains(stderr, "add --yes") {
		t.Errorf("stderr %s; before\n%s\nafter\n%s", stderr, before, after)
	}
	_, stderr = ask(t, exitFailure, dir, "purge", "--waiting", "--yes")
	if !strings.Contains(stderr, "another process holds the lock: stop the agent first") {
		t.Errorf("beside the agent: %s", stderr)
	}
	stdout, _ = ask(t, exitOK, dir, "purge", "--dead", "--yes")
	same(t, "removed", field(objects(t, stdout), "removed"), []string{"true"})
	if stdout, _ = ask(t, exitOK, dir, "dead"); stdout != "" {
		t.Errorf("still dead: %s", stdout)
	}
	if st := s.Stats(); st.Records != 3 || st.Dead != 30 {
		t.Errorf("the running spool says %+v", st)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	stdout, _ = ask(t, exitOK, dir, "purge", "--waiting", "--yes")
	if o := objects(t, stdout); len(o) != 1 || o[0]["points"] != 100.0 || o[0]["batches"] != 3.0 {
		t.Errorf("purged %s", stdout)
	}
	_, stderr = ask(t, exitOK, dir, "ls")
	if !strings.Contains(stderr, "evicted 100 + expired 0 + corrupt 0 + dead 30 + waiting 0") {
		t.Errorf("afterwards: %s", stderr)
	}
}

// TestSpoolPurgeQuarantine removes damaged segments from quarantine.
func TestSpoolPurgeQuarantine(t *testing.T) {
	dir := closedSpool(t, 5)
	flip(t, dir, 4)
	segments, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	aside := filepath.Join(dir, "quarantine", filepath.Base(segments[0]))
	s := spool.Open(spool.Config{Dir: dir, MaxBytes: 64 << 20})
	for r, err := s.Oldest(0, nil); err == nil; r, err = s.Oldest(0, nil) {
		s.Ack(r.ID, 0)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	stdout, _ := ask(t, exitOK, dir, "verify")
	same(t, "severities", field(objects(t, stdout), "severity"), []string{"notice", "notice", "ok"})
	stdout, _ = ask(t, exitOK, dir, "cat", batchID(5))
	if len(objects(t, stdout)) != 1 {
		t.Errorf("from quarantine: %q", stdout)
	}
	stdout, _ = ask(t, exitOK, dir, "purge", "--quarantine", "--yes")
	same(t, "files", field(objects(t, stdout), "file"), []string{"quarantine/" + filepath.Base(aside)})
	if _, err := os.Stat(aside); err == nil {
		t.Error("the segment is still there")
	}
}

// The batch that a running agent is building is not exported, because its ids
// belong to batches that do not exist yet. When no agent runs, it is exported.
func TestSpoolExportLeavesALiveDraftOut(t *testing.T) {
	dir := t.TempDir()
	s := spool.Open(spool.Config{Dir: dir, MaxBytes: 1 << 20})
	record := func(seq uint64) spool.Record {
		return spool.Record{ID: spool.ID{Epoch: 1, Seq: seq}, Items: 1, TimeMS: 1, Payload: []byte("{}")}
	}
	if err := errors.Join(s.Append(record(1)), s.Draft(record(2), 0), s.Draft(record(3), 1)); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := ask(t, exitOK, dir, "export", t.TempDir())
	if n := len(objects(t, stdout)); n != 1 || !strings.Contains(stderr, "left out: 2 ticks") {
		t.Errorf("%d batches are exported beside a live agent, stderr %q", n, stderr)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	stdout, stderr = ask(t, exitOK, dir, "export", t.TempDir())
	if n := len(objects(t, stdout)); n != 3 || stderr != "" {
		t.Errorf("%d batches are exported after its end, stderr %q", n, stderr)
	}
}
