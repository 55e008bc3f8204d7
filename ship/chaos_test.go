package ship_test

import (
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
)

// chaosSpool fails at random, cannot be read at times, and evicts its oldest
// entry over a cap. Like the real one it lends its entries out of one buffer.
type chaosSpool struct {
	memorySpool
	rng    *rand.Rand
	fail   float64
	blind  bool
	cap    int
	ledger ship.Ledger
	buf    []byte

	evicted []ship.ID
}

func (s *chaosSpool) Append(e ship.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rng.Float64() < s.fail {
		return errors.New("disk full")
	}
	s.append(e)
	for s.cap > 0 && len(s.entries) > s.cap {
		oldest := s.entries[0]
		s.entries = s.entries[1:]
		s.ledger.Lose("spool_evicted", oldest.Items)
		s.evicted = append(s.evicted, oldest.ID)
	}
	return nil
}

func (s *chaosSpool) Oldest(sinceMS int64, except []ship.ID) (ship.Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blind {
		return ship.Entry{}, false
	}
	e, ok := s.oldest(sinceMS, except)
	s.buf = append(s.buf[:0], e.Payload...)
	e.Payload = s.buf
	return e, ok
}

// whole are the batches that the spool counts as a whole, evicted or pending,
// though some of their points may have arrived.
func (s *chaosSpool) whole() map[ship.ID]bool {
	ids := make(map[ship.ID]bool)
	for _, e := range s.entries {
		ids[e.ID] = true
	}
	for _, id := range s.evicted {
		ids[id] = true
	}
	return ids
}

// chaosBackend answers at random, and refuses some points for good.
type chaosBackend struct {
	mu             sync.Mutex
	rng            *rand.Rand
	reject, accept float64
	poison         map[int64]bool // ticks
	limit          int            // bytes of a body; 0 is none
	compression    ship.Compression
	rejects        bool // takes batches without their first series
	bad            int  // refuses each series whose number is a multiple of it; 0: none
}

// refusesSeries reports whether a batch holds a series that is refused.
func (b *chaosBackend) refusesSeries(batch *metric.Batch) bool {
	return b.bad > 0 && slices.ContainsFunc(batch.Series, func(c metric.Column) bool {
		if len(c.Series.Labels) == 0 {
			return false
		}
		n, _ := strconv.Atoi(c.Series.Labels[0].Value)
		return n%b.bad == 0
	})
}

func (b *chaosBackend) answer(p ship.Payload) ship.Outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.rng.Float64() < b.reject:
		return ship.Outcome{Verdict: pick(b.rng, ship.Reject, ship.Decline, ship.TooLarge), Cause: "4xx"}
	case b.rng.Float64() >= b.accept:
		status := pick(b.rng, 0, 500, 503)
		return ship.Outcome{Verdict: pick(b.rng, ship.Retry, ship.Pause), Status: status, Cause: "x", Overload: b.rng.IntN(2) == 0}
	case b.compression != "" && p.Compression != ship.CompressionNone && p.Compression != b.compression:
		return ship.Outcome{Verdict: ship.Unsupported, Cause: "415"}
	case b.limit > 0 && len(p.Body) > b.limit:
		return ship.Outcome{Verdict: ship.TooLarge, Cause: "413"}
	}
	if len(b.poison) == 0 && !b.rejects && b.bad == 0 {
		return ship.Outcome{Verdict: ship.Acked}
	}
	batch := decode(p)
	for _, tick := range valuesOf(batch, counterDesc.Name) {
		if b.poison[tick] {
			return ship.Outcome{Verdict: ship.Reject, Status: 400, Cause: "400"}
		}
	}
	if b.refusesSeries(batch) {
		return ship.Outcome{Verdict: ship.Reject, Status: 400, Cause: "400"}
	}
	if b.rejects {
		var points int64
		for _, v := range batch.Series[0].Values {
			if !v.IsNull() {
				points++
			}
		}
		return ship.Outcome{Verdict: ship.Acked, RejectedPoints: points, RejectedSeries: []int{0}, Cause: "series"}
	}
	return ship.Outcome{Verdict: ship.Acked}
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

func chaosConfig(rng *rand.Rand) ship.Config {
	cfg := config()
	cfg.FIFO = pick(rng, false, true)
	cfg.Compression = pick(rng, ship.CompressionNone, ship.CompressionGzip, ship.CompressionZstd)
	cfg.Mode = pick(rng, ship.SpoolOff, ship.SpoolOnFailure, ship.SpoolAlways)
	cfg.Rules.BatchInterval = pick[time.Duration](rng, 5, 7, 15, 60, 300) * time.Second
	cfg.BatchMaxPoints = pick(rng, 1, 3, 10, 20000)
	cfg.BatchMaxBytes = pick[int64](rng, 4<<10, 1<<20)
	cfg.Rules.DrainMultiplier = pick[float64](rng, 1, 4, 100)
	return cfg
}

