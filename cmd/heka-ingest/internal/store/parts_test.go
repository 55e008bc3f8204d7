package store_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/store"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// without leaves one series out of b and adds the hash to its part.
func without(b *wire.Batch, name, hash string) *wire.Batch {
	cut := *b
	cut.ID, cut.Part = b.ID+hash, b.Part+hash
	cut.Series = slices.DeleteFunc(slices.Clone(b.Series), func(s wire.Series) bool { return s.Name == name })
	return &cut
}

// piece returns what Part p of a batch of four ticks may hold: the ticks of its
// path, without one series for each hash that the test knows.
func piece(whole *wire.Batch, p string) *wire.Batch {
	path, hash, left := strings.Cut(p, "-")
	ranges := map[string][2]int{"": {0, 4}, "/0": {0, 2}, "/1": {2, 4}, "/0/0": {0, 1}, "/0/1": {1, 2}}
	b := part(whole, path, ranges[path][0], ranges[path][1])
	if left {
		b = without(b, map[string]string{"aaaaaaaa": "system.cpu.utilization", "bbbbbbbb": "system.disk.io"}[hash], "-"+hash)
	}
	return b
}

func TestPartsOfOneBatch(t *testing.T) {
	s, _ := start(t, t.TempDir())
	whole := batch("a", 7, 1)
	add(t, s, part(whole, "/0", 0, 2), wire.Accepted)
	add(t, s, part(whole, "/0/1", 1, 2), wire.Duplicate) // a part of what is stored already
	add(t, s, part(whole, "/1", 2, 3), wire.Accepted)
	add(t, s, part(whole, "/1", 2, 3), wire.Duplicate)
	wantCounts(t, oneHost(t, s), 2, 6, 2, 0, 3, 0)
	// The whole batch follows, from an agent that forgot that it had cut it. No
	// tick or point may be shown twice.
	add(t, s, whole, wire.Accepted)
	add(t, s, part(whole, "/1", 2, 3), wire.Duplicate)
	if h := oneHost(t, s); h.Ticks != 3 || h.Gaps != 0 {
		t.Errorf("host = %+v", h)
	}
	for _, data := range series(t, s, store.Query{Host: "a"}).Series {
		if !slices.Equal(data.Times, whole.Times) {
			t.Errorf("%s: times %v, want %v", data.Name, data.Times, whole.Times)
		}
	}
}

func TestDuplicateParts(t *testing.T) {
	for _, c := range []struct {
		// Parts in the order of their arrival; "." is the whole batch.
		stored, accepted, duplicate string
	}{
		{stored: ".", duplicate: ". -aaaaaaaa -bbbbbbbb /0 /1 /0/1 /0-aaaaaaaa /0/1-bbbbbbbb"},
		{stored: "/0", accepted: "/1-aaaaaaaa /1 -aaaaaaaa .", duplicate: "/0 /0-aaaaaaaa /0-bbbbbbbb /0/0 /0/1 /0/1-aaaaaaaa"},
		{stored: "/0/1", accepted: "/0/0-aaaaaaaa /0/0 /0-aaaaaaaa /0 -aaaaaaaa .", duplicate: "/0/1 /0/1-bbbbbbbb"},
		{stored: "-aaaaaaaa", accepted: "-bbbbbbbb /0-aaaaaaaa /0/1-aaaaaaaa /0 /1 .", duplicate: "-aaaaaaaa"},
		{stored: "/0-aaaaaaaa", accepted: "/0-bbbbbbbb /0/0-aaaaaaaa /0/1 /0 /1-aaaaaaaa /1 -aaaaaaaa .", duplicate: "/0-aaaaaaaa"},
		{stored: "-aaaaaaaa .", duplicate: "-aaaaaaaa -bbbbbbbb . /1 /0-bbbbbbbb"},
		{stored: "/0-aaaaaaaa /0 /1", accepted: "-aaaaaaaa", duplicate: "/0-aaaaaaaa /0-bbbbbbbb /1-bbbbbbbb /0/1"},
	} {
		dir := t.TempDir()
		s, stop := start(t, dir)
		whole := batchAt("a", 7, 1, base, 4)
		send := func(parts, status string) {
			for _, p := range strings.Fields(parts) {
				t.Logf("%s stored: %s must be %s", c.stored, p, status)
				add(t, s, piece(whole, strings.TrimPrefix(p, ".")), status)
			}
		}
		send(c.stored, wire.Accepted)
		stop() // what is stored must be known after a restart
		s, stop = start(t, dir)
		send(c.duplicate, wire.Duplicate)
		h := oneHost(t, s)
		if stored, again := len(strings.Fields(c.stored)), len(strings.Fields(c.duplicate)); h.Batches != int64(stored) ||
			h.Duplicates != int64(again) || h.Gaps != 0 {
			t.Errorf("%s stored: host = %+v, want %d batches, %d duplicates and no gap", c.stored, h, stored, again)
		}
		send(c.accepted, wire.Accepted)
		stop()
	}
}

