package ship_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// without refuses, with o, whatever holds one of the ticks.
func without(o ship.Outcome, ticks ...int64) func(ship.Payload) ship.Outcome {
	return func(p ship.Payload) ship.Outcome {
		for _, v := range valuesOf(decode(p), counterDesc.Name) {
			if slices.Contains(ticks, v) {
				return o
			}
		}
		return ship.Outcome{Verdict: ship.Acked}
	}
}

func keys(b *backend) (ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.accepted {
		ids = append(ids, a.batch.ID())
	}
	return ids
}

// One bad point in 5,000: all others arrive, and it takes 28 requests.
func TestOneBadPointCostsItself(t *testing.T) {
	for _, mode := range []ship.SpoolMode{ship.SpoolOff, ship.SpoolOnFailure, ship.SpoolAlways} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.Mode = mode
			cfg.Rules.BatchInterval = time.Minute
			r := start(t, cfg, 4<<20)
			r.runWide(time.Minute, 100)
			bad := r.produced + 7
			live := make(map[string]bool)
			r.backend.set(func(p ship.Payload) ship.Outcome {
				o := without(refusal, bad)(p)
				if o.Verdict == ship.Acked && !strings.Contains(p.ID, "/") {
					live[p.ID] = true
				}
				return o
			})
			from := r.backend.requestCount()
			r.runWide(20*time.Minute, 500) // 5,000 to 6,000 points a batch
			if n := r.backend.requestCount() - from - len(live); n > 29 {
				t.Errorf("%s: %d requests for the batch with the bad point, want at most 28", mode, n)
			}
			r.stop()
			got := int64(len(r.backend.ticks()))
			if got != r.produced-1 || r.lost()+r.setAside() != 1 || (mode == ship.SpoolOff) != (r.lost() == 1) {
				t.Errorf("%s: %d of %d ticks arrived, %d set aside, lost %v; want one given up", mode, got, r.produced, r.setAside(), r.ledger.Losses())
			}
			if r.spool.Pending() != 0 {
				t.Errorf("%s: %d batches wait in the end", mode, r.spool.Pending())
			}
		})
	}
}

// In strict order the parts are sent in the batch's place.
func TestPartsKeepStrictOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.FIFO = true
		r := start(t, cfg, 4<<20)
		r.runWide(time.Minute, 100)
		r.backend.fail(unavailable)
		r.runWide(20*time.Minute, 100)
		r.backend.set(upTo(r.largest() * 3 / 4))
		r.runWide(2*time.Hour, 100)
		r.stop()
		r.wantEveryTick()
		var last uint64
		cut := 0
		for _, a := range r.backend.accepted {
			if a.batch.Agent.Seq < last {
				t.Fatalf("batch %d arrived after %d", a.batch.Agent.Seq, last)
			}
			last = a.batch.Agent.Seq
			cut += strings.Count(a.batch.Part, "/")
		}
		if cut == 0 {
			t.Error("no batch was cut: this test shows nothing")
		}
	})
}

// What was delivered in parts before a restart is not sent again, and the rest
// has the names that it would have had.
func TestPartsKeepTheirNamesOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := start(t, config(), 4<<20)
		first.runWide(time.Minute, 100)
		first.backend.fail(unavailable)
		first.runWide(5*time.Minute, 100)
		parts := 0
		limit := upTo(first.largest() * 3 / 4)
		first.backend.set(func(p ship.Payload) ship.Outcome {
			if strings.Contains(p.ID, "/") {
				if parts++; parts == 4 {
					return unavailable // for good: the process ends here
				}
			}
			if parts > 3 {
				return unavailable
			}
			return limit(p)
		})
		first.runWide(10*time.Minute, 100)
		first.stop()
		cfg := config()
		cfg.Agent.Epoch++
		second := startWith(t, cfg, 4<<20, first.spool)
		second.backend.set(limit)
		second.runWide(time.Hour, 100)
		second.stop()
		if first.spool.Pending() != 0 {
			t.Errorf("%d batches wait in the end", first.spool.Pending())
		}
		seen := make(map[int64]int)
		for _, b := range []*backend{first.backend, second.backend} {
			for _, a := range b.accepted {
				if a.batch.Agent.Epoch == config().Agent.Epoch {
					for _, v := range valuesOf(a.batch, counterDesc.Name) {
						seen[v]++
					}
				}
			}
		}
		for tick := int64(1); tick <= first.produced; tick++ {
			if seen[tick] != 1 {
				t.Errorf("tick %d arrived %d times", tick, seen[tick])
			}
		}
		if !slices.ContainsFunc(keys(second.backend), func(id string) bool { return strings.Contains(id, "/") }) {
			t.Error("the second process sent no part: this test shows nothing")
		}
	})
}

