package ship_test

import (
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// tableTicks are all points of some ticks, and of some series.
func tableTicks(at ...time.Duration) tableBad {
	return func(p tablePoint) bool {
		for _, tick := range at {
			if p.at() == tick {
				return true
			}
		}
		return false
	}
}

func tableAny(all ...tableBad) tableBad {
	return func(p tablePoint) bool {
		for _, bad := range all {
			if bad(p) {
				return true
			}
		}
		return false
	}
}

// tableThird are points of a series in one tick of three.
func tableThird(series int32, every time.Duration) tableBad {
	return func(p tablePoint) bool { return p.series == series && int64(p.at()/every)%3 == 1 }
}

// tableTickShapes are batches of one, three and sixty ticks.
func tableTickShapes() map[string]tableShape {
	shape := func(mode ship.SpoolMode, fifo bool, every, batch time.Duration) tableShape {
		return tableShape{mode: mode, fifo: fifo, every: every, batch: batch, series: 98}
	}
	return map[string]tableShape{
		"1 tick":   shape(ship.SpoolOnFailure, false, 15*time.Second, 15*time.Second),
		"3 ticks":  shape(ship.SpoolAlways, false, 5*time.Second, 15*time.Second),
		"60 ticks": shape(ship.SpoolOnFailure, false, time.Second, time.Minute),
		"1, fifo":  shape(ship.SpoolAlways, true, 15*time.Second, 15*time.Second),
		"3, fifo":  shape(ship.SpoolOnFailure, true, 5*time.Second, 15*time.Second),
		"60, off":  shape(ship.SpoolOff, false, time.Second, time.Minute),
	}
}

// TestRefusalsOfTicks refuses all points of one tick, or of two.
func TestRefusalsOfTicks(t *testing.T) {
	t.Parallel()
	rows := map[string]tableBad{
		"one": tableTicks(15 * time.Minute),
		"two": tableTicks(15*time.Minute, 15*time.Minute+15*time.Second),
	}
	for of, shape := range tableTickShapes() {
		for name, bad := range rows {
			ticks := len(name)/4 + 1
			if name == "two" {
				ticks = 2
			}
			inTable(t, name+"/"+of, shape, func() tableServer { return tableRefusing(table400, bad) }, func(w *tableWorld) {
				w.run(25 * time.Minute)
				w.stop()
				w.wantGood(bad)
				w.wantSearch(24 * ticks)
				w.wantFresh(bad, w.refusal+8*shape.batch, w.ended-2*shape.batch)
				w.wantQuiet(w.refusal+8*shape.batch, w.ended, 1, 60) // the last of the two searches may end in it
				w.wantBadGone(bad, w.refusal+8*shape.batch)
				if n := len(w.disk.letters); n > ticks {
					t.Errorf("%d letters of %d ticks", n, ticks)
				}
			})
		}
	}
}

// TestRefusalsOfThirds refuses a series in every third tick only.
func TestRefusalsOfThirds(t *testing.T) {
	t.Parallel()
	for of, shape := range tableTickShapes() {
		third := tableThird(40, shape.every)
		gone := tableSeries(0, 40)
		inTable(t, "alone/"+of, shape, func() tableServer { return tableRefusing(table400, third) }, func(w *tableWorld) {
			w.run(40 * time.Minute)
			w.stop()
			w.wantGood(gone)
			w.wantFresh(gone, w.refusal+8*shape.batch, w.ended-2*shape.batch)
			w.wantQuiet(w.refusal+20*shape.batch, w.ended, 1, 45)
			w.wantBadGone(third, w.refusal+20*shape.batch)
		})
		three, all := tableAny(third, tableSeries(0, 5, 90)), tableSeries(0, 5, 40, 90)
		inTable(t, "one of three/"+of, shape, func() tableServer { return tableRefusing(table400, three) }, func(w *tableWorld) {
			w.run(40 * time.Minute)
			w.stop()
			w.wantGood(all)
			w.wantFresh(all, w.refusal+8*shape.batch, w.ended-2*shape.batch)
			w.wantQuiet(w.refusal+20*shape.batch, w.ended, 1, 45)
		})
	}
}

// TestRefusalsOfTickAndSeries refuses a tick and a series: the tick while the
// series is known by then, and both for the first time in one batch.
func TestRefusalsOfTickAndSeries(t *testing.T) {
	t.Parallel()
	for of, shape := range tableTickShapes() {
		for name, from := range map[string]time.Duration{"later": 0, "at once": tableMidRun} {
			bad := tableAny(tableSeries(from, 40), tableTicks(15*time.Minute))
			if name == "at once" {
				bad = tableAny(tableSeries(from, 40), tableTicks(tableMidRun+3*time.Second))
			}
			gone := tableAny(bad, tableSeries(from-shape.batch, 40)) // its last good ticks are in the same batch
			inTable(t, name+"/"+of, shape, func() tableServer { return tableRefusing(table400, bad) }, func(w *tableWorld) {
				w.run(30 * time.Minute)
				w.stop()
				w.wantGood(gone)
				w.wantSearch(tableSearch(1, 98) + 60) // a tick of 98 points is halved before the series is known
				tick := max(w.refusal, 15*time.Minute) + 8*shape.batch
				w.wantFresh(gone, tick, w.ended-2*shape.batch)
				w.wantQuiet(tick, w.ended, 1, 45)
			})
		}
	}
}
