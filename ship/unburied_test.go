package ship_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// unburied is a spool that can set nothing aside.
type unburied struct{ *memorySpool }

func (unburied) SetAside(ship.ID, string) error                 { return errors.New("read-only") }
func (unburied) SetAsidePart(ship.ID, ship.Piece, string) error { return errors.New("read-only") }

// A bad point that cannot be set aside waits. It holds up neither the rest of
// its batch, nor live batches, nor an outage's end, nor what is in memory.
func TestWhatCannotBeSetAsideHoldsUpNothingInMemory(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		for _, full := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				cfg.FIFO = fifo
				spool := &memorySpool{}
				r := startWith(t, cfg, 4<<20, unburied{spool})
				r.run(time.Minute)
				bad := without(refusal, r.produced+4)
				r.backend.set(bad)
				r.run(10 * time.Minute)
				spool.setBroken(full)
				r.backend.fail(unavailable)
				r.run(10 * time.Minute)
				r.backend.set(bad)
				r.run(time.Hour)
				missing, behind := r.produced-int64(len(r.backend.ticks())), int64(10*12+10)
				if full {
					behind = 10 // of live batches
				}
				if missing > behind {
					t.Errorf("fifo %v, full %v: %d ticks have not arrived an hour after an outage, want at most %d", fifo, full, missing, behind)
				}
				r.stop()
			})
		}
	}
}

// Nor does it hold up the other parts of its batch, which are tried again.
func TestWhatCannotBeSetAsideHoldsUpNothingOfItsBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Rules.BatchInterval = time.Minute
		spool := &memorySpool{}
		r := startWith(t, cfg, 4<<20, unburied{spool})
		r.run(time.Minute)
		head, bad := "", r.produced+3
		seen := make(map[string]bool)
		r.backend.set(func(p ship.Payload) ship.Outcome {
			holdsBad := without(refusal, bad)(p).Verdict != ship.Acked
			if head == "" && holdsBad {
				head = p.ID
			}
			if holdsBad || head != "" && strings.HasPrefix(p.ID, head) && p.ID != head+"/1/1" && !seen[p.ID] {
				seen[p.ID] = true
				return refusal
			}
			return ship.Outcome{Verdict: ship.Acked}
		})
		r.run(time.Hour)
		if e, ok := spool.Oldest(); !ok || left(e) != 1 {
			t.Errorf("%d points of the bad batch wait, want the bad one", left(e))
		}
		r.stop()
	})
}