// Some backends answer 500 to a point that they cannot stand.
func TestTheSameFailureForOneBatchIsPoison(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.FIFO = fifo
			r := start(t, cfg, 4<<20)
			r.run(time.Minute)
			bad := r.produced + 5
			r.backend.set(without(ship.Outcome{Verdict: ship.Retry, Status: 500, Cause: "500"}, bad))
			r.runWide(4*time.Hour, 20)
			waiting := r.shipper.Stats().WaitingBatches
			r.stop()
			if got := int64(len(r.backend.ticks())); got != r.produced-1 || r.setAside() != 1 || r.lost() != 0 {
				t.Errorf("fifo %v: %d of %d ticks arrived, %d set aside, lost %d; want one set aside", fifo, got, r.produced, r.setAside(), r.lost())
			}
			if waiting > 1 {
				t.Errorf("fifo %v: %d batches wait behind it", fifo, waiting)
			}
		})
	}
}

// A backend that is merely down, or busy, never makes a batch poison.
func TestABadBackendIsNotPoison(t *testing.T) {
	for _, status := range []int{500, 503} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, config(), 4<<20)
			r.run(time.Minute)
			n := 0
			r.backend.set(func(p ship.Payload) ship.Outcome {
				if n++; n%4 == 0 && !strings.Contains(p.ID, "/") {
					return ship.Outcome{Verdict: ship.Acked}
				}
				return ship.Outcome{Verdict: ship.Retry, Status: status, Cause: "5xx"}
			})
			r.run(3 * time.Hour)
			r.backend.set(nil)
			r.run(6 * time.Hour)
			r.stop()
			if r.setAside() != 0 {
				t.Errorf("%d: %d points set aside, want none", status, r.setAside())
			}
			r.wantEveryTick()
		})
	}
}

// An answer such as 402 or 451 is no matter of points: the batch is tried three
// times in all, with others accepted in between, and then set aside whole.
func TestADeclinedBatchIsSetAsideAfterThreeTries(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.FIFO = fifo
			r := start(t, cfg, 4<<20)
			r.run(time.Minute)
			tries := 0
			bad := r.produced + 5
			declined := without(ship.Outcome{Verdict: ship.Decline, Status: 451, Cause: "451"}, bad)
			r.backend.set(func(p ship.Payload) ship.Outcome {
				o := declined(p)
				if o.Verdict == ship.Decline {
					tries++
				}
				return o
			})
			r.run(time.Hour)
			r.stop()
			if tries != 3 || r.setAside() != 3 || len(r.spool.dead) != 1 || r.lost() != 0 {
				t.Errorf("fifo %v: %d tries, %d points in %d letters, lost %d; want 3 tries and one letter of 3",
					fifo, tries, r.setAside(), len(r.spool.dead), r.lost())
			}
		})
	}
}

// One that is then refused for its points, or its size, is cut after all.
func TestADeclinedBatchIsCutOnceItIsRefused(t *testing.T) {
	for _, o := range []ship.Outcome{refusal, {Verdict: ship.TooLarge, Cause: "413"}} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, config(), 4<<20)
			r.run(time.Minute)
			refused := without(o, r.produced+5)
			declined := false
			r.backend.set(func(p ship.Payload) ship.Outcome {
				o := refused(p)
				if o.Verdict != ship.Acked && !declined {
					declined = true
					return ship.Outcome{Verdict: ship.Decline, Status: 451, Cause: "451"}
				}
				return o
			})
			r.run(time.Hour)
			r.stop()
			if got := int64(len(r.backend.ticks())); got != r.produced-1 || r.setAside() != 1 || r.lost() != 0 {
				t.Errorf("%s: %d of %d ticks arrived, %d set aside, lost %d; want one set aside", o.Cause, got, r.produced, r.setAside(), r.lost())
			}
		})
	}
}

