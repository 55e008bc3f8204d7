package e2e_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/spool"
)

var (
	rounds   = flag.Int("rounds", 200, "how many rounds of kills TestKills goes through in mode always, and a quarter as many in mode on_failure")
	killSeed = flag.Uint64("killseed", 0, "seed of TestKills; 0 draws one")
)

// Several pairs of agent and ingest run at the same time, because they wait
// most of the time.
const (
	lanesAlways    = 6
	lanesOnFailure = 2
)

// TestKills kills agents, ingests or both with SIGKILL at random moments. In
// the end the ingest's database must contain every batch that it acknowledged
// and every batch that was ever on the agent's disk, in parts or whole. Each
// point must be there exactly once, seq must have no gaps, and no loss may be
// counted. In mode always that includes every batch that left an agent; in mode
// on_failure, a batch that was under way when the agent was killed may be
// missing.
func TestKills(t *testing.T) {
	t.Parallel()
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("again: -killseed %d", seed)
	var running sync.WaitGroup
	var resent atomic.Int64
	for i := range lanesAlways + lanesOnFailure {
		mode, share := "always", *rounds/lanesAlways
		if i >= lanesAlways {
			mode, share = "on_failure", *rounds/4/lanesOnFailure
		}
		running.Go(func() {
			t.Run(fmt.Sprint(mode, i), func(t *testing.T) {
				resent.Add(newLane(t, mode, seed+uint64(i)).run(share + 1))
			})
		})
	}
	running.Wait()
	if resent.Load() == 0 {
		t.Error("no batch was sent again after its ack: the kills put nothing to the test")
	}
}

// started is part of the line that an agent logs when it runs.
const started = `"message":"started"`

// lane is an agent and its ingest, which are killed and restarted many times.
type lane struct {
	t     *testing.T
	mode  string
	rng   *rand.Rand
	dir   string // the spool
	env   []string
	in    *ingest
	relay *relay
	agent *process

	starts int              // starts of the agent
	spared map[string]int64 // points, by batch id, that were on disk when an agent was killed
}

func newLane(t *testing.T, mode string, seed uint64) *lane {
	in := startIngest(t)
	l := &lane{
		t: t, mode: mode, rng: rand.New(rand.NewPCG(seed, 0)), dir: filepath.Join(t.TempDir(), "spool"),
		in: in, relay: newRelay(in, seed), spared: make(map[string]int64),
	}
	server := httptest.NewServer(l.relay)
	t.Cleanup(server.Close)
	l.env = in.agentEnv(t, "HEKA_ENDPOINT="+server.URL+"/v1/batches", "HEKA_INTERVAL=100ms", "HEKA_BATCH_INTERVAL=100ms",
		"HEKA_RETRY_INITIAL=10ms", "HEKA_RETRY_MAX=250ms", "HEKA_DRAIN_MULTIPLIER=100", "HEKA_COLLECTORS=load,memory,agent",
		"HEKA_SPOOL_DIR="+l.dir, "HEKA_SPOOL_MODE="+mode)
	return l
}

// run returns how many batches were sent again after they were acknowledged.
func (l *lane) run(rounds int) (resent int64) {
	l.startAgent()
	for range rounds {
		l.round()
	}
	l.drain()
	l.in.terminate()
	db := readDatabase(l.t, l.in.data)
	l.judge(db)
	return db.duplicates
}

// round kills one or both at a random moment, and restarts what it killed after
// random delays.
func (l *lane) round() {
	time.Sleep(l.upTo(900 * time.Millisecond))
	victim := l.rng.IntN(3)
	if victim != 0 {
		l.in.quiet = true
		l.in.kill()
	}
	if victim != 1 {
		l.agent.kill()
		maps.Copy(l.spared, l.onDisk())
	}
	time.Sleep(l.upTo(200 * time.Millisecond))
	if victim != 1 {
		l.startAgent()
	}
	if victim != 0 {
		time.Sleep(l.upTo(200 * time.Millisecond))
		l.in.launch()
	}
}

