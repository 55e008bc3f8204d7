package store_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/store"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

func TestAddThenRead(t *testing.T) {
	s, _ := start(t, t.TempDir())
	b := batch("a", 7, 1)
	b.Series[1].StartMS = base - 5
	b.Series[0].Values[1] = wire.Value{}
	if ack := add(t, s, b, wire.Accepted); ack.Points != 5 {
		t.Errorf("points = %d, want 5", ack.Points)
	}
	h := oneHost(t, s)
	wantCounts(t, h, 1, 5, 0, 0, 3, 0)
	if h.Host != "a.example" || h.Version != "1.0" || h.Epoch != "0000000000000007" || h.Seq != 1 || h.Epochs != 1 ||
		h.LastTickMS != b.Times[2] || h.Loss["queue_full"] != 1 || h.Resource["host.name"] != "a.example" {
		t.Errorf("host = %+v", h)
	}
	for _, host := range []string{"a", "a.example"} {
		page := series(t, s, store.Query{Host: host})
		if len(page.Series) != 2 || page.Truncated {
			t.Fatalf("host %s: %+v", host, page)
		}
		cpu, disk := page.Series[0], page.Series[1]
		if !slices.Equal(cpu.Times, []int64{b.Times[0], b.Times[2]}) || !slices.Equal(cpu.Values, []wire.Value{wire.Float(0), wire.Float(0.25)}) {
			t.Errorf("cpu = %+v: a null is no point", cpu)
		}
		if disk.Labels["device"] != "sda" || disk.StartMS != base-5 || disk.Kind != "counter" || disk.AgentID != "a" ||
			!slices.Equal(disk.Values, []wire.Value{wire.Int(0), wire.Int(5000), wire.Int(10000)}) {
			t.Errorf("disk = %+v", disk)
		}
	}
	if page := series(t, s, store.Query{Host: "b"}); len(page.Series) != 0 {
		t.Errorf("another host: %+v", page)
	}
}

func TestDuplicatesAreKnownAfterReopening(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, dir)
	add(t, s, batch("a", 7, 1), wire.Accepted)
	add(t, s, batch("a", 7, 1), wire.Duplicate)
	stop()
	s, _ = start(t, dir)
	if ack := add(t, s, batch("a", 7, 1), wire.Duplicate); ack.Points != 6 {
		t.Errorf("points = %d, want 6", ack.Points)
	}
	add(t, s, batch("a", 8, 1), wire.Accepted)
	h := oneHost(t, s)
	wantCounts(t, h, 2, 12, 2, 0, 6, 0)
	if h.Epochs != 2 {
		t.Errorf("epochs = %d, want 2", h.Epochs)
	}
}

func TestGapsFill(t *testing.T) {
	s, _ := start(t, t.TempDir())
	for _, step := range []struct {
		seq           uint64
		gaps, missing int64
	}{
		{1, 0, 0},
		{5, 3, 9}, // 2, 3 and 4 are on their way
		{3, 2, 6},
		{2, 1, 3},
		{4, 0, 0},
		{8, 2, 6},
	} {
		add(t, s, batch("a", 7, step.seq), wire.Accepted)
		h := oneHost(t, s)
		if h.Gaps != step.gaps || h.MissingTicks != step.missing {
			t.Errorf("after seq %d: gaps %d, missing ticks %d, want %d, %d", step.seq, h.Gaps, h.MissingTicks, step.gaps, step.missing)
		}
	}
}

// Late batches in any order lead to the same totals, and do not overwrite what
// the newest batch said about the host.
func TestOrderDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		var batches []*wire.Batch
		for seq := uint64(1); seq <= 12; seq++ {
			whole := batch("a", 7, seq)
			if seq == 6 { // six ticks are missing from here on
				whole.Times[2] += 6 * interval
			}
			if seq > 6 {
				whole = batchAt("a", 7, seq, whole.Times[0]+6*interval, 3)
			}
			if seq%4 == 0 {
				batches = append(batches, part(whole, "/0", 0, 1), part(whole, "/1", 1, 3))
			} else {
				batches = append(batches, whole)
			}
		}
		random.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
		s, stop := start(t, t.TempDir())
		for _, b := range batches {
			add(t, s, b, wire.Accepted)
		}
		h := oneHost(t, s)
		wantCounts(t, h, 15, 72, 0, 0, 36, 6)
		if h.Seq != 12 || h.Loss["queue_full"] != 12 || h.Latest.DiskRead == nil || *h.Latest.DiskRead != 1000 {
			t.Errorf("host = %+v", h)
		}
		stop()
	}
}

func TestSeriesRangeAndLimit(t *testing.T) {
	s, _ := start(t, t.TempDir())
	for seq := uint64(1); seq <= 10; seq++ {
		add(t, s, batch("a", 7, seq), wire.Accepted)
	}
	tick := func(i int64) int64 { return base + i*interval }
	for _, c := range []struct {
		name      string
		query     store.Query
		first, n  int64
		truncated bool
	}{
		{"all", store.Query{}, 0, 30, false},
		{"bounds are included", store.Query{FromMS: tick(4), ToMS: tick(10)}, 4, 7, false},
		{"between ticks", store.Query{FromMS: tick(4) + 1, ToMS: tick(10) - 1}, 5, 5, false},
		{"newest within the limit", store.Query{Limit: 4}, 26, 4, true},
		{"limit just met", store.Query{Limit: 30}, 0, 30, false},
		{"limit in a range", store.Query{FromMS: tick(2), ToMS: tick(8), Limit: 2}, 7, 2, true},
	} {
		c.query.Host, c.query.Name = "a", "system.disk.io"
		page := series(t, s, c.query)
		if len(page.Series) != 1 || page.Truncated != c.truncated {
			t.Errorf("%s: %+v", c.name, page)
			continue
		}
		got := page.Series[0]
		if int64(len(got.Times)) != c.n || got.Times[0] != tick(c.first) || got.Values[0] != wire.Int(c.first*interval) {
			t.Errorf("%s: %d points from %d, want %d from %d", c.name, len(got.Times), (got.Times[0]-base)/interval, c.n, c.first)
		}
	}
	if page := series(t, s, store.Query{Host: "a", FromMS: tick(1000)}); len(page.Series) != 0 {
		t.Errorf("series without a point in the range are listed: %+v", page)
	}
}

