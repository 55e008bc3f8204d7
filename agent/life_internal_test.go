package agent

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/spool"
)

const (
	testInterval = 5 * time.Second
	testFlush    = 5 * time.Second
)

// life is a whole agent in virtual time, with a spool on the real disk, and an
// endpoint and a collector that stand in for the world.
type life struct {
	t        *testing.T
	rng      *rand.Rand
	parts    *parts
	endpoint *endpoint
	ticks    *ticks
	disk     *slowStore
	dir      string
}

func newLife(t *testing.T, seed uint64) life {
	t.Helper()
	l := life{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), endpoint: &endpoint{}, ticks: &ticks{}, dir: t.TempDir(),
	}
	modes := []ship.SpoolMode{ship.SpoolOnFailure, ship.SpoolAlways}
	cfg := Config{
		Exporter: "heka", ShutdownTimeout: testFlush,
		Collect: CollectConfig{Interval: testInterval, Timeout: 2 * time.Second, MaxSeries: 100},
		HTTP:    HTTPConfig{Compression: string(ship.CompressionNone)},
		Ship: ShipConfig{
			BatchInterval: 15 * time.Second, BatchMaxPoints: 20_000, BatchMaxBytes: 1 << 20, QueueMaxBytes: 4 << 20,
			RetryInitial: time.Second, RetryMax: time.Minute, RetryAfterMax: 15 * time.Minute,
			DrainFIFO: l.rng.IntN(4) == 0, DrainMultiplier: 4,
		},
		Spool: SpoolConfig{Mode: string(modes[l.rng.IntN(2)]), Dir: l.dir, MaxBytes: 256 << 20, Fsync: "never"},
	}
	sender := func(Config, Identity, Build) (ship.Sender, func(), error) { return l.endpoint, func() {}, nil }
	var err error
	l.parts, err = assemble(t.Context(), cfg, Identity{AgentID: "life"}, Build{}, sender, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	l.disk = &slowStore{store: l.parts.durable.store, changed: make(chan struct{})}
	l.parts.durable.store = l.disk
	// Alone, as a collector that asks the spool would wait for a mutex, and so
	// stop the virtual time.
	l.parts.scheduler = collect.NewScheduler(collectConfig(cfg, Identity{AgentID: "life"}, ""), []collect.Collector{l.ticks}, l.parts.queue, zerolog.Nop())
	return l
}

// ticks is a collector that numbers the ticks from 1 on.
type ticks struct {
	mu    sync.Mutex
	taken []time.Time
}

var tickNumber = metric.Desc{Name: "test.tick", Unit: "{ticks}", Kind: metric.Counter}

func (c *ticks) Name() string { return "ticks" }

func (c *ticks) Collect(_ context.Context, s *metric.Snapshot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken = append(c.taken, time.Now())
	s.Int(&tickNumber, int64(len(c.taken)))
	return nil
}

func (c *ticks) times() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken
}

// endpoint accepts batches, unless its behaviour says something else.
type endpoint struct {
	mu        sync.Mutex
	behaviour behaviour // guarded by mu; nil accepts
	bodies    [][]byte  // of the accepted batches; guarded by mu
}

// behaviour is what an endpoint does with a request.
type behaviour func(ctx context.Context) ship.Outcome

func answer(o ship.Outcome) behaviour { return func(context.Context) ship.Outcome { return o } }

func after(d time.Duration) behaviour {
	return func(ctx context.Context) ship.Outcome {
		select {
		case <-time.After(d):
			return ship.Outcome{Verdict: ship.Acked}
		case <-ctx.Done():
			return ship.Outcome{Cause: "cancelled"}
		}
	}
}

// hang answers nothing until the client gives up.
func hang(ctx context.Context) ship.Outcome {
	o := after(30 * time.Second)(ctx)
	return ship.Outcome{Verdict: ship.Retry, Cause: "timed out" + o.Cause, Overload: true}
}

func (e *endpoint) set(b behaviour) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.behaviour = b
}

func (e *endpoint) Send(ctx context.Context, p ship.Payload) ship.Outcome {
	e.mu.Lock()
	behaviour := e.behaviour
	e.mu.Unlock()
	o := ship.Outcome{Verdict: ship.Acked}
	if behaviour != nil {
		o = behaviour(ctx)
	}
	if o.Verdict == ship.Acked {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.bodies = append(e.bodies, append([]byte(nil), p.Body...))
	}
	return o
}

func (e *endpoint) Refreshed() bool { return false }

// numbers returns those of the ticks that were accepted.
func (e *endpoint) numbers(t *testing.T) (n []int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, body := range e.bodies {
		n = append(n, numbersOf(t, body)...)
	}
	return n
}

// spooled returns the numbers of the ticks that are on disk.
func (l life) spooled() (n []int64) {
	l.t.Helper()
	q := spool.Query{Dir: l.dir, Segments: true, Letters: true, Payloads: true}
	_, err := spool.Inspect(l.t.Context(), q, func(f spool.Finding) error {
		if f.Record.Payload != nil {
			n = append(n, numbersOf(l.t, f.Record.Payload)...)
		}
		return nil
	})
	if err != nil {
		l.t.Error(err)
	}
	return n
}

func numbersOf(t *testing.T, body []byte) (n []int64) {
	t.Helper()
	batch, err := encode.Native{}.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, column := range batch.Series {
		if column.Name != tickNumber.Name {
			continue
		}
		for _, v := range column.Values {
			n = append(n, v.Int64())
		}
	}
	return n
}

// slowStore is a spool whose disk takes its time for a batch.
type slowStore struct {
	store
	mu      sync.Mutex
	delay   time.Duration // guarded by mu
	changed chan struct{} // closed when delay changes; guarded by mu
}

// set sets the time from now on; what hangs by then goes on.
func (s *slowStore) set(delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = delay
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *slowStore) wait() {
	s.mu.Lock()
	delay, changed := s.delay, s.changed
	s.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-changed:
	}
}

func (s *slowStore) Append(r spool.Record) error {
	s.wait()
	return s.store.Append(r)
}
