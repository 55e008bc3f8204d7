package ship_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// Points that the backend leaves out of a batch which it takes are kept, under
// a name that it has not seen. A series that it names is remembered, so it is
// left out of later batches.
func TestRejectedSeriesAreSetAside(t *testing.T) {
	for _, mode := range []ship.SpoolMode{ship.SpoolOff, ship.SpoolOnFailure, ship.SpoolAlways} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.Mode = mode
			r := start(t, cfg, 4<<20)
			r.runWide(time.Minute, 3)
			healthy := r.produced
			named := 0
			r.backend.set(func(p ship.Payload) ship.Outcome {
				b := decode(p)
				for i, c := range b.Series {
					if len(c.Series.Labels) > 0 && c.Series.Labels[0].Value == "1" {
						named++
						return ship.Outcome{Verdict: ship.Acked, RejectedPoints: int64(len(b.Times)), RejectedSeries: []int{i}, Cause: "series"}
					}
				}
				return ship.Outcome{Verdict: ship.Acked}
			})
			r.runWide(time.Hour, 3)
			r.stop()
			r.backend.set(nil)
			dead := r.spool.deadPoints
			if mode == ship.SpoolOff {
				dead = r.lost()
			}
			if ticks := r.produced - healthy; dead < ticks-3 || dead > ticks+3 || r.arrived()+dead != 3*r.produced {
				t.Errorf("%s: %d points given up, %d arrived of %d; want a third of %d", mode, dead, r.arrived(), 3*r.produced, 3*ticks)
			}
			if named < 2 || named > 20 {
				t.Errorf("%s: the series was sent %d times in an hour, want it to be left out but for retests", mode, named)
			}
			if mode == ship.SpoolOff {
				return
			}
			if r.lost() != 0 || r.spool.Pending() != 0 || r.setAside() != dead {
				t.Errorf("%s: lost %v, %d waiting, %d points of %d in letters; want dead letters alone", mode, r.ledger.Losses(), r.spool.Pending(), r.setAside(), dead)
			}
			for i, e := range r.spool.dead {
				if r.backend.seen[e.String()] {
					t.Errorf("%s: the letter %s has the name of a batch that the backend knows", mode, e.ID)
				}
				if r.spool.reasons[i] != "series" {
					t.Fatalf("%s: a letter for the reason %q", mode, r.spool.reasons[i])
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