func (l *lane) upTo(most time.Duration) time.Duration {
	return time.Duration(l.rng.Int64N(int64(most)))
}

func (l *lane) startAgent() {
	l.agent = launch(l.t, l.env, "heka-insights-agent")
	l.agent.quiet = true
	l.starts++
}

// onDisk returns the number of points of each batch that waits in the spool.
func (l *lane) onDisk() map[string]int64 {
	l.t.Helper()
	ids := make(map[string]int64)
	_, err := spool.Inspect(l.t.Context(), spool.Query{Dir: l.dir, Segments: true}, func(f spool.Finding) error {
		if f.Found == spool.FoundRecord && f.State == spool.StateWaiting {
			ids[metric.BatchID(f.Record.Epoch, f.Record.Seq)] = f.Record.Items
		}
		return nil
	})
	if err != nil && l.starts > 1 { // the first agent may not have created it yet
		l.t.Fatal(err)
	}
	return ids
}

// drain waits until everything has arrived, with an agent that produces little
// itself.
func (l *lane) drain() {
	l.agent.says(started) // before that, SIGTERM would kill it
	if code := l.agent.terminate(); code != 0 {
		l.t.Fatalf("exit code %d", code)
	}
	l.env = append(l.env, "HEKA_INTERVAL=2s", "HEKA_BATCH_INTERVAL=2s", "HEKA_DRAIN_MULTIPLIER=1000", "HEKA_SHUTDOWN_TIMEOUT=10s")
	within(l.t, "an empty spool", func() error {
		l.startAgent()
		l.agent.quiet = false
		l.agent.says(started)
		within(l.t, "a moment without a batch on disk", func() error {
			if n := len(l.onDisk()); n > 0 {
				return fmt.Errorf("%d batches wait", n)
			}
			return nil
		})
		if code := l.agent.terminate(); code != 0 {
			l.t.Fatalf("exit code %d", code)
		}
		if n := len(l.onDisk()); n > 0 {
			return fmt.Errorf("%d batches wait after the end", n)
		}
		return nil
	})
}

// judge compares what the ingest has with what it must have.
func (l *lane) judge(db database) {
	sent, acked := l.relay.seen()
	must := make(map[string]string)
	if l.mode == "always" {
		for _, id := range sent {
			must[id] = "left the agent"
		}
	}
	for _, id := range acked {
		must[id] = "was acknowledged"
	}
	for id, points := range l.spared {
		if got := db.points[id]; got != points {
			l.t.Errorf("%d points of batch %s arrived, %d were on disk", got, id, points)
		}
	}
	for id, why := range must {
		if !db.batches[id] {
			l.t.Errorf("batch %s is missing, and %s", id, why)
		}
	}
	for epoch, seqs := range db.seqs {
		if n := uint64(len(seqs)); seqs[n-1] != n {
			l.t.Errorf("epoch %016x: %d batches up to seq %d", epoch, n, seqs[n-1])
		}
	}
	for reason, points := range db.loss {
		if points != 0 {
			l.t.Errorf("%d points lost: %s", points, reason)
		}
	}
	if db.repeated != 0 || db.epochs != int64(len(db.seqs)) || len(db.seqs) > l.starts {
		l.t.Errorf("%d points twice, %d epochs counted, %d stored, of %d agents", db.repeated, db.epochs, len(db.seqs), l.starts)
	}
	lost := 0
	for _, id := range sent {
		if !db.batches[id] {
			lost++
		}
	}
	l.t.Logf("%d agents, %d of them came to a batch; %d batches and %d ticks arrived; sent again after their ack: %d; kept by the disk: %d; sent and lost: %d",
		l.starts, len(db.seqs), len(db.batches), len(db.times), db.duplicates, len(l.spared), lost)
	if l.mode == "always" && l.starts > 20 && len(l.spared) == 0 {
		l.t.Error("the kills put nothing to the test")
	}
}
