package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// outageKills is how many agents TestKilledInAnOutage kills.
const outageKills = 24

// An agent that is killed in an outage, while it builds a batch of a minute,
// loses at most the tick under way. What was on disk is delivered by the next
// agent.
func TestKilledInAnOutage(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup
	defer running.Wait()
	for i := range outageKills / 4 {
		running.Go(func() {
			t.Run(fmt.Sprint("lane ", i), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(uint64(i), uint64(time.Now().UnixNano())))
				in := startIngest(t)
				dir := filepath.Join(t.TempDir(), "spool")
				env := in.agentEnv(t, "HEKA_INTERVAL=500ms", "HEKA_BATCH_INTERVAL=60s", "HEKA_COLLECTORS=load,memory,agent",
					"HEKA_SPOOL_DIR="+dir, "HEKA_DRAIN_MULTIPLIER=1000")
				for range 4 {
					killInOutage(t, rng, append(env, "HEKA_ENDPOINT=https://"+freeAddress(t)+"/v1/batches"), dir)
				}
				wantAllOf(t, in, env, dir)
			})
		})
	}
}

// wantAllOf starts another agent on a spool, and fails unless everything in the
// spool arrives exactly once.
func wantAllOf(t *testing.T, in *ingest, env []string, dir string) {
	times := ticksIn(t, dir)
	agent := launch(t, append(env, "HEKA_BATCH_INTERVAL=1s"), "heka-insights-agent")
	within(t, "an empty spool", func() error {
		if n := len(ticksIn(t, dir)); n > 0 {
			return fmt.Errorf("%d batches wait", n)
		}
		return nil
	})
	if code := agent.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	in.terminate()
	db := readDatabase(t, in.data)
	for _, ms := range times {
		if _, there := slices.BinarySearch(db.times, ms); !there {
			t.Errorf("the tick at %d was on disk, and has not arrived", ms)
		}
	}
	for epoch, seqs := range db.seqs {
		if n := uint64(len(seqs)); seqs[n-1] != n {
			t.Errorf("epoch %016x: %d batches up to seq %d", epoch, n, seqs[n-1])
		}
	}
	if db.repeated != 0 || len(db.seqs) != 5 {
		t.Errorf("%d points twice, %d epochs of 5", db.repeated, len(db.seqs))
	}
}

func killInOutage(t *testing.T, rng *rand.Rand, env []string, dir string) {
	before := len(ticksIn(t, dir))
	agent := launch(t, env, "heka-insights-agent")
	agent.quiet = true
	agent.says(saysFailure)
	time.Sleep(time.Duration(rng.Int64N(int64(5 * time.Second))))
	agent.kill()
	killed := time.Now()
	times := ticksIn(t, dir)[before:]
	if len(times) == 0 {
		t.Fatal("no tick is on disk")
	}
	// The tick under way and, on a busy machine, the one before it may be lost.
	if age := killed.Sub(time.UnixMilli(times[len(times)-1])); age > 2*time.Second {
		t.Errorf("the newest tick on disk is %v old: %d of them", age, len(times))
	}
}

// ticksIn returns the times of the batches that wait in a spool, ascending.
func ticksIn(t *testing.T, dir string) (times []int64) {
	t.Helper()
	_, err := spool.Inspect(t.Context(), spool.Query{Dir: dir, Segments: true}, func(f spool.Finding) error {
		if f.Found == spool.FoundRecord && f.State == spool.StateWaiting {
			times = append(times, f.Record.TimeMS)
		}
		return nil
	})
	if err != nil {
		return nil // not created yet
	}
	slices.Sort(times)
	return times
}
