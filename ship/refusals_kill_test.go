package ship_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// TestRefusalsKilled kills the agent at each request of its first search, before
// and after the server took the body, and starts it again over its spool.
func TestRefusalsKilled(t *testing.T) {
	t.Parallel()
	bad := tableSeries(0, 40)
	always, backlog := tableShapes()[3], tableShapes()[0]
	always.every = 5 * time.Second
	fifo := tableShapes()[1]
	always.series, backlog.series, fifo.series = 41, 41, 41
	rows := []struct {
		name  string
		shape tableShape
		down  time.Duration // the outage that it begins with
	}{
		{"always", always, 0},
		{"always fifo", fifo, 0},
		{"backlog", backlog, 5 * time.Minute},
		{"backlog fifo", fifo, 5 * time.Minute},
	}
	for _, row := range rows {
		for i := range 20 {
			for _, late := range []bool{false, true} {
				server := func() tableServer { return tableDuring(0, row.down, tableDown, tableRefusing(table400, bad)) }
				inTable(t, fmt.Sprint(row.name, "/", i+1, "/", late), row.shape, server, func(w *tableWorld) {
					w.killAt, w.late = i+1, late
					w.run(row.down + 15*time.Minute)
					w.stop()
					w.wantGood(bad)
					if !row.shape.fifo {
						w.wantFresh(bad, w.refusal+time.Minute+16*row.shape.batch, w.ended-2*row.shape.batch)
					}
					if most := 16 * row.shape.series; row.shape.mode == ship.SpoolAlways && len(w.gone) > most {
						w.t.Errorf("%d points lost with the process, want at most %d", len(w.gone), most)
					}
				})
			}
		}
	}
}
