package ship_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
)

var refusal = ship.Outcome{Verdict: ship.Reject, Status: 422, Cause: "422"}

// refusing accepts all batches but one, of which it takes no part either.
func refusing(id string) func(ship.Payload) ship.Outcome {
	return func(p ship.Payload) ship.Outcome {
		if id != "" && strings.HasPrefix(p.ID, id) {
			return refusal
		}
		return ship.Outcome{Verdict: ship.Acked}
	}
}

func TestPoisonIsGivenUpAndNothingElse(t *testing.T) {
	for _, mode := range []ship.SpoolMode{ship.SpoolOff, ship.SpoolOnFailure} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.Mode = mode
			r := start(t, cfg, 4<<20)
			r.run(time.Minute)
			poison := ""
			r.backend.set(func(p ship.Payload) ship.Outcome {
				if poison == "" {
					poison = p.ID
				}
				return refusing(poison)(p)
			})
			r.run(10 * time.Minute)
			r.stop()
			const batch = 3 // points
			var lost, dead int64 = batch, 0
			if mode != ship.SpoolOff {
				lost, dead = dead, lost
			}
			if got := int64(len(r.backend.ticks())); r.lost() != lost || r.setAside() != dead || got != r.produced-batch {
				t.Errorf("%s: delivered %d, lost %d, set %d aside of %d; want one batch of 3 given up", mode, got, r.lost(), r.setAside(), r.produced)
			}
			if dead > 0 && !slices.Contains(r.spool.reasons, "422") {
				t.Errorf("set aside for the reason %q", r.spool.reasons)
			}
			if r.spool.Pending() != 0 {
				t.Errorf("%s: the poisoned batch is still in the spool", mode)
			}
		})
	}
}

// An endpoint that refuses everything is wrong itself: nothing is given up.
func TestRefusalOfEverythingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.backend.fail(ship.Outcome{Verdict: ship.Reject, Status: 400, Cause: "400"})
		r.run(10 * time.Minute)
		from := r.backend.requestCount()
		r.run(time.Hour)
		if n := r.backend.requestCount() - from; n > 60 {
			t.Errorf("%d requests in an hour of pause, want at most one a minute", n)
		}
		if phase := r.shipper.Stats().Phase; phase != "paused" {
			t.Errorf("phase = %s, want paused", phase)
		}
		r.backend.set(nil)
		r.run(3 * time.Hour)
		r.stop()
		r.wantEveryTick()
	})
}

// A bad batch at the head of the backlog is given up, in strict order too, and
// when it was first refused in an outage.
func TestABadBatchAtTheHeadIsPassed(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.FIFO = fifo
			r := start(t, cfg, 4<<20)
			r.run(time.Minute)
			r.backend.fail(unavailable)
			r.run(2 * time.Minute)
			head, _ := r.spool.first()
			poison := metric.BatchID(head.Epoch, head.Seq)
			r.backend.set(refusing(poison))
			r.run(time.Hour)
			r.stop()
			if got := int64(len(r.backend.ticks())); r.setAside() != head.Items || r.lost() != 0 || got != r.produced-head.Items {
				t.Errorf("fifo %v: %d of %d delivered, lost %v; want the %d of one batch set aside", fifo, got, r.produced, r.ledger.Losses(), head.Items)
			}
		})
	}
}

// A batch that was refused once and an endpoint that then refuses everything:
// the batch is not to blame.
func TestAnEarlierRefusalIsNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.run(time.Minute)
		requests := 0
		r.backend.set(func(ship.Payload) ship.Outcome {
			if requests++; requests == 2 {
				return ship.Outcome{Verdict: ship.Acked}
			}
			return ship.Outcome{Verdict: ship.Reject, Status: 400, Cause: "400"}
		})
		r.run(time.Hour)
		r.backend.set(nil)
		r.run(3 * time.Hour)
		r.stop()
		r.wantEveryTick()
	})
}

// A batch is bad only if others are accepted between its refusals; here they
// are at first, and then nothing is.
func TestStrikesNeedAnAcceptanceBetweenThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.run(time.Minute)
		first, refusals, acceptances := "", 0, 0
		r.backend.set(func(p ship.Payload) ship.Outcome {
			if first == "" {
				first = p.ID
			}
			if strings.HasPrefix(p.ID, first) || acceptances == 1 {
				refusals++
				return refusal
			}
			acceptances++
			return ship.Outcome{Verdict: ship.Acked}
		})
		r.run(time.Hour)
		if refusals < 8 {
			t.Fatalf("%d refusals in an hour: this test shows nothing", refusals)
		}
		r.backend.set(nil)
		r.run(3 * time.Hour)
		r.stop()
		r.wantEveryTick()
	})
}

