package ship_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// flaky refuses every third write of a draft.
type flaky struct {
	*memorySpool
	n int
}

func (f *flaky) Draft(e ship.Entry, n int) error {
	if f.n++; f.n%3 == 0 {
		return errors.New("disk full for a moment")
	}
	return f.memorySpool.Draft(e, n)
}

func TestNoPointIsTwiceInADraft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fl := &flaky{memorySpool: &memorySpool{}}
		cfg := config()
		cfg.Mode = ship.SpoolAlways
		cfg.BatchMaxBytes = 4096
		cfg.Rules.BatchInterval = time.Hour
		r := startWith(t, cfg, 64<<20, fl)
		r.backend.fail(ship.Outcome{Verdict: ship.Retry, Cause: "refused", NoConnection: true})
		for range 3 {
			time.Sleep(interval)
			r.wideTick(8, 0)
			synctest.Wait()
			time.Sleep(interval)
			r.wideTick(100, 0)
			synctest.Wait()
			time.Sleep(interval)
			synctest.Wait()
			seen := map[int64]int64{}
			for _, e := range fl.left() {
				seen[e.TimeMS] += e.Items
			}
			for ms, n := range seen {
				if n > 100 {
					t.Errorf("tick %d: %d points of 100", ms, n)
				}
			}
		}
		r.stop()
	})
}
