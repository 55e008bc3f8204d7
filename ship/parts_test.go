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

// withoutPoint refuses, with o, whatever holds one point: the one of a tick in
// the series of this number, as rig.wideTick makes them.
func withoutPoint(o ship.Outcome, tick int64, series int) func(ship.Payload) ship.Outcome {
	if series == 0 {
		return without(o, tick)
	}
	bad := tick*7919 + int64(series)
	return func(p ship.Payload) ship.Outcome {
		if slices.Contains(valuesOf(decode(p), padDesc.Name), bad) {
			return o
		}
		return ship.Outcome{Verdict: ship.Acked}
	}
}

// One bad point in 5,000, whichever it is: all others arrive, and it takes 28
// requests.
func TestOneBadPointCostsItself(t *testing.T) {
	for _, mode := range []ship.SpoolMode{ship.SpoolOff, ship.SpoolOnFailure, ship.SpoolAlways} {
		for _, series := range []int{0, 1, 250, 333, 499} {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				cfg.Mode = mode
				cfg.Rules.BatchInterval = time.Minute
				r := start(t, cfg, 4<<20)
				r.runWide(time.Minute, 500)
				bad := withoutPoint(refusal, r.produced+7, series)
				live := make(map[string]bool)
				r.backend.set(func(p ship.Payload) ship.Outcome {
					o := bad(p)
					if o.Verdict == ship.Acked && !strings.Contains(p.ID[32:], "/") {
						live[p.ID] = true
					}
					return o
				})
				from := r.backend.requestCount()
				r.runWide(30*time.Minute, 500) // 5,000 to 6,000 points a batch
				if n := r.backend.requestCount() - from - len(live); n > 29 {
					t.Errorf("%s, series %d: %d requests for the batch with the bad point, want at most 28", mode, series, n)
				}
				r.stop()
				dead := r.spool.deadPoints
				if arrived := r.arrived(); arrived != r.produced*500-1 || r.lost()+dead != 1 || (mode == ship.SpoolOff) != (r.lost() == 1) || r.setAside() != dead {
					t.Errorf("%s, series %d: %d of %d points arrived, %d dead, %d set aside, lost %v; want one given up",
						mode, series, arrived, r.produced*500, dead, r.setAside(), r.ledger.Losses())
				}
				if r.spool.Pending() != 0 {
					t.Errorf("%s, series %d: %d batches wait in the end", mode, series, r.spool.Pending())
				}
			})
		}
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

// After a restart a batch is cut where it was cut before: what is sent again has
// the id and the points that it had, so that a backend that de-duplicates has
// each point once.
func TestPartsKeepTheirNamesOverARestart(t *testing.T) {
	for parts := range 6 {
		synctest.Test(t, func(t *testing.T) {
			first := start(t, config(), 4<<20)
			first.runWide(time.Minute, 100)
			first.backend.fail(unavailable)
			first.runWide(5*time.Minute, 100)
			taken := 0
			limit := upTo(first.largest() * 3 / 8)
			first.backend.set(func(p ship.Payload) ship.Outcome {
				o := limit(p)
				if taken >= parts { // the process ends here
					return unavailable
				}
				if strings.Contains(p.ID[32:], "/") && o.Verdict == ship.Acked {
					taken++
				}
				return o
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
				t.Errorf("after %d parts: %d batches wait in the end", parts, first.spool.Pending())
			}
			had := make(map[string][]int64)
			for _, a := range first.backend.accepted {
				had[a.batch.ID()] = valuesOf(a.batch, padDesc.Name)
			}
			again := 0
			second.backend.accepted = slices.DeleteFunc(second.backend.accepted, func(a arrival) bool {
				values, twice := had[a.batch.ID()]
				if twice && !slices.Equal(values, valuesOf(a.batch, padDesc.Name)) {
					t.Errorf("after %d parts: %s is two sets of points", parts, a.batch.ID())
				}
				if twice {
					again++
				}
				return twice
			})
			first.backend.accepted = append(first.backend.accepted, second.backend.accepted...)
			if arrived, all := first.arrived(), (first.produced+second.produced)*100; arrived != all {
				t.Errorf("after %d parts: %d points arrived, want %d", parts, arrived, all)
			}
			if taken != parts || again > parts {
				t.Errorf("%d parts were taken before the restart, want %d; %d batches arrived again", taken, parts, again)
			}
		})
	}
}

// A body that may have arrived is repeated unchanged before anything else of its
// batch is sent, whatever probes are made of it and whichever series turns out
// to be refused meanwhile: a backend that de-duplicates has each point once.
func TestABodyWithoutAnAnswerIsRepeatedUnchanged(t *testing.T) {
	for _, mode := range []ship.SpoolMode{ship.SpoolOff, ship.SpoolOnFailure, ship.SpoolAlways} {
		for _, fifo := range []bool{false, true} {
			for _, minutes := range []time.Duration{1, 3, 20} {
				synctest.Test(t, func(t *testing.T) {
					cfg := config()
					cfg.Mode, cfg.FIFO = mode, fifo
					r := start(t, cfg, 4<<20)
					r.runWide(time.Minute, 20)
					before := r.produced
					r.backend.setMute(true)
					r.runWide(minutes*time.Minute, 20)
					r.backend.setMute(false)
					from := r.produced
					r.backend.set(func(p ship.Payload) ship.Outcome {
						for _, v := range valuesOf(decode(p), padDesc.Name) {
							if v%7919 == 7 && v/7919 > from { // a series turns bad
								return refusal
							}
						}
						return ship.Outcome{Verdict: ship.Acked}
					})
					r.runWide(2*time.Hour, 20)
					r.stop()
					if arrived, dead := r.arrived(), r.spool.deadPoints+r.lost(); arrived < r.produced*19 || dead > r.produced-before {
						t.Errorf("%s, fifo %v, %d minutes: %d points arrived of %d, %d given up", mode, fifo, minutes, arrived, r.produced*20, dead)
					}
				})
			}
		}
	}
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

// What the sender cannot send is set aside as a whole, at once, and holds up
// nothing.
func TestADeclinedBatchIsSetAsideAtOnce(t *testing.T) {
	for _, mode := range []ship.SpoolMode{ship.SpoolOff, ship.SpoolOnFailure, ship.SpoolAlways} {
		for _, fifo := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				cfg.FIFO, cfg.Mode = fifo, mode
				r := start(t, cfg, 4<<20)
				r.runWide(time.Minute, 3)
				tries := 0
				declined := without(ship.Outcome{Verdict: ship.Decline, Unsent: true, Cause: "unreadable"}, r.produced+5, r.produced+30)
				r.backend.set(func(p ship.Payload) ship.Outcome {
					o := declined(p)
					if o.Verdict == ship.Decline {
						tries++
					}
					return o
				})
				r.runWide(time.Hour, 3)
				r.stop()
				dead := r.spool.deadPoints
				if mode == ship.SpoolOff {
					dead = r.lost()
				}
				if tries != 2 || dead != 2*3*3 || int64(len(r.backend.ticks()))+r.spooled()/3 != r.produced-2*3 || r.setAside() != r.spool.deadPoints {
					t.Errorf("%s, fifo %v: %d tries, %d points dead, %d in letters, lost %v; want two tries and two batches of 9",
						mode, fifo, tries, dead, r.setAside(), r.ledger.Losses())
				}
				if mode != ship.SpoolOff && (len(r.spool.dead) != 2 || r.lost() != 0 || r.spool.reasons[0] != "unreadable") {
					t.Errorf("%s, fifo %v: %d letters %q, lost %v", mode, fifo, len(r.spool.dead), r.spool.reasons, r.ledger.Losses())
				}
			})
		}
	}
}

