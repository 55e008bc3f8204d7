package spool

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
)

var (
	simSeeds = flag.Uint64("sim.seeds", 60, "seeds that TestSimulation runs")
	simSeed  = flag.Uint64("sim.seed", 0, "the one seed that TestSimulation replays, with a trace under -v")
)

// TestSimulation has agents live one after the other on a disk that fails,
// before a network that fails, with a server that stores what it gets once and
// refuses some of it for good: series, ticks, single points, each by a status, a
// reset, or by leaving it out.
// The shipper, the queue and the spool are the real ones; time is virtual, and
// everything follows from the seed but the salts of segments, on which nothing
// depends. A life ends by a stop in order, a kill or a power cut, at any time
// and in the midst of any operation of the disk; in the last one all is well.
// Then each point that was ever produced is stored once, or there is one reason
// why it is not, and the counts of loss are exactly these. See books for what
// is checked on the way.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		simulate(t, *simSeed, t.Logf)
		return
	}
	var seed atomic.Uint64
	for worker := range 2 {
		t.Run(fmt.Sprint("worker ", worker), func(t *testing.T) {
			t.Parallel()
			for n := seed.Add(1); n <= *simSeeds && !t.Failed(); n = seed.Add(1) {
				simulate(t, n, func(string, ...any) {})
			}
		})
	}
}

// TestSimulationReplays runs seeds twice: a seed is worth printing only if it
// does the same again.
func TestSimulationReplays(t *testing.T) {
	for seed := range uint64(20) {
		var traces [2][]string
		for i := range traces {
			simulate(t, seed, func(format string, args ...any) { traces[i] = append(traces[i], fmt.Sprintf(format, args...)) })
		}
		for i, line := range traces[0] {
			if i >= len(traces[1]) || line != traces[1][i] {
				t.Fatalf("seed %d: line %d of its trace is %q, and not always", seed, i, line)
			}
		}
	}
}

// simulate runs one seed in a bubble.
func simulate(t *testing.T, seed uint64, log func(string, ...any)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(seed, log)
		defer func() {
			if r := recover(); r != nil {
				t.Fatalf("%v: panic: %v\n%s", w, r, debug.Stack())
			}
		}()
		if err := w.run(); err != nil {
			t.Fatalf("%v: %v", w, err)
		}
	})
}

// world is all that outlives an agent.
type world struct {
	seed       uint64
	rng        *rand.Rand
	disk       *simDisk
	net        *simNet
	books      *books
	cfg        Config
	mode       ship.SpoolMode
	queueBytes int64
	series     int
	slanders   bool // the network may refuse what is good
	resends    bool // somebody has letters sent again
	faults     []diskFault
	life       int
	produced   int64 // points
	skew       time.Duration
}

func newWorld(seed uint64, log func(string, ...any)) *world {
	rng := rand.New(rand.NewPCG(seed, 1))
	began := time.Now()
	disk := &simDisk{memFS: newMemFS(rand.New(rand.NewPCG(seed, 2)))}
	books := newBooks(disk, func(format string, args ...any) {
		log("%v "+format, append([]any{time.Since(began)}, args...)...)
	})
	disk.removed = books.removed
	w := &world{
		seed: seed, rng: rng, books: books, disk: disk,
		net:  &simNet{rng: rand.New(rand.NewPCG(seed, 3)), server: books.server},
		mode: oneOf(rng, ship.SpoolOnFailure, ship.SpoolAlways),
		cfg: Config{
			MaxBytes: oneOf[int64](rng, 16<<10, 32<<10, 128<<10),
			MaxAge:   oneOf(rng, 0, 0, time.Hour, 5*time.Minute),
			MinFree:  oneOf[int64](rng, 0, 1<<20),
			Fsync:    oneOf(rng, FsyncInterval, FsyncAlways, FsyncNever),
		},
		queueBytes: oneOf[int64](rng, 16<<10, 64<<10, 4<<20),
	}
	w.faults = oneOf(rng,
		[]diskFault{diskSound}, []diskFault{diskFull}, []diskFault{diskReadOnly}, []diskFault{diskNoSync},
		[]diskFault{diskFull, diskReadOnly, diskNoWrite, diskNoSync, diskNoRead, diskSlow})
	w.series, w.slanders = 2+rng.IntN(11), rng.IntN(2) == 0
	books.server.draw(rng, w.series)
	w.resends = rng.IntN(2) == 0 && books.server.unreadable == 0 // their letters have the ids of the batches
	books.log("%d series, slanders %t, resends %t, %v", w.series, w.slanders, w.resends, books.server)
	return w
}

func (w *world) String() string {
	return fmt.Sprintf("seed %d, life %d, %s, fsync %s, ended by %v before (go test ./spool -run TestSimulation -v -sim.seed=%d)",
		w.seed, w.life, w.mode, w.cfg.Fsync, w.books.how, w.seed)
}

func oneOf[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

func (w *world) run() error {
	for range 2 + w.rng.IntN(4) {
		w.life++
		if w.live(false); w.books.err != nil {
			return w.books.err
		}
	}
	w.life++
	w.live(true)
	w.books.balance()
	return w.books.err
}

// shipConfig is another one in each life.
func (w *world) shipConfig() ship.Config {
	return ship.Config{
		Agent:           metric.Agent{ID: "agent-1", Version: "test", Epoch: w.rng.Uint64()},
		Interval:        oneOf[time.Duration](w.rng, 5, 10) * time.Second,
		BatchMaxPoints:  max(oneOf(w.rng, 3, 20, 20000), w.series), // a tick at least
		BatchMaxBytes:   oneOf[int64](w.rng, 4<<10, 8<<10),
		Compression:     oneOf(w.rng, ship.CompressionNone, ship.CompressionNone, ship.CompressionGzip),
		Mode:            w.mode,
		FIFO:            w.rng.IntN(3) == 0,
		ShutdownTimeout: 5 * time.Second,
		Rules: ship.Rules{
			RetryInitial:    time.Second,
			RetryMax:        time.Minute,
			RetryAfterMax:   5 * time.Minute,
			BatchInterval:   oneOf[time.Duration](w.rng, 10, 15, 60) * time.Second,
			DrainMultiplier: oneOf[float64](w.rng, 2, 4, 100),
		},
	}
}
