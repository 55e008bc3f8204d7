package ship_test

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

var (
	table400   = ship.Outcome{Verdict: ship.Reject, Status: http.StatusBadRequest, Cause: "400"}
	table422   = ship.Outcome{Verdict: ship.Reject, Status: http.StatusUnprocessableEntity, Cause: "422"}
	table500   = ship.Outcome{Verdict: ship.Retry, Status: http.StatusInternalServerError, Cause: "500", MayBeContent: true}
	tableReset = ship.Outcome{Verdict: ship.Retry, Cause: "connection reset", MayBeContent: true}
	table403   = ship.Outcome{Verdict: ship.Pause, Status: http.StatusForbidden, Cause: "403", MayBeContent: true}
	tableAcked = ship.Outcome{Verdict: ship.Acked, Status: http.StatusOK}
)

// tableMidRun begins a batch, with ticks of 1 s and of 5 s.
const tableMidRun = 2*time.Minute + 12*time.Second

// tableBad says which points a server refuses.
type tableBad func(p tablePoint) bool

// tableRefusing refuses a body with a bad point in it.
func tableRefusing(o ship.Outcome, bad tableBad) tableServer {
	return func(b *tableBody) ship.Outcome {
		if slices.ContainsFunc(b.points, bad) {
			return o
		}
		return tableAcked
	}
}

// tableSeries are points of some series, from a time on that begins a batch.
func tableSeries(from time.Duration, numbers ...int32) tableBad {
	return func(p tablePoint) bool { return p.at() > from && slices.Contains(numbers, p.series) }
}

// tableScattered returns k of n series.
func tableScattered(seed uint64, k, n int) (numbers []int32) {
	for _, i := range rand.New(rand.NewPCG(seed, 12)).Perm(n)[:k] {
		numbers = append(numbers, int32(i))
	}
	return numbers
}

func tableShapeOf(mode ship.SpoolMode, fifo bool, every time.Duration) tableShape {
	return tableShape{mode: mode, fifo: fifo, every: every, batch: 15 * time.Second, series: 98}
}

// tableShapes is each mode, order and pace at least once with each other.
func tableShapes() []tableShape {
	return []tableShape{
		tableShapeOf(ship.SpoolOnFailure, false, 5*time.Second),
		tableShapeOf(ship.SpoolAlways, true, 5*time.Second),
		tableShapeOf(ship.SpoolOff, false, 5*time.Second),
		tableShapeOf(ship.SpoolAlways, false, time.Second),
		tableShapeOf(ship.SpoolOff, true, time.Second),
		tableShapeOf(ship.SpoolOnFailure, true, 5*time.Second),
	}
}

// tableTwo returns two of the shapes, other ones for each of six numbers.
func tableTwo(i int) []tableShape {
	all := tableShapes()
	return []tableShape{all[i%len(all)], all[(i+1)%len(all)]}
}

// inTable runs a world in a bubble of its own, beside others.
func inTable(t *testing.T, name string, shape tableShape, server func() tableServer, do func(w *tableWorld)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { do(newTableWorld(t, shape, server())) })
	})
}

// TestRefusalsOfSeries refuses whole series for good, from the first batch on or
// from a time in mid-run.
func TestRefusalsOfSeries(t *testing.T) {
	t.Parallel()
	block := tableRange(20, 53)
	rows := []struct {
		name string
		k    int
		bad  tableBad
		o    ship.Outcome
	}{
		{"first", 1, tableSeries(0, 0), table400},
		{"middle", 1, tableSeries(0, 40), table422},
		{"last", 1, tableSeries(0, 97), table400},
		{"first in mid-run", 1, tableSeries(tableMidRun, 0), table400},
		{"last in mid-run", 1, tableSeries(tableMidRun, 97), table422},
		{"three", 3, tableSeries(0, 5, 41, 90), table400},
		{"three in mid-run", 3, tableSeries(tableMidRun, 0, 1, 97), table400},
		{"block of 33", 33, tableSeries(0, block...), table400},
		{"block of 33 in mid-run", 33, tableSeries(tableMidRun, block...), table422},
		{"33 scattered (1)", 33, tableSeries(0, tableScattered(1, 33, 98)...), table400},
		{"33 scattered (2)", 33, tableSeries(tableMidRun, tableScattered(2, 33, 98)...), table400},
		{"33 scattered (3)", 33, tableSeries(0, tableScattered(3, 33, 98)...), table400},
	}
	for i, row := range rows {
		for _, shape := range tableTwo(i) {
			inTable(t, row.name+"/"+shape.String(), shape, func() tableServer { return tableRefusing(row.o, row.bad) }, func(w *tableWorld) {
				w.run(30 * time.Minute)
				w.stop()
				w.wantGood(row.bad)
				w.wantSearch(tableSearch(row.k, 98))
				settled := w.refusal + 8*shape.batch
				w.wantFresh(row.bad, settled, w.ended-2*shape.batch)
				w.wantQuiet(settled, w.ended, 1, 45)
				w.wantBadGone(row.bad, settled)
			})
		}
	}
}
