package ship_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// choosing is an ingest that refuses something of what is sent, for good.
type choosing struct {
	name string
	// behave makes the behaviour, when tick is the next one.
	behave func(tick int64) shiptest.Behaviour
	// dead is how many points become dead letters, requestsMax bounds requests
	// beyond one for each batch that is made.
	dead, requestsMax int64
	// missing are the ticks that do not arrive.
	missing int64
	points  int
	gzip    bool
}

// What an ingest refuses for good costs what is refused, a bounded number of
// requests, and nothing else; over each protocol.
func TestHostileContent(t *testing.T) {
	poisoned := func(code int) func(int64) shiptest.Behaviour {
		return func(tick int64) shiptest.Behaviour { return shiptest.Poisoned(code, tick+1) }
	}
	for i, c := range []choosing{
		{name: "400 for one point", behave: poisoned(400), dead: 1, missing: 1, points: 100, requestsMax: 30},
		{name: "406 for one point", behave: poisoned(406), dead: 1, missing: 1, points: 10, requestsMax: 30},
		{name: "422 for one point", behave: poisoned(422), dead: 1, missing: 1, points: 10, requestsMax: 30},
		{name: "500 for one point", behave: poisoned(500), dead: 1, missing: 1, points: 10, requestsMax: 300},
		{name: "451 for one batch", behave: poisoned(451), dead: 30, missing: 3, points: 10, requestsMax: 3},
		{name: "413 over a limit", behave: func(int64) shiptest.Behaviour { return shiptest.Narrow(8 << 10) }, points: 60, requestsMax: 2000},
		{name: "415 for gzip", behave: func(int64) shiptest.Behaviour { return shiptest.Picky("") }, gzip: true, points: 10, requestsMax: 2},
	} {
		for _, p := range sample(i) {
			t.Run(c.name+" "+p.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { c.live(t, p) }) })
		}
	}
}

func (c choosing) live(t *testing.T, p protocol) {
	w := newWorld(t, p, func(_ *world, s *settings) {
		s.points = c.points
		if !c.gzip {
			s.ship.Compression = ship.CompressionNone
		}
	})
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	began := w.shipper.Stats().Attempts
	w.ingest.Behave(c.behave(w.producer.Ticks() + 1))
	time.Sleep(90 * time.Minute)
	synctest.Wait()
	requests := w.shipper.Stats().Attempts - began
	waiting := w.shipper.Stats().WaitingBatches
	w.end()
	if batches := int64(90 * time.Minute / config().Rules.BatchInterval); requests > batches+c.requestsMax {
		t.Errorf("%d requests for %d batches, want at most %d more", requests, batches, c.requestsMax)
	}
	if waiting > 1 || w.spool.Pending() > 0 {
		t.Errorf("%d batches wait, %d in the end", waiting, w.spool.Pending())
	}
	var dead int64
	for _, e := range w.spool.dead {
		dead += e.Items
	}
	if dead != c.dead || len(w.ledger.Losses()) > 0 {
		t.Errorf("%d points in dead letters, lost %v; want %d and none", dead, w.ledger.Losses(), c.dead)
	}
	if err := w.ingest.Exactly(w.producer.Ticks()); (err == nil) != (c.missing == 0) ||
		err != nil && int64(strings.Count(err.Error(), "arrived 0 times")) != c.missing {
		t.Errorf("%v; want %d ticks missing", err, c.missing)
	}
	w.wantFewDeaths(c.dead > 0)
}

// wantFewDeaths looks for the one line that tells of dead letters.
func (w *world) wantFewDeaths(some bool) {
	w.t.Helper()
	lines := strings.Count(w.log.String(), "set points aside")
	if some && (lines < 1 || lines > 3) || !some && lines > 0 {
		w.t.Errorf("%d lines tell of dead letters: %s", lines, w.log)
	}
}

// Points that an ingest leaves out of batches which it takes are dead letters,
// and no loss beside.
func TestHostileLeftOut(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, p, nil)
				time.Sleep(2 * time.Minute)
				var leftOut int64
				w.ingest.Behave(shiptest.Choosy(1, func(points int64) { leftOut += points }))
				time.Sleep(10 * time.Minute)
				w.end()
				var dead int64
				for _, e := range w.spool.dead {
					dead += e.Items
				}
				if dead != leftOut || leftOut == 0 || len(w.ledger.Losses()) > 0 || w.spool.Pending() > 0 {
					t.Errorf("%d points in dead letters of %d left out, lost %v, %d batches wait", dead, leftOut, w.ledger.Losses(), w.spool.Pending())
				}
			})
		})
	}
}

// A backend that answers 400 to everything for an hour, and is then put right,
// has cost nothing: not a point, not a dead letter, and a request a minute.
func TestHostileHourOfRefusals(t *testing.T) {
	for _, code := range []int{http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusUnavailableForLegalReasons} {
		c := behaves(http.StatusText(code), shiptest.Status(code)).paused()
		c.lasts = time.Hour
		t.Run(c.name, func(t *testing.T) { c.live(t, secure[3], nil) })
	}
}
