package ship_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// A kill at any moment of an outage, and at any moment in mode always, costs
// nothing but the tick under way: what is being built is on disk too. The next
// process delivers each tick once.
func TestAKillCostsTheTickUnderWay(t *testing.T) {
	failures := map[string]ship.Outcome{
		"refused":     {Verdict: ship.Retry, Cause: "connection refused", NoConnection: true},
		"reset":       {Verdict: ship.Retry, Cause: "reset", MayBeContent: true},
		"500":         {Verdict: ship.Retry, Status: 500, Cause: "500", MayBeContent: true},
		"503":         {Verdict: ship.Retry, Status: 503, Cause: "503"},
		"401":         {Verdict: ship.Pause, Status: 401, Cause: "401"},
		"no such URL": {Verdict: ship.Pause, Status: 404, Cause: "404"},
	}
	for _, mode := range []ship.SpoolMode{ship.SpoolOnFailure, ship.SpoolAlways} {
		for _, every := range []time.Duration{time.Second, 5 * time.Second} {
			for name, o := range failures {
				t.Run(fmt.Sprintf("%s, %s, %s", mode, every, name), func(t *testing.T) {
					for seed := range uint64(10) {
						rng := rand.New(rand.NewPCG(seed, uint64(every)))
						synctest.Test(t, func(t *testing.T) { killInOutage(t, rng, mode, every, o) })
					}
				})
			}
		}
	}
}

func killInOutage(t *testing.T, rng *rand.Rand, mode ship.SpoolMode, every time.Duration, o ship.Outcome) {
	between := func(a, b time.Duration) time.Duration { return a + time.Duration(rng.Int64N(int64(b-a))) }
	cfg := config()
	cfg.Interval, cfg.Mode = every, mode
	r := start(t, cfg, 1<<20)
	r.runEvery(every, between(0, time.Minute))
	r.backend.fail(o)
	r.runEvery(every, between(10*time.Second, 10*time.Minute))
	if mode == ship.SpoolAlways && rng.IntN(2) == 0 {
		r.backend.set(nil)
		r.runEvery(every, between(0, time.Minute))
	}
	failed := r.shipper.Stats().Failures > 0
	left := r.spool.left()
	accepted := len(r.backend.accepted)
	arrived := r.backend.ticks()
	r.stop()
	r.backend.accepted = r.backend.accepted[:accepted] // what the dead process did not do

	next := config()
	next.Agent.Epoch++
	q := start(t, next, 1<<20)
	q.spool.mu.Lock()
	q.spool.entries = left
	q.spool.mu.Unlock()
	time.Sleep(2 * time.Hour)
	synctest.Wait()
	all := slices.Concat(arrived, q.backend.ticks())
	slices.Sort(all)
	if n := int64(len(all)); n != r.produced && (failed || mode == ship.SpoolAlways) {
		t.Errorf("%d ticks arrived of %d", n, r.produced)
	}
	for i, v := range all {
		if v != int64(i)+1 {
			t.Fatalf("tick %d is missing or repeated", i+1)
		}
	}
	q.stop()
}

// runEvery ticks at another interval than the rig's.
func (r *rig) runEvery(every, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(every)
		r.tick()
	}
}

// left is what a process finds when this one is killed now.
func (s *memorySpool) left() []ship.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.entries)
	if n := len(s.draft); n > 0 && !slices.ContainsFunc(all, func(e ship.Entry) bool {
		return e.Epoch == s.draft[0].Epoch && e.Seq >= s.draft[0].Seq
	}) {
		all = append(all, s.draft...)
	}
	return all
}

// What the draft holds is never sent while the draft is there: a kill between the
// two would send it twice. A healthy agent in mode on_failure keeps none.
func TestADraftEndsBeforeItsBatchIsSent(t *testing.T) {
	for _, mode := range []ship.SpoolMode{ship.SpoolOnFailure, ship.SpoolAlways} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.Mode = mode
			r := start(t, cfg, 1<<20)
			drafts := 0
			watch := func(p ship.Payload) ship.Outcome {
				r.spool.mu.Lock()
				defer r.spool.mu.Unlock()
				if b := decode(p); len(r.spool.draft) > 0 && b.Agent.Seq >= r.spool.draft[0].Seq {
					t.Errorf("%s is sent with a draft from seq %d on", p.ID, r.spool.draft[0].Seq)
				}
				drafts += len(r.spool.draft)
				return ship.Outcome{}
			}
			r.backend.set(func(p ship.Payload) ship.Outcome { watch(p); return ship.Outcome{Verdict: ship.Acked} })
			r.run(5 * time.Minute)
			if mode == ship.SpoolOnFailure && (drafts > 0 || r.spool.drafted > 0) {
				t.Errorf("a healthy agent kept %d ticks", r.spool.drafted)
			}
			r.backend.set(func(p ship.Payload) ship.Outcome {
				watch(p)
				return ship.Outcome{Verdict: ship.Retry, Cause: "connection refused", NoConnection: true}
			})
			r.run(10 * time.Minute)
			if r.spool.drafted == 0 {
				t.Error("no tick was kept in an outage")
			}
			r.spool.setBroken(true)
			r.run(2 * time.Minute)
			r.spool.setBroken(false)
			r.backend.set(func(p ship.Payload) ship.Outcome { watch(p); return ship.Outcome{Verdict: ship.Acked} })
			r.run(20 * time.Minute)
			r.stop()
			r.wantEveryTick()
		})
	}
}
