package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// TestSpoolPartsHaveIDs reads every id of a part as it prints it, and nothing
// that only looks like one.
func TestSpoolPartsHaveIDs(t *testing.T) {
	for part := range math.MaxUint16 + 1 {
		key := batchKey{Epoch: testEpoch, Seq: 9, Part: uint16(part)}
		if got, ok := parseKey(key.String()); part != 1 && (!ok || got != key) {
			t.Fatalf("%s is read as %+v, %t", key, got, ok)
		}
	}
	for _, id := range []string{"", "/0", batchID(1) + "/", batchID(1) + "/2", batchID(1) + "/00", batchID(1)[1:] + "/0", batchID(1) + strings.Repeat("/1", 16)} {
		if key, ok := parseKey(id); ok {
			t.Errorf("%q is read as %v", id, key)
		}
	}
}

// TestSpoolParts shows of a batch that was delivered in parts what is left, and
// has the letter of a part printed, exported and sent again by its id.
func TestSpoolParts(t *testing.T) {
	dir, s := liveSpool(t, 5)
	whole := spool.ID{Epoch: testEpoch, Seq: 5} // of 50 points
	for _, m := range []spool.Mark{{Part: 1, Fate: spool.PartCut}, {Part: 2, Fate: spool.PartDelivered}} {
		s.Mark(whole, m)
	}
	if err := s.SetAsidePart(whole, spool.Piece{Part: 6, Payload: nativeBody(t, 8)}, "422"); err != nil {
		t.Fatal(err)
	}
	part := batchID(5) + metric.PartPath(6)

	stdout, stderr := ask(t, exitOK, dir, "ls")
	lines := objects(t, stdout)
	same(t, "points", field(lines, "points"), []string{"10", "40", "12"})
	want := fmt.Sprint([]map[string]any{
		{"batch_id": batchID(5), "state": "cut"}, {"batch_id": batchID(5) + "/0", "state": "delivered"}, {"batch_id": part, "state": "dead"},
	})
	same(t, "parts", field(lines, "parts"), []string{"<nil>", "<nil>", want})
	if !strings.Contains(stderr, "3 batches wait: 62 points") || !strings.Contains(stderr, "delivered 45 + evicted 0 + expired 0 + corrupt 0 + dead 43 + waiting 62") {
		t.Errorf("ls says %s", stderr)
	}

	stdout, _ = ask(t, exitOK, dir, "dead")
	lines = objects(t, stdout)
	if ids := field(lines, "batch_id"); !slices.Contains(ids, part) || !slices.Equal(field(lines, "points"), []string{"30", "13"}) {
		t.Errorf("dead: %s", stdout)
	}
	if stdout, _ = ask(t, exitOK, dir, "cat", strings.ToUpper(part)); len(objects(t, stdout)) != 1 || objects(t, stdout)[0]["batch_id"] != batchID(8) {
		t.Errorf("cat: %s", stdout)
	}
	stdout, _ = ask(t, exitOK, dir, "export", t.TempDir(), part)
	if name := filepath.Base(objects(t, stdout)[0]["file"].(string)); name != batchID(5)+"-1-0.json.gz" {
		t.Errorf("exported to %s", name)
	}
	if _, stderr = ask(t, exitOK, dir, "replay", part); !strings.Contains(stderr, "1 batches will be sent again") {
		t.Errorf("replay: %s", stderr)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	flip(t, dir, 5)
	stdout, _ = ask(t, exitFailure, dir, "verify")
	if f := objects(t, stdout)[0]; f["batch_id"] != batchID(5) || f["points"] != 12.0 {
		t.Errorf("of the damaged batch 12 points are lost: %v", f)
	}
}
