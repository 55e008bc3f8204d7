package ship_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

var unavailable = ship.Outcome{Verdict: ship.Retry, Cause: "connection refused"}

func TestFirstBatchAfterSecondTickThenEveryBatchInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		begin := time.Now()
		r.run(5 * time.Minute)
		r.stop()
		r.wantEveryTick()
		if first := r.backend.accepted[0].at.Sub(begin); first != 2*interval {
			t.Errorf("first batch arrived after %v, want %v", first, 2*interval)
		}
		for _, a := range r.backend.accepted {
			oldest := time.UnixMilli(a.batch.Times[0])
			if waited := a.at.Sub(oldest); waited > 15*time.Second {
				t.Errorf("batch %s: a sample waited %v, want at most 15s", a.batch.ID(), waited)
			}
		}
		if n := r.backend.requestCount(); n < 20 || n > 23 {
			t.Errorf("%d requests in 5 minutes at a batch interval of 15s, want about 21", n)
		}
		if r.spool.appended != 0 {
			t.Errorf("%d batches spooled while healthy, want 0", r.spool.appended)
		}
	})
}

func TestSeqHasNoHolesAndSurvivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.run(time.Minute)
		r.backend.fail(unavailable)
		r.run(10 * time.Minute)
		r.backend.set(nil)
		r.run(10 * time.Minute)
		r.stop()
		r.wantEveryTick()
		seen := make(map[uint64]bool)
		for _, a := range r.backend.accepted {
			seen[a.batch.Agent.Seq] = true
		}
		for seq := range uint64(len(seen)) {
			if !seen[seq+1] {
				t.Errorf("seq %d never arrived", seq+1)
			}
		}
	})
}

// A day without a backend: nothing is lost, fresh data comes first, and the
// log stays readable.
func TestOutageOfADay(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.FIFO = fifo
			r := start(t, cfg, 4<<20)
			r.run(time.Minute)
			r.backend.fail(unavailable)
			r.run(24 * time.Hour)
			if r.spool.appended > 25*60 {
				t.Errorf("%d batches spooled in a day, want a minute in each", r.spool.appended)
			}
			before := len(r.backend.accepted)
			attempts := r.backend.requestCount()
			r.backend.set(nil)
			recovered := time.Now()
			r.run(2 * time.Hour)
			fresh := r.backend.accepted[before+1] // the first is the probe
			age := recovered.Sub(time.UnixMilli(fresh.batch.Times[0]))
			if fifo != (age > 23*time.Hour) {
				t.Errorf("fifo %v: the first batch after the probe was %v old", fifo, age)
			}
			r.run(10 * time.Hour)
			r.stop()
			r.wantEveryTick()
			if attempts > 24*60*4 {
				t.Errorf("%d attempts in a day, want at most about two a minute", attempts)
			}
			if n := r.logLines(); n < 5 || n > 20 {
				t.Errorf("%d log lines in an outage of a day, want a handful:\n%s", n, r.log)
			}
		})
	}
}

func TestBacklogDrainsAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.backend.fail(unavailable)
		r.run(4 * time.Hour)
		r.backend.set(nil)
		r.run(2 * time.Minute) // the next probe comes within RETRY_MAX
		from := r.backend.requestCount()
		r.run(10 * time.Minute)
		// 40 live batches and at most four times as many of the backlog.
		if n := r.backend.requestCount() - from; n > 40*5*5/4 || n < 40*2 {
			t.Errorf("%d requests in ten minutes of draining, want 80 to 250", n)
		}
		r.run(4 * time.Hour)
		r.stop()
		r.wantEveryTick()
	})
}

func TestWithoutASpoolTheBoundHoldsAndLossIsExact(t *testing.T) {
	for _, mode := range []ship.SpoolMode{ship.SpoolOff, ship.SpoolOnFailure} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.Mode = mode
			r := start(t, cfg, 64<<10)
			r.spool.setBroken(true)
			r.backend.fail(unavailable)
			for range 6 {
				r.run(time.Hour)
				if used := r.shipper.Stats().MemoryBytes; used > 64<<10 {
					t.Errorf("%s: %d bytes in memory, the bound is %d", mode, used, 64<<10)
				}
			}
			r.backend.set(nil)
			r.run(4 * time.Hour)
			r.stop()
			delivered := int64(len(r.backend.ticks()))
			if r.lost() == 0 || delivered+r.lost() != r.produced {
				t.Errorf("%s: delivered %d + lost %d, want %d produced and some lost", mode, delivered, r.lost(), r.produced)
			}
			if newest := r.backend.ticks()[delivered-1]; newest != r.produced {
				t.Errorf("%s: newest tick %d arrived, want %d: the oldest goes first", mode, newest, r.produced)
			}
		})
	}
}

func TestASpoolThatComesBackTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.spool.setBroken(true)
		r.backend.fail(unavailable)
		r.run(time.Hour)
		r.spool.setBroken(false)
		r.run(time.Minute)
		if waiting := r.shipper.Stats().WaitingBatches; r.spool.Pending() != waiting {
			t.Errorf("%d batches in the spool, want all %d", r.spool.Pending(), waiting)
		}
		r.backend.set(nil)
		r.run(3 * time.Hour)
		r.stop()
		r.wantEveryTick()
	})
}

func TestUnansweredBatchIsSpooledAfterFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.backend.delay = 20 * time.Second
		time.Sleep(interval)
		r.tick()
		time.Sleep(interval)
		r.tick() // the first batch leaves here
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if r.spool.Pending() != 0 {
			t.Error("spooled within 5 s of sending")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r.spool.Pending() != 1 {
			t.Error("not spooled 6 s after sending")
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if r.spool.Pending() != 0 {
			t.Error("still spooled after the acknowledgement")
		}
		r.stop()
		r.wantEveryTick()
	})
}

func TestAlwaysSpoolsBeforeSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Mode = ship.SpoolAlways
		r := start(t, cfg, 4<<20)
		r.backend.set(func(ship.Payload) ship.Outcome {
			if r.spool.Pending() == 0 {
				t.Error("sent before it was spooled")
			}
			return ship.Outcome{Verdict: ship.Acked}
		})
		r.run(10 * time.Minute)
		if r.spool.Pending() != 0 {
			t.Errorf("%d batches still spooled after their acknowledgement", r.spool.Pending())
		}
		r.stop()
		r.wantEveryTick()
	})
}

func TestPauseEndsAtOnceWhenASecretChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.backend.fail(ship.Outcome{Verdict: ship.Pause, Cause: "401", Hint: "check HEKA_API_KEY"})
		r.run(2 * time.Hour)
		r.backend.set(nil)
		r.backend.mu.Lock()
		r.backend.refreshed = true
		r.backend.mu.Unlock()
		r.run(interval)
		if len(r.backend.ticks()) == 0 {
			t.Error("nothing arrived within a tick of the new secret")
		}
		r.run(2 * time.Hour)
		r.stop()
		r.wantEveryTick()
		if !strings.Contains(r.log.String(), "check HEKA_API_KEY") {
			t.Error("the log does not say what to fix")
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.run(time.Minute)
		r.backend.fail(ship.Outcome{Verdict: ship.Retry, After: 10 * time.Minute, Overload: true})
		r.run(interval * 4)
		asked := r.backend.requestCount()
		r.run(9 * time.Minute)
		if n := r.backend.requestCount(); n != asked {
			t.Errorf("%d requests while the backend asked to be left alone", n-asked)
		}
		r.backend.set(nil)
		r.run(time.Hour)
		r.stop()
		r.wantEveryTick()
	})
}

func TestShutdownInEachState(t *testing.T) {
	states := map[string]func(r *rig){
		"before the first batch": func(r *rig) { r.run(interval) },
		"healthy":                func(r *rig) { r.run(time.Minute) },
		"request under way":      func(r *rig) { r.backend.delay = time.Hour; r.run(time.Minute) },
		"down":                   func(r *rig) { r.backend.fail(unavailable); r.run(10 * time.Minute) },
		"paused": func(r *rig) {
			r.backend.fail(ship.Outcome{Verdict: ship.Pause, Cause: "401"})
			r.run(10 * time.Minute)
		},
		"ramping": func(r *rig) {
			r.backend.fail(unavailable)
			r.run(time.Hour)
			r.backend.set(nil)
			r.run(2 * time.Minute)
		},
	}
	for name, arrange := range states {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, config(), 4<<20)
			arrange(r)
			asked := time.Now()
			r.stop()
			if took := r.ended.Sub(asked); took > 5*time.Second {
				t.Errorf("%s: the flush took %v, want at most 5s", name, took)
			}
			delivered := int64(len(r.backend.ticks()))
			if delivered+r.spooled() < r.produced || r.lost() != 0 {
				t.Errorf("%s: delivered %d + spooled %d, lost %d, of %d", name, delivered, r.spooled(), r.lost(), r.produced)
			}
		})
	}
}

func TestShutdownWithNowhereToGoIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Mode = ship.SpoolOff
		r := start(t, cfg, 4<<20)
		r.backend.fail(unavailable)
		r.run(10 * time.Minute)
		r.stop()
		if r.lost() != r.produced {
			t.Errorf("lost %d, want all %d", r.lost(), r.produced)
		}
		if losses := r.ledger.Losses(); len(losses) != 1 || losses[0].Reason != ship.LostShutdown {
			t.Errorf("losses = %v, want them under %q", losses, ship.LostShutdown)
		}
	})
}