// In strict order a pause for refusals must not be probed with the very batch
// that may be bad.
func TestStrictOrderComesBackFromAPauseWithABadHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.FIFO = true
		r := start(t, cfg, 4<<20)
		r.backend.fail(refusal)
		r.run(time.Hour)
		if phase := r.shipper.Stats().Phase; phase != "paused" {
			t.Fatalf("phase = %s, want paused", phase)
		}
		head, _ := r.spool.first()
		r.backend.set(refusing(metric.BatchID(head.Epoch, head.Seq)))
		r.run(3 * time.Hour)
		r.stop()
		if got := int64(len(r.backend.ticks())); got != r.produced-head.Items {
			t.Errorf("%d of %d delivered, want all but the %d of one batch", got, r.produced, head.Items)
		}
	})
}

// A refusal is an answer: it ends an outage, though not the batch's troubles.
func TestARefusedProbeEndsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.backend.fail(unavailable)
		r.run(10 * time.Minute)
		r.backend.set(func(ship.Payload) ship.Outcome {
			r.backend.mu.Lock()
			defer r.backend.mu.Unlock()
			r.backend.delay = time.Hour // whatever comes next
			return refusal
		})
		r.run(2 * time.Minute)
		if phase := r.shipper.Stats().Phase; phase != "ramping" {
			t.Errorf("phase = %s after a refused probe, want ramping", phase)
		}
		r.stop()
	})
}

// Its end is told with the next acceptance.
func TestAnOutageWithARefusedProbeIsToldToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.run(time.Minute)
		r.backend.fail(unavailable)
		r.run(time.Hour)
		n := 0
		r.backend.set(func(ship.Payload) ship.Outcome {
			if n++; n == 1 {
				return refusal
			}
			return ship.Outcome{Verdict: ship.Acked}
		})
		r.run(2 * time.Minute)
		if told := strings.Count(r.log.String(), "delivered again after 1h"); told != 1 {
			t.Errorf("the end of the outage was told %d times, want once:\n%s", told, r.log)
		}
		r.stop()
	})
}

// What a flush has refused does not cost the batches behind it.
func TestARefusalDoesNotEndTheFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Mode = ship.SpoolOff
		r := start(t, cfg, 4<<20)
		r.run(time.Minute)
		poison := ""
		r.backend.set(func(p ship.Payload) ship.Outcome {
			if poison == "" {
				poison = p.ID
			}
			return refusing(poison)(p)
		})
		for poison == "" {
			r.run(interval)
		}
		r.run(2 * interval)
		r.stop()
		if got := int64(len(r.backend.ticks())); got+3 != r.produced || r.lost() != 3 {
			t.Errorf("%d of %d delivered, lost %v; want the 3 of one batch lost", got, r.produced, r.ledger.Losses())
		}
	})
}

// A batch whose requests always break, by whatever changing faults, while others
// pass, does not hold up the backlog for ever: it is set aside whole.
func TestABatchThatNeverGetsAnAnswerIsPassed(t *testing.T) {
	for name, faults := range map[string][]ship.Outcome{
		"reset":                 {{Verdict: ship.Retry, Cause: "reset"}},
		"500 and 502 by turns":  {{Verdict: ship.Retry, Status: 500, Cause: "500"}, {Verdict: ship.Retry, Status: 502, Cause: "502"}},
		"409":                   {{Verdict: ship.Retry, Status: 409, Cause: "409"}},
		"500 and reset by turn": {{Verdict: ship.Retry, Status: 500, Cause: "500"}, {Verdict: ship.Retry, Cause: "reset"}},
	} {
		for _, fifo := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				cfg.FIFO = fifo
				r := start(t, cfg, 4<<20)
				r.run(time.Minute)
				bad, n := r.produced+5, 0
				r.backend.set(func(p ship.Payload) ship.Outcome {
					n++
					return without(faults[n%len(faults)], bad)(p)
				})
				r.run(12 * time.Hour)
				waiting := r.shipper.Stats().WaitingBatches
				r.stop()
				if dead := r.setAside(); waiting > 1 || dead < 1 || dead > 3 || int64(len(r.backend.ticks())) != r.produced-dead || r.lost() != 0 {
					t.Errorf("%s, fifo %v: %d batches wait, %d of %d ticks arrived, %d dead; want at most one batch dead",
						name, fifo, waiting, len(r.backend.ticks()), r.produced, dead)
				}
			})
		}
	}
}
