package store_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/store"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

const day = 24 * time.Hour

// points returns the number of points in one host's disk series.
func points(t *testing.T, s *store.Store, host string) int {
	t.Helper()
	page := series(t, s, store.Query{Host: host, Name: "system.disk.io", ToMS: 1 << 50, Limit: 100_000})
	if len(page.Series) == 0 {
		return 0
	}
	return len(page.Series[0].Times)
}

// Time passes while the store is closed, so that a week costs only one sweep.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cfg := store.Config{Retention: 2 * day, QueueBatches: 1}
		s, stop := startWith(t, dir, cfg)
		pass := func(d time.Duration) {
			stop()
			time.Sleep(d)
			s, stop = startWith(t, dir, cfg)
			synctest.Wait() // wait for the first sweep
		}
		first := batchAt("a", 7, 1, time.Now().UnixMilli(), 3)
		add(t, s, first, wire.Accepted)
		pass(day)
		add(t, s, batchAt("a", 7, 2, time.Now().UnixMilli(), 3), wire.Accepted)
		pass(day - time.Minute)
		if n := points(t, s, "a"); n != 6 {
			t.Errorf("%d points within retention, want 6", n)
		}
		time.Sleep(2*time.Minute + time.Second) // while running, a later sweep deletes
		synctest.Wait()
		if n := points(t, s, "a"); n != 3 {
			t.Errorf("%d points after the first batch's time, want 3", n)
		}
		// The points are gone but the id is not, because an agent may send the
		// batch again.
		pass(5 * day)
		add(t, s, first, wire.Duplicate)
		if n := points(t, s, "a"); n != 0 {
			t.Errorf("%d points after retention, want 0", n)
		}
		if h := oneHost(t, s); h.Batches != 2 || h.Points != 12 || h.Ticks != 6 {
			t.Errorf("totals fell: %+v", h)
		}
		// After MinDedupe without a batch, nothing is left of the agent.
		pass(store.MinDedupe + time.Minute)
		hosts, err := s.Hosts(context.Background())
		if err != nil || len(hosts) != 0 {
			t.Errorf("hosts = %+v, %v, want none", hosts, err)
		}
		add(t, s, first, wire.Accepted)
		stop()
	})
}

// Deleting continues in steps until everything is gone, and returns the space.
func TestRetentionReturnsSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cfg := store.Config{Retention: day, QueueBatches: 1}
		s, stop := startWith(t, dir, cfg)
		now := time.Now().UnixMilli()
		for seq := uint64(1); seq <= 8; seq++ {
			b := batchAt("a", 7, seq, now+int64(seq)*100, 1)
			disk := b.Series[1]
			for i := range 220 {
				disk.Labels = wire.Attributes{"device": strconv.Itoa(i)}
				b.Series = append(b.Series, disk)
			}
			add(t, s, b, wire.Accepted)
		}
		stop()
		full := size(t, dir)
		time.Sleep(9 * day)
		s, stop = startWith(t, dir, cfg)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := points(t, s, "a"); n != 0 {
			t.Errorf("%d points left", n)
		}
		stop()
		if left := size(t, dir); left > full/2 {
			t.Errorf("%d bytes of %d are left after everything was deleted", left, full)
		}
	})
}

// size returns the size of the database of a closed store.
func size(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "ingest.db"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
