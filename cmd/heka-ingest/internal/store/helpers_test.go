package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/store"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

const interval = 5000

// start opens a store in dir and runs it. The returned function stops the
// store; it runs at the end of the test if it has not been called before.
func start(t testing.TB, dir string) (*store.Store, func()) {
	t.Helper()
	return startWith(t, dir, store.Config{Retention: 7 * 24 * time.Hour, QueueBatches: 256})
}

func startWith(t testing.TB, dir string, cfg store.Config) (*store.Store, func()) {
	t.Helper()
	s, err := store.Open(context.Background(), dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// batch returns batch seq of an agent, with two series and three ticks that
// follow those of batch seq-1. The first tick of batch 1 is base.
func batch(agent string, epoch, seq uint64) *wire.Batch {
	return batchAt(agent, epoch, seq, base+int64(seq-1)*3*interval, 3)
}

// base is far enough in the past that all ticks of a test are in the past.
var base = time.Now().Add(-time.Hour).UnixMilli()

func batchAt(agent string, epoch, seq uint64, firstMS int64, ticks int) *wire.Batch {
	b := &wire.Batch{
		ID:         wire.FormatEpoch(epoch) + wire.FormatEpoch(seq),
		Agent:      wire.Agent{ID: agent, Version: "1.0", Epoch: epoch, Seq: seq},
		Resource:   wire.Attributes{"host.name": agent + ".example"},
		IntervalMS: interval,
		Loss:       map[string]wire.Loss{"queue_full": {Points: int64(seq)}},
		Rejected:   []wire.Rejected{},
	}
	cpu := wire.Series{Name: "system.cpu.utilization", Unit: "1", Kind: "gauge"}
	disk := wire.Series{Name: "system.disk.io", Unit: "By", Kind: "counter", Labels: wire.Attributes{"device": "sda", "direction": "read"}}
	for i := range ticks {
		b.Times = append(b.Times, firstMS+int64(i)*interval)
		cpu.Values = append(cpu.Values, wire.Float(float64(i)/8))
		disk.Values = append(disk.Values, wire.Int((firstMS-base)+int64(i)*interval))
	}
	b.Series = []wire.Series{cpu, disk}
	return b
}

// part returns a part of b with the ticks from..to.
func part(b *wire.Batch, name string, from, to int) *wire.Batch {
	cut := *b
	cut.ID, cut.Part = b.ID+name, name
	cut.Times = b.Times[from:to]
	cut.Series = nil
	for _, s := range b.Series {
		s.Values = s.Values[from:to]
		cut.Series = append(cut.Series, s)
	}
	return &cut
}

func add(t testing.TB, s *store.Store, b *wire.Batch, status string) wire.Ack {
	t.Helper()
	ack, err := s.Add(b)
	if err != nil || ack.Status != status || ack.BatchID != b.ID {
		t.Fatalf("Add(%s) = %+v, %v, want %s", b.ID, ack, err, status)
	}
	return ack
}

func oneHost(t testing.TB, s *store.Store) wire.Host {
	t.Helper()
	hosts, err := s.Hosts(context.Background())
	if err != nil || len(hosts) != 1 {
		t.Fatalf("Hosts = %+v, %v, want one", hosts, err)
	}
	return hosts[0]
}

func series(t testing.TB, s *store.Store, q store.Query) wire.SeriesPage {
	t.Helper()
	if q.ToMS == 0 {
		q.ToMS = base + 24*3600_000
	}
	if q.Limit == 0 {
		q.Limit = 1000
	}
	page, err := s.Series(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func wantCounts(t testing.TB, h wire.Host, batches, points, duplicates, gaps, ticks, missing int64) {
	t.Helper()
	got := fmt.Sprintf("batches %d points %d duplicates %d gaps %d ticks %d missing %d",
		h.Batches, h.Points, h.Duplicates, h.Gaps, h.Ticks, h.MissingTicks)
	want := fmt.Sprintf("batches %d points %d duplicates %d gaps %d ticks %d missing %d",
		batches, points, duplicates, gaps, ticks, missing)
	if got != want {
		t.Errorf("host %s: %s\nwant %s", h.AgentID, got, want)
	}
}
