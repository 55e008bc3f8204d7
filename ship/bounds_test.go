package ship_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// At the memory bound it is the oldest data that goes, and each loss is
// counted as it happens.
func TestMemoryBoundKeepsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Mode = ship.SpoolOff
		r := start(t, cfg, 1<<20)
		r.backend.fail(unavailable)
		r.runWide(2*time.Hour, 1000)
		before := r.lost()
		r.runWide(2*time.Hour, 1000)
		if r.lost() <= before {
			t.Error("two more hours without a disk, and no loss was counted")
		}
		newest := r.produced
		r.backend.set(nil)
		recovered := time.Now()
		r.runWide(10*time.Minute, 1000)
		r.stop()
		if age := recovered.Sub(time.UnixMilli(r.backend.accepted[0].batch.Times[0])); age > 2*time.Minute {
			t.Errorf("the first batch to arrive was %v old, want a fresh one", age)
		}
		for _, v := range r.backend.ticks() {
			if v == newest {
				return
			}
		}
		t.Errorf("the newest tick of the outage, %d, did not arrive", newest)
	})
}

func TestATickLargerThanMemoryIsCountedAndSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 16<<10)
		r.runWide(10*time.Minute, 1000)
		if want := r.produced * 1000; r.lost() != want {
			t.Errorf("lost %d, want all %d", r.lost(), want)
		}
		if n := r.logLines(); n < 1 || n > 11 {
			t.Errorf("%d log lines in ten minutes, want at most one a minute", n)
		}
		r.stop()
	})
}

// A small memory bound loses nothing while the backend or the disk is well.
func TestASmallMemoryBoundIsEnough(t *testing.T) {
	for name, arrange := range map[string]func(cfg *ship.Config, b *backend){
		"healthy": func(cfg *ship.Config, _ *backend) { cfg.Rules.BatchInterval = time.Minute },
		"outage":  func(_ *ship.Config, b *backend) { b.fail(unavailable) },
	} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.BatchMaxBytes = 64 << 10
			arrange(&cfg, &backend{})
			r := start(t, cfg, 64<<10)
			arrange(&cfg, r.backend)
			r.runWide(time.Hour, 300)
			r.stop()
			if r.lost() != 0 {
				t.Errorf("%s: lost %v of %d", name, r.ledger.Losses(), r.produced*300)
			}
		})
	}
}

// unreadable is a spool whose entries cannot be read.
type unreadable struct{ *memorySpool }

func (unreadable) Oldest(int64, []ship.ID) (ship.Entry, bool) { return ship.Entry{}, false }
func (unreadable) Pending() int64                             { return 3 }

func TestAnUnreadableSpoolDoesNotHoldUpLiveBatches(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.FIFO = fifo
			r := startWith(t, cfg, 4<<20, unreadable{&memorySpool{broken: true}})
			r.run(time.Hour)
			if got := int64(len(r.backend.ticks())); got < r.produced-6 {
				t.Errorf("fifo %v: %d of %d delivered within the hour", fifo, got, r.produced)
			}
			r.stop()
			r.wantEveryTick()
		})
	}
}

// The live rate is what is cut, so a backlog drains however many batches an
// interval makes.
func TestManyBatchesAnIntervalDrain(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.FIFO = fifo
			cfg.BatchMaxPoints = 1
			cfg.Rules.BatchInterval = time.Minute // every tick cuts early, and makes three
			r := start(t, cfg, 64<<10)
			r.backend.fail(unavailable)
			r.runWide(10*time.Minute, 3)
			r.backend.set(nil)
			r.runWide(time.Hour, 3)
			if n := r.shipper.Stats().WaitingBatches; n > 20 {
				t.Errorf("fifo %v: %d batches wait an hour after an outage of ten minutes", fifo, n)
			}
			r.stop()
		})
	}
}

func TestStrictOrderHoldsThroughAShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.FIFO = true
		r := start(t, cfg, 4<<20)
		r.backend.fail(unavailable)
		r.run(time.Hour)
		r.backend.set(nil)
		r.run(2 * time.Minute)
		r.stop()
		for i, a := range r.backend.accepted {
			if a.batch.Agent.Seq != uint64(i)+1 {
				t.Fatalf("batch %d arrived as number %d, with %d spooled", a.batch.Agent.Seq, i+1, r.spool.Pending())
			}
		}
		if r.spool.Pending() == 0 {
			t.Error("the backlog was drained before the shutdown: this test shows nothing")
		}
	})
}

func TestRejectedPointsAreNotDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.backend.rejects = 1
		r.run(10 * time.Minute)
		r.stop()
		if got := r.shipper.Stats().DeliveredPoints; got+r.lost() != r.produced {
			t.Errorf("delivered %d + lost %d, want %d", got, r.lost(), r.produced)
		}
	})
}

// No fault, however it alternates, makes more than a few lines, or many
// requests for nothing.
func TestFaultsAreQuiet(t *testing.T) {
	everySecond := func(bad ship.Outcome) func(ship.Payload) ship.Outcome {
		n := 0
		return func(ship.Payload) ship.Outcome {
			if n++; n%2 == 0 {
				return bad
			}
			return ship.Outcome{Verdict: ship.Acked}
		}
	}
	first := ""
	for name, answer := range map[string]func(ship.Payload) ship.Outcome{
		"every second request fails":   everySecond(unavailable),
		"every second request refused": everySecond(ship.Outcome{Verdict: ship.Reject, Status: 400, Cause: "400"}),
		"one batch always fails": func(p ship.Payload) ship.Outcome {
			if first == "" {
				first = p.ID
			}
			if p.ID == first {
				return ship.Outcome{Verdict: ship.Retry, Cause: "500"}
			}
			return ship.Outcome{Verdict: ship.Acked}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, config(), 4<<20)
			r.backend.set(answer)
			r.run(6 * time.Hour)
			lines, requests := r.logLines(), r.backend.requestCount()
			r.stop()
			if lines > 40 {
				t.Errorf("%s: %d log lines in six hours", name, lines)
			}
			if live := 6 * 60 * 4; requests > 3*live {
				t.Errorf("%s: %d requests in six hours, for %d live batches", name, requests, live)
			}
		})
	}
}
