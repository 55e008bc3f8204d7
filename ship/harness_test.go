package ship_test

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

const interval = 5 * time.Second

var (
	counterDesc = &metric.Desc{Name: "test.ticks", Unit: "{ticks}", Kind: metric.Counter}
	padDesc     = &metric.Desc{Name: "test.pad", Unit: "1"}
)

// backend is a Sender that decodes what it is sent. Its behaviour may change
// during a test; by default it accepts everything at once.
type backend struct {
	mu        sync.Mutex
	answer    func(p ship.Payload) ship.Outcome
	delay     time.Duration
	rejects   int64 // points of each batch
	mute      bool  // what it accepts it does not acknowledge
	refreshed bool
	accepted  []arrival // each batch once, in order of arrival
	seen      map[string]bool
	requests  []time.Time
	repeated  int
}

type arrival struct {
	at    time.Time
	batch *metric.Batch
}

func (b *backend) Send(ctx context.Context, p ship.Payload) ship.Outcome {
	b.mu.Lock()
	answer, delay := b.answer, b.delay
	b.requests = append(b.requests, time.Now())
	b.refreshed = false
	b.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ship.Outcome{Cause: "cancelled"}
		}
	}
	o := ship.Outcome{Verdict: ship.Acked, RejectedPoints: b.rejects}
	if answer != nil {
		if o = answer(p); o.Verdict != ship.Acked {
			return o
		}
	}
	batch := decode(p)
	for _, i := range o.RejectedSeries {
		clear(batch.Series[i].Values)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen[p.ID] {
		b.repeated++
	} else {
		b.seen[p.ID] = true
		b.accepted = append(b.accepted, arrival{time.Now(), batch})
	}
	if b.mute {
		return ship.Outcome{Cause: "reset", MayBeContent: true}
	}
	return o
}

// decode returns a payload's batch.
func decode(p ship.Payload) *metric.Batch {
	plain, err := ship.Decompress(p.Body)
	if err != nil {
		panic(err)
	}
	batch, err := encode.Native{}.Decode(plain)
	if err != nil || batch.ID() != p.ID || batch.Points() != p.Points || ship.CompressionOf(p.Body) != p.Compression {
		panic("the shipper sent a body that is not the batch it names")
	}
	return batch
}

// valuesOf returns the values of the series of one name.
func valuesOf(b *metric.Batch, name string) (values []int64) {
	for _, column := range b.Series {
		for _, v := range column.Values {
			if column.Name == name && !v.IsNull() {
				values = append(values, v.Int64())
			}
		}
	}
	return values
}

func (b *backend) Refreshed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refreshed
}

// set changes the answer to every request from now on; nil accepts.
func (b *backend) set(answer func(ship.Payload) ship.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

// setMute has it acknowledge nothing of what it accepts.
func (b *backend) setMute(mute bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mute = mute
}

func (b *backend) fail(o ship.Outcome) { b.set(func(ship.Payload) ship.Outcome { return o }) }

// ticks returns the values of test.ticks that arrived, sorted.
func (b *backend) ticks() []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var got []int64
	for _, a := range b.accepted {
		got = append(got, valuesOf(a.batch, counterDesc.Name)...)
	}
	slices.Sort(got)
	return got
}

func (b *backend) requestCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.requests)
}

// rig is a shipper with a producer of one point a tick, in a bubble.
type rig struct {
	t       *testing.T
	backend *backend
	spool   *memorySpool
	ledger  *ship.MemoryLedger
	queue   *ship.Queue
	shipper *ship.Shipper
	log     *bytes.Buffer

	produced int64
	snapshot *metric.Snapshot
	done     chan struct{}
	ended    time.Time
}

func config() ship.Config {
	return ship.Config{
		Agent:           metric.Agent{ID: "agent-1", Version: "test", Epoch: 0xabcdef},
		Interval:        interval,
		BatchMaxPoints:  20000,
		BatchMaxBytes:   1 << 20,
		Compression:     ship.CompressionNone,
		Mode:            ship.SpoolOnFailure,
		ShutdownTimeout: 5 * time.Second,
		Rules: ship.Rules{
			RetryInitial:    time.Second,
			RetryMax:        time.Minute,
			RetryAfterMax:   15 * time.Minute,
			BatchInterval:   15 * time.Second,
			DrainMultiplier: 4,
		},
	}
}