// A batch of which only parts and variants arrive, in any order, is not a gap.
// Each of its ticks and points counts once.
func TestVariantsCountAsTheirBatch(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 10 {
		var batches []*wire.Batch
		for seq, parts := range []string{".", "-aaaaaaaa", "/0-bbbbbbbb /1-aaaaaaaa", "/0/0 /0/1-aaaaaaaa /1", "-bbbbbbbb", "/1-bbbbbbbb /0"} {
			whole := batchAt("a", 7, uint64(seq)+1, base+int64(seq)*4*interval, 4)
			for _, p := range strings.Fields(parts) {
				batches = append(batches, piece(whole, strings.TrimPrefix(p, ".")))
			}
		}
		random.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
		s, stop := start(t, t.TempDir())
		for _, b := range batches {
			add(t, s, b, wire.Accepted)
		}
		wantCounts(t, oneHost(t, s), 10, 8+4+4+7+4+6, 0, 0, 24, 0)
		for _, b := range batches {
			add(t, s, b, wire.Duplicate)
		}
		wantCounts(t, oneHost(t, s), 10, 33, 10, 0, 24, 0)
		stop()
	}
}

// Two variants of one batch may hold the same points, and the whole may follow.
// Series must show each point once, and ticks must count once.
func TestVariantsThatOverlap(t *testing.T) {
	s, _ := start(t, t.TempDir())
	whole := batch("a", 7, 1)
	add(t, s, without(whole, "none", "-cccccccc"), wire.Accepted)
	add(t, s, without(whole, "system.cpu.utilization", "-aaaaaaaa"), wire.Accepted)
	add(t, s, part(whole, "/0", 0, 2), wire.Accepted)
	add(t, s, whole, wire.Accepted)
	if h := oneHost(t, s); h.Ticks != 3 || h.MissingTicks != 0 || h.Gaps != 0 || h.Epochs != 1 {
		t.Errorf("host = %+v", h)
	}
	page := series(t, s, store.Query{Host: "a"})
	if len(page.Series) != 2 {
		t.Fatalf("%d series, want 2", len(page.Series))
	}
	for i, data := range page.Series {
		if !slices.Equal(data.Times, whole.Times) || !slices.Equal(data.Values, whole.Series[i].Values) {
			t.Errorf("%s: %v at %v, want %v at %v", data.Name, data.Values, data.Times, whole.Series[i].Values, whole.Times)
		}
	}
}

// A point that is stored twice must not take the place of an older one.
func TestLimitWhereVariantsOverlap(t *testing.T) {
	s, _ := start(t, t.TempDir())
	for seq := uint64(1); seq <= 2; seq++ {
		add(t, s, without(batch("a", 7, seq), "system.cpu.utilization", "-aaaaaaaa"), wire.Accepted)
		add(t, s, batch("a", 7, seq), wire.Accepted)
	}
	for limit, want := range []int{1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 6} {
		if limit == 0 {
			continue
		}
		page := series(t, s, store.Query{Host: "a", Name: "system.disk.io", Limit: limit})
		if n := len(page.Series[0].Times); n != want || page.Truncated != (limit < 6) {
			t.Errorf("limit %d: %d points, truncated %v; want %d, %v", limit, n, page.Truncated, want, limit < 6)
		}
	}
}
