package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSpoolReaderLeaves checks that a command ends quietly when the reader of
// its pipe goes away.
func TestSpoolReaderLeaves(t *testing.T) {
	dir := closedSpool(t, 5)
	left := brokenWriter{&os.PathError{Op: "write", Path: "stdout", Err: syscall.EPIPE}}
	full := brokenWriter{&os.PathError{Op: "write", Path: "stdout", Err: syscall.ENOSPC}}
	for _, name := range []string{"ls", "ls --summary", "ls --summary --format table", "cat", "verify", "dead"} {
		setEnvironment(t, nil)
		var stderr bytes.Buffer
		args := append(append([]string{"spool"}, strings.Fields(name)...), "--dir", dir)
		if code := run(context.Background(), args, left, &stderr); code != exitOK {
			t.Errorf("%s: exit code %d, stderr %s", name, code, &stderr)
		}
		if code := run(context.Background(), args, full, &stderr); code != exitFailure || strings.Count(stderr.String(), "no space left") != 1 {
			t.Errorf("%s to a full disk: exit code %d, stderr %s", name, code, &stderr)
		}
	}
}

// TestSpoolReaderLeavesWork checks that commands that do more than print finish
// their work when the reader of their pipe goes away.
func TestSpoolReaderLeavesWork(t *testing.T) {
	const n = 100
	dir, s := liveSpool(t, n)
	for seq := uint64(4); seq <= n/2; seq++ {
		refuseBatches(t, s, "why", seq)
	}
	left := brokenWriter{&os.PathError{Op: "write", Path: "stdout", Err: syscall.EPIPE}}
	out := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		args, files string
		want        int
	}{
		{"export " + out, out + "/*.json*", n/2 + 1},
		{"replay --all", dir + "/dead/*.dead", 0},
		{"purge --dead --yes", dir + "/dead/*.dead", 0},
	} {
		if c.args == "purge --dead --yes" {
			for _, name := range glob(t, dir+"/dead/*.replay") {
				if err := os.Rename(name, strings.TrimSuffix(name, "replay")+"dead"); err != nil {
					t.Fatal(err)
				}
			}
		}
		setEnvironment(t, nil)
		var stderr bytes.Buffer
		args := append(append([]string{"spool"}, strings.Fields(c.args)...), "--dir", dir)
		if code := run(context.Background(), args, left, &stderr); code != exitOK {
			t.Errorf("%s: exit code %d, stderr %s", c.args, code, &stderr)
		}
		if got := len(glob(t, c.files)); got != c.want {
			t.Errorf("%s leaves %d of %s, want %d", c.args, got, c.files, c.want)
		}
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}