var seeds = flag.Uint64("seeds", 10, "runs of the chaos test")

// Whatever fails, in whatever order, with the clock stepping and the agent
// ending in the midst of it: each point is delivered, or spooled, or counted.
func TestEveryPointIsAccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { accountForAll(t, 353) }) // refused, but evicted meanwhile
	synctest.Test(t, func(t *testing.T) { accountForAll(t, 184) }) // evicted, but sent in parts from memory
	for seed := range *seeds {
		synctest.Test(t, func(t *testing.T) { accountForAll(t, seed) })
	}
}

func accountForAll(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	cfg := chaosConfig(rng)
	queueBytes := pick[int64](rng, 4<<10, 16<<10, 4<<20)
	spool := &chaosSpool{rng: rand.New(rand.NewPCG(seed, 2)), cap: pick(rng, 0, 0, 5, 50)}
	backend := &chaosBackend{rng: rand.New(rand.NewPCG(seed, 3)), accept: 1, poison: make(map[int64]bool)}
	for range rng.IntN(4) {
		backend.poison[1+rng.Int64N(2000)] = true
	}
	var other ship.Spool = spool
	if cfg.Mode == ship.SpoolOff {
		other = nil
	}
	r := startWith(t, cfg, queueBytes, other)
	spool.ledger = r.ledger
	r.backend.set(backend.answer)
	points := 1 + rng.IntN(20)
	for range 12 {
		disturb(rng, r, spool, backend)
		skew := pick(rng, 0, 0, -time.Hour, time.Hour)
		for end := time.Now().Add(time.Duration(rng.IntN(30)) * time.Minute); time.Now().Before(end); {
			time.Sleep(interval)
			r.wideTick(points, skew)
			if used := r.shipper.Stats().MemoryBytes; used > queueBytes {
				t.Fatalf("seed %d: %d bytes in memory, the bound is %d", seed, used, queueBytes)
			}
		}
	}
	asked := time.Now()
	r.stop()
	if took := r.ended.Sub(asked); took > cfg.ShutdownTimeout {
		t.Errorf("seed %d: the flush took %v", seed, took)
	}
	var delivered, spooled, twice int64
	whole := spool.whole()
	for _, a := range r.backend.accepted {
		delivered += a.batch.Points()
		if whole[ship.ID{Epoch: a.batch.Agent.Epoch, Seq: a.batch.Agent.Seq}] {
			twice += a.batch.Points()
		}
	}
	for _, e := range spool.entries {
		spooled += e.Items
	}
	produced := r.produced * int64(points)
	if sum := delivered + spooled + spool.deadPoints + r.lost() - twice; sum != produced {
		t.Errorf("seed %d: delivered %d + spooled %d + dead %d + lost %v - twice %d = %d, want %d",
			seed, delivered, spooled, spool.deadPoints, r.ledger.Losses(), twice, sum, produced)
	}
	if dead := r.setAsideIn(&spool.memorySpool); dead != spool.deadPoints {
		t.Errorf("seed %d: %d points are dead, and %d in letters", seed, spool.deadPoints, dead)
	}
}

func disturb(rng *rand.Rand, r *rig, spool *chaosSpool, backend *chaosBackend) {
	backend.mu.Lock()
	backend.reject = pick(rng, 0, 0, 0, 0.05, 0.5, 1)
	backend.accept = pick(rng, 1, 1, 0.5, 0, 0.9)
	backend.limit = pick(rng, 0, 0, 0, 500, 2000)
	backend.compression = pick(rng, "", "", "", ship.CompressionNone, ship.CompressionGzip)
	backend.rejects = rng.IntN(8) == 0
	backend.bad = pick(rng, 0, 0, 0, 7, 3, 1)
	backend.mu.Unlock()
	spool.mu.Lock()
	spool.fail = pick(rng, 0, 0, 0.5, 1)
	spool.blind = rng.IntN(5) == 0
	spool.mu.Unlock()
	r.backend.mu.Lock()
	r.backend.delay = pick(rng, 0, 0, 100*time.Millisecond, 8*time.Second, 40*time.Second)
	r.backend.mu.Unlock()
}