func TestConcurrentAdds(t *testing.T) {
	s, _ := start(t, t.TempDir())
	var wg sync.WaitGroup
	for agent := range 8 {
		wg.Go(func() {
			for seq := uint64(1); seq <= 10; seq++ {
				if _, err := s.Add(batch(string(rune('a'+agent)), uint64(agent)+1, seq)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	hosts, err := s.Hosts(context.Background())
	if err != nil || len(hosts) != 8 {
		t.Fatalf("%d hosts, %v", len(hosts), err)
	}
	for _, h := range hosts {
		wantCounts(t, h, 10, 60, 0, 0, 30, 0)
	}
}

func TestAddIsBounded(t *testing.T) {
	s, err := store.Open(context.Background(), t.TempDir(), store.Config{Retention: time.Hour, QueueBatches: 2})
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan error, 3)
	for seq := range uint64(3) {
		go func() { _, err := s.Add(batch("a", 7, seq+1)); answers <- err }()
	}
	// Run has not started, so one of the three finds the queue full.
	if err := <-answers; !errors.Is(err, store.ErrBusy) {
		t.Fatalf("Add = %v, want ErrBusy", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the waiting batches are still committed
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Add(batch("a", 7, 9)); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Add after Run = %v, want ErrClosed", err)
	}
}

// A batch that cannot be stored fails alone; the batches that wait with it are
// stored.
func TestFailureStaysAlone(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(context.Background(), dir, store.Config{Retention: time.Hour, QueueBatches: 16})
	if err != nil {
		t.Fatal(err)
	}
	sqlOn(t, dir, `CREATE TRIGGER fail BEFORE INSERT ON chunks WHEN NEW.first_ms = `+
		`(SELECT first_ms FROM batches WHERE seq = 3) BEGIN SELECT RAISE(ABORT, 'cannot'); END`)
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := 1; i < len(errs); i++ {
		wg.Go(func() { _, errs[i] = s.Add(batch("a", 7, uint64(i))) })
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	wg.Wait()
	for i, err := range errs {
		if failed := err != nil; failed != (i == 3) {
			t.Errorf("seq %d: %v", i, err)
		}
	}
	wantCounts(t, oneHost(t, s), 4, 24, 0, 1, 12, 3)
	sqlOn(t, dir, `DROP TRIGGER fail`)
	add(t, s, batch("a", 7, 3), wire.Accepted)
	wantCounts(t, oneHost(t, s), 5, 30, 0, 0, 15, 0)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	ctx := context.Background()
	cfg := store.Config{Retention: time.Hour, QueueBatches: 1}
	dir := filepath.Join(t.TempDir(), "with space", "100%?#")
	_, stop := startWith(t, dir, cfg)
	if _, err := store.Open(ctx, dir, cfg); !errors.Is(err, store.ErrInUse) {
		t.Errorf("second Open = %v, want ErrInUse", err)
	}
	stop()
	sqlOn(t, dir, "PRAGMA user_version = 99")
	if _, err := store.Open(ctx, dir, cfg); err == nil || !strings.Contains(err.Error(), "schema version 99") {
		t.Errorf("Open of a later version = %v", err)
	}
}

// sqlOn runs a statement on the store's file over a separate connection.
func sqlOn(t testing.TB, dir, statement string) {
	t.Helper()
	path := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23", " ", "%20").Replace(filepath.Join(dir, "ingest.db"))
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)") // Run may be writing
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkAdd(b *testing.B) {
	s, _ := start(b, b.TempDir())
	var wg sync.WaitGroup
	seq := uint64(0)
	for b.Loop() {
		seq++
		batch := batch("a", 7, seq)
		one := batch.Series[1]
		batch.Series = nil
		for i := range 80 {
			one.Labels = wire.Attributes{"device": string(rune('a' + i)), "direction": "read"}
			batch.Series = append(batch.Series, one)
		}
		if seq%64 == 0 {
			wg.Wait()
		}
		wg.Go(func() {
			if _, err := s.Add(batch); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}

// A single tick of another epoch, which a connection check may leave while an
// agent runs, counts as one more start. It adds no gap and no missing tick.
// With the agent's next batch, the loss shown is the agent's again.
func TestATickOfACheckBesideAnAgent(t *testing.T) {
	s, _ := start(t, t.TempDir())
	add(t, s, batch("a", 7, 1), wire.Accepted)
	add(t, s, batch("a", 7, 2), wire.Accepted)
	check := batchAt("a", 9, 1, base+5*interval+interval/3, 1)
	check.Loss = map[string]wire.Loss{"queue_full": {}}
	add(t, s, check, wire.Accepted)
	add(t, s, batch("a", 7, 3), wire.Accepted)
	h := oneHost(t, s)
	wantCounts(t, h, 4, 20, 0, 0, 10, 0)
	if h.Epochs != 2 || h.Epoch != wire.FormatEpoch(7) || h.Seq != 3 || h.Loss["queue_full"] != 3 {
		t.Errorf("host = %+v", h)
	}
}