// A refusal that does not come again is no verdict: a backend that refuses each
// body once gets all there is, and contradicts itself.
func TestOneRefusalIsNoVerdict(t *testing.T) {
	for _, points := range []int{1, 20} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, config(), 4<<20)
			r.runWide(time.Minute, points)
			seen := make(map[string]bool)
			r.backend.set(func(p ship.Payload) ship.Outcome {
				if !seen[p.ID] {
					seen[p.ID] = true
					return refusal
				}
				return ship.Outcome{Verdict: ship.Acked}
			})
			r.runWide(time.Hour, points)
			r.backend.set(nil)
			r.runWide(3*time.Hour, points)
			r.stop()
			r.wantEveryTick()
			if len(seen) < 100 || r.spool.deadPoints != 0 || r.arrived() != r.produced*int64(points) {
				t.Errorf("%d points a tick: %d refusals, %d points dead; want many and none", points, len(seen), r.spool.deadPoints)
			}
			if !strings.Contains(r.log.String(), "contradicts itself") {
				t.Errorf("the log does not say that the backend contradicts itself:\n%s", r.log)
			}
		})
	}
}

// Nor is one of each part of a batch that was refused as a whole twice, however
// many other batches are accepted meanwhile. Only a tick that was refused by
// itself is not refused a second time together with others.
func TestOneRefusalOfEachPartIsNoVerdict(t *testing.T) {
	for _, points := range []int{1, 2, 20} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.Rules.BatchInterval = interval
			r := start(t, cfg, 4<<20)
			r.runWide(time.Minute, points)
			r.backend.fail(unavailable)
			r.runWide(5*time.Minute, points)
			head := ""
			seen, alone := make(map[string]int), make(map[int64]bool)
			r.backend.set(func(p ship.Payload) ship.Outcome {
				if head == "" && p.Points > int64(6*points) {
					head = p.ID
				}
				if head == "" || !strings.HasPrefix(p.ID, head) {
					return ship.Outcome{Verdict: ship.Acked}
				}
				times := decode(p).Times
				again := !slices.ContainsFunc(times, func(ms int64) bool { return !alone[ms] })
				if seen[p.ID]++; again && len(times) > 1 || seen[p.ID] > 1 && (p.ID != head || seen[p.ID] > 2) {
					return ship.Outcome{Verdict: ship.Acked}
				}
				if len(times) == 1 {
					alone[times[0]] = true
				}
				return refusal
			})
			r.runWide(3*time.Hour, points)
			r.stop()
			r.wantEveryTick()
			if len(seen) < 4 || r.spool.deadPoints != 0 || r.arrived() != r.produced*int64(points) {
				t.Errorf("%d points a tick: %d bodies refused, %d points dead; want many and none", points, len(seen), r.spool.deadPoints)
			}
		})
	}
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