// start runs a shipper; call it inside of a bubble.
func start(t *testing.T, cfg ship.Config, queueBytes int64) *rig {
	t.Helper()
	return startWith(t, cfg, queueBytes, nil)
}

// startWith takes another spool than the rig's own.
func startWith(t *testing.T, cfg ship.Config, queueBytes int64, other ship.Spool) *rig {
	t.Helper()
	r := &rig{
		t: t, backend: &backend{seen: make(map[string]bool)}, spool: &memorySpool{}, ledger: &ship.MemoryLedger{},
		queue: ship.NewQueue(queueBytes), snapshot: metric.NewSnapshot(0),
		log: &bytes.Buffer{}, done: make(chan struct{}),
	}
	spool := other
	if spool == nil && cfg.Mode != ship.SpoolOff {
		spool = r.spool
	}
	shipper, err := ship.New(cfg, r.queue, encode.Native{}, r.backend, spool, r.ledger, zerolog.New(zerolog.SyncWriter(r.log)))
	if err != nil {
		t.Fatal(err)
	}
	r.shipper = shipper
	go func() {
		defer close(r.done)
		if err := shipper.Run(t.Context()); err != nil {
			t.Errorf("Run = %v", err)
		}
		r.ended = time.Now()
	}()
	return r
}

// tick puts one point, numbered from 1.
func (r *rig) tick() { r.wideTick(1, 0) }

// wideTick puts a tick of several points, with the wall clock off by skew.
func (r *rig) wideTick(points int, skew time.Duration) {
	r.produced++
	r.snapshot.Reset(time.Now().Add(skew).UnixMilli())
	r.snapshot.Int(counterDesc, r.produced)
	for i := 1; i < points; i++ {
		r.snapshot.Int(padDesc, r.produced*7919+int64(i), metric.L("n", strconv.Itoa(i)))
	}
	r.queue.Put(r.snapshot)
	synctest.Wait()
}

// run ticks every interval for d.
func (r *rig) run(d time.Duration) { r.runWide(d, 1) }

func (r *rig) runWide(d time.Duration, points int) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(interval)
		r.wideTick(points, 0)
	}
}

// stop closes the queue and waits for the flush.
func (r *rig) stop() {
	r.queue.Close()
	<-r.done
}

// spooled returns how many ticks are in the spool.
func (r *rig) spooled() (n int64) {
	for _, e := range r.spool.entries {
		n += e.Items
	}
	return n
}

// arrived returns how many points arrived, and fails if one did twice.
func (r *rig) arrived() (n int64) {
	r.t.Helper()
	seen := make(map[string]bool)
	for _, a := range r.backend.accepted {
		n += a.batch.Points()
		for _, c := range a.batch.Series {
			name := c.Name
			for _, l := range c.Series.Labels {
				name += "," + l.Value
			}
			for i, v := range c.Values {
				if !v.IsNull() {
					seen[name+"@"+strconv.FormatInt(a.batch.Times[i], 10)] = true
				}
			}
		}
	}
	if int64(len(seen)) != n {
		r.t.Errorf("%d points arrived, but only %d different ones", n, len(seen))
	}
	return n
}

// largest returns the size of the largest body in the spool.
func (r *rig) largest() (bytes int) {
	for _, e := range r.spool.entries {
		bytes = max(bytes, len(e.Payload))
	}
	return bytes
}

// setAside returns how many points are in dead letters.
func (r *rig) setAside() (n int64) { return r.setAsideIn(r.spool) }

func (r *rig) setAsideIn(s *memorySpool) (n int64) {
	for _, e := range s.dead {
		n += e.Items
	}
	return n
}

func (r *rig) lost() (n int64) {
	for _, l := range r.ledger.Losses() {
		n += l.Points
	}
	return n
}

// wantEveryTick fails unless the ticks arrived all, each exactly once.
func (r *rig) wantEveryTick() {
	r.t.Helper()
	got := r.backend.ticks()
	if int64(len(got)) != r.produced {
		r.t.Errorf("%d ticks arrived, want %d", len(got), r.produced)
	}
	for i, v := range got {
		if v != int64(i)+1 {
			r.t.Errorf("tick %d is missing or repeated", i+1)
			return
		}
	}
	if lost := r.lost(); lost != 0 {
		r.t.Errorf("%d points counted as lost, want 0", lost)
	}
}

func (r *rig) logLines() int { return bytes.Count(r.log.Bytes(), []byte("\n")) }
