package ship_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// unburied is a spool that keeps no letter.
type unburied struct{ *memorySpool }

func (s unburied) SetAside(l ship.Letter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unkept += l.Items
}

// Letters are copies: a bad point of which none can be kept is settled with its
// batch all the same, and holds up nothing, also when the spool takes no batch.
func TestALetterThatCannotBeKeptHoldsUpNothing(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		for _, full := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				cfg.FIFO = fifo
				spool := &memorySpool{}
				r := startWith(t, cfg, 4<<20, unburied{spool})
				r.runWide(time.Minute, 3)
				bad := without(refusal, r.produced+4)
				r.backend.set(bad)
				r.runWide(10*time.Minute, 3)
				spool.setBroken(full)
				r.backend.fail(unavailable)
				r.runWide(10*time.Minute, 3)
				r.backend.set(bad)
				r.runWide(2*time.Hour, 3)
				missing := r.produced - int64(len(r.backend.ticks()))
				if behind := int64(1 + 2*3); missing > behind { // the bad one, and two batches under way
					t.Errorf("fifo %v, full %v: %d ticks have not arrived, want at most %d", fifo, full, missing, behind)
				}
				r.stop()
				if spool.deadPoints != 1 || spool.unkept != 1 || r.lost() != 0 {
					t.Errorf("fifo %v, full %v: %d points dead, %d in letters that were not kept, lost %v; want the bad one, and none lost",
						fifo, full, spool.deadPoints, spool.unkept, r.ledger.Losses())
				}
			})
		}
	}
}