// A refusal that does not come again is no verdict, not even of a single point
// whose sibling was accepted.
func TestOneRefusalIsNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.run(time.Minute)
		first := ""
		seen := make(map[string]bool)
		r.backend.set(func(p ship.Payload) ship.Outcome {
			if first == "" {
				first = p.ID
			}
			if strings.HasPrefix(p.ID, first) && p.ID != first+"/1" && !seen[p.ID] {
				seen[p.ID] = true
				return refusal
			}
			return ship.Outcome{Verdict: ship.Acked}
		})
		r.run(time.Hour)
		r.stop()
		r.wantEveryTick()
		if len(seen) < 4 || r.setAside() != 0 {
			t.Errorf("%d refusals, %d points set aside; want some and none", len(seen), r.setAside())
		}
	})
}

// Nor is one of each part of a batch of which another part was accepted, however
// many other batches are accepted meanwhile.
func TestOneRefusalOfEachPartIsNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Rules.BatchInterval = interval
		r := start(t, cfg, 4<<20)
		r.run(time.Minute)
		r.backend.fail(unavailable)
		r.run(5 * time.Minute)
		head := ""
		seen := make(map[string]bool)
		r.backend.set(func(p ship.Payload) ship.Outcome {
			if head == "" && p.Points > 6 {
				head = p.ID
			}
			if head != "" && strings.HasPrefix(p.ID, head) && p.ID != head+"/1/1" && !seen[p.ID] {
				seen[p.ID] = true
				return refusal
			}
			return ship.Outcome{Verdict: ship.Acked}
		})
		r.run(time.Hour)
		r.stop()
		r.wantEveryTick()
		if len(seen) < 10 || r.setAside() != 0 {
			t.Errorf("%d refusals, %d points set aside; want many and none", len(seen), r.setAside())
		}
	})
}

// In strict order the backlog carries what is live, so it drains at any
// multiplier.
func TestStrictOrderCatchesUpAtMultiplierOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.FIFO = true
		cfg.Rules.DrainMultiplier = 1
		r := start(t, cfg, 4<<20)
		r.run(time.Minute)
		r.backend.fail(unavailable)
		r.run(time.Hour)
		r.backend.set(nil)
		r.run(2 * time.Hour)
		if n := r.shipper.Stats().WaitingBatches; n > 1 {
			t.Errorf("%d batches wait two hours after an outage of one", n)
		}
		r.stop()
		r.wantEveryTick()
	})
}

// Points that the backend leaves out of a batch which it takes are kept, under
// a name that it has not seen.
func TestRejectedSeriesAreSetAside(t *testing.T) {
	for _, mode := range []ship.SpoolMode{ship.SpoolOff, ship.SpoolOnFailure, ship.SpoolAlways} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.Mode = mode
			r := start(t, cfg, 4<<20)
			r.runWide(time.Minute, 3)
			var left int64
			r.backend.set(func(p ship.Payload) ship.Outcome {
				b := decode(p)
				points := int64(len(b.Times))
				left += points
				return ship.Outcome{Verdict: ship.Acked, RejectedPoints: points, RejectedSeries: []int{1}, Cause: "series"}
			})
			r.runWide(time.Minute, 3)
			r.stop()
			r.backend.set(nil)
			if got := r.setAside() + r.lost(); got != left || left == 0 {
				t.Errorf("%s: %d points set aside and lost, want the %d that were left out", mode, got, left)
			}
			if mode == ship.SpoolOff {
				return
			}
			if r.lost() != 0 || r.spool.Pending() != 0 {
				t.Errorf("%s: lost %v, %d waiting; want dead letters alone", mode, r.ledger.Losses(), r.spool.Pending())
			}
			for _, e := range r.spool.dead {
				if r.backend.seen[e.String()] {
					t.Errorf("%s: the letter %s has the name of a batch that the backend knows", mode, e.ID)
				}
			}
		})
	}
}

// In strict order, with every batch on disk before it is sent, the bad point's
// batch is in memory too, and must not be taken for a live one that has to wait
// for itself.
func TestOneBadPointDoesNotEndStrictOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.FIFO, cfg.Mode = true, ship.SpoolAlways
		r := start(t, cfg, 4<<20)
		r.run(time.Minute)
		r.backend.set(without(refusal, r.produced+3))
		r.run(20 * time.Minute)
		if got, want := int64(len(r.backend.ticks())), r.produced-10; got < want || r.setAside() != 1 {
			t.Errorf("%d of %d ticks arrived, want %d; %d set aside, want 1", got, r.produced, want, r.setAside())
		}
		r.stop()
	})
}
