package ship_test

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
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
	rng     *rand.Rand
	fail    float64
	blind   bool
	cap     int
	ledger  ship.Ledger
	evicted map[string]int64
	buf     []byte
}

func (s *chaosSpool) Append(e ship.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rng.Float64() < s.fail {
		return errors.New("disk full")
	}
	e.Payload = bytes.Clone(e.Payload)
	s.entries = append(s.entries, e)
	for s.cap > 0 && len(s.entries) > s.cap {
		oldest := s.entries[0]
		s.entries = s.entries[1:]
		s.ledger.Lose("spool_evicted", oldest.Items)
		s.evicted[metric.BatchID(oldest.Epoch, oldest.Seq)] = oldest.Items
	}
	return nil
}

func (s *chaosSpool) Oldest() (ship.Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.entries) == 0 || s.blind {
		return ship.Entry{}, false
	}
	e := s.entries[0]
	s.buf = append(s.buf[:0], e.Payload...)
	e.Payload = s.buf
	return e, true
}

func (s *chaosSpool) SetAside(epoch, seq uint64, reason string) error {
	s.mu.Lock()
	broken := s.rng.Float64() < s.fail
	s.mu.Unlock()
	if broken {
		return errors.New("disk full")
	}
	return s.memorySpool.SetAside(epoch, seq, reason)
}

// chaosBackend answers at random, and refuses some batches for good.
type chaosBackend struct {
	mu             sync.Mutex
	rng            *rand.Rand
	reject, accept float64
	poison         map[string]bool
}

func (b *chaosBackend) answer(p ship.Payload) ship.Outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.poison[p.ID] || b.rng.Float64() < b.reject {
		if b.rng.IntN(3) == 0 {
			b.poison[p.ID] = true
		}
		return ship.Outcome{Verdict: ship.Reject, Cause: "400"}
	}
	if b.rng.Float64() >= b.accept {
		verdict := pick(b.rng, ship.Retry, ship.Pause)
		return ship.Outcome{Verdict: verdict, Cause: "x", Overload: b.rng.IntN(2) == 0}
	}
	return ship.Outcome{Verdict: ship.Acked}
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

func chaosConfig(rng *rand.Rand) ship.Config {
	cfg := config()
	cfg.FIFO = pick(rng, false, true)
	cfg.Mode = pick(rng, ship.SpoolOff, ship.SpoolOnFailure, ship.SpoolAlways)
	cfg.Rules.BatchInterval = pick[time.Duration](rng, 5, 7, 15, 60, 300) * time.Second
	cfg.BatchMaxPoints = pick(rng, 1, 3, 10, 20000)
	cfg.BatchMaxBytes = pick[int64](rng, 4<<10, 1<<20)
	cfg.Rules.DrainMultiplier = pick[float64](rng, 1, 4, 100)
	return cfg
}

var seeds = flag.Uint64("seeds", 20, "runs of the chaos test")

// Whatever fails, in whatever order, with the clock stepping and the agent
// ending in the midst of it: each point is delivered, or spooled, or counted.
func TestEveryPointIsAccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { accountForAll(t, 353) }) // refused, but evicted meanwhile
	for seed := range *seeds {
		synctest.Test(t, func(t *testing.T) { accountForAll(t, seed) })
	}
}

func accountForAll(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	cfg := chaosConfig(rng)
	queueBytes := pick[int64](rng, 4<<10, 16<<10, 4<<20)
	spool := &chaosSpool{rng: rand.New(rand.NewPCG(seed, 2)), cap: pick(rng, 0, 0, 5, 50), evicted: make(map[string]int64)}
	backend := &chaosBackend{rng: rand.New(rand.NewPCG(seed, 3)), accept: 1, poison: make(map[string]bool)}
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
	for _, a := range r.backend.accepted {
		delivered += a.batch.Points()
		twice += spool.evicted[a.batch.ID()] // evicted while its request was under way
	}
	for _, e := range spool.entries {
		if !r.backend.seen[metric.BatchID(e.Epoch, e.Seq)] {
			spooled += e.Items
		}
	}
	produced := r.produced * int64(points)
	var dead int64
	for _, e := range spool.dead {
		dead += e.Items
	}
	if sum := delivered + spooled + dead + r.lost() - twice; sum != produced {
		t.Errorf("seed %d: delivered %d + spooled %d + dead %d + lost %v = %d, want %d",
			seed, delivered, spooled, dead, r.ledger.Losses(), sum, produced)
	}
}

func disturb(rng *rand.Rand, r *rig, spool *chaosSpool, backend *chaosBackend) {
	backend.mu.Lock()
	backend.reject = pick(rng, 0, 0, 0, 0.05, 0.5, 1)
	backend.accept = pick(rng, 1, 1, 0.5, 0, 0.9)
	backend.mu.Unlock()
	spool.mu.Lock()
	spool.fail = pick(rng, 0, 0, 0.5, 1)
	spool.blind = rng.IntN(5) == 0
	spool.mu.Unlock()
	r.backend.mu.Lock()
	r.backend.delay = pick(rng, 0, 0, 100*time.Millisecond, 8*time.Second, 40*time.Second)
	r.backend.mu.Unlock()
}
