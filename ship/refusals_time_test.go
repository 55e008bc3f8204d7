package ship_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// TestRefusalsOfNearlyAll refuses 97 of 98 series for good.
func TestRefusalsOfNearlyAll(t *testing.T) {
	t.Parallel()
	bad := func(p tablePoint) bool { return p.series != 60 }
	for _, shape := range tableShapes()[:2] {
		inTable(t, shape.String(), shape, func() tableServer { return tableRefusing(table400, bad) }, func(w *tableWorld) {
			w.run(4 * time.Hour)
			w.stop()
			w.wantGood(bad)
			w.wantFresh(bad, 3*time.Hour, w.ended-2*shape.batch)
		})
	}
}

// TestRefusalsOfAge has a server that takes nothing older than 600 s, after an
// outage of 2,000 s.
func TestRefusalsOfAge(t *testing.T) {
	t.Parallel()
	const from, to = 1000 * time.Second, 3000 * time.Second
	for name, bad := range map[string]tableBad{"alone": tableNone, "and a series": tableSeries(0, 40), "and a series later": tableSeries(to, 40)} {
		for _, shape := range tableShapes()[:2] {
			if shape.fifo && name == "and a series later" {
				continue // strict order has nothing to learn the bound from: docs/delivery.md
			}
			server := func() tableServer {
				refusing := tableRefusing(table400, bad)
				return tableDuring(from, to, tableDown, func(b *tableBody) ship.Outcome {
					if slices.ContainsFunc(b.points, func(p tablePoint) bool { return b.at-p.at() > 600*time.Second }) {
						return table400
					}
					return refusing(b)
				})
			}
			gone := tableAny(bad, func(p tablePoint) bool { return p.at() > from-shape.batch && p.at() <= to })
			inTable(t, name+"/"+shape.String(), shape, server, func(w *tableWorld) {
				w.run(2 * time.Hour)
				w.stop()
				w.wantGood(gone)
				w.wantFresh(gone, max(to, w.refusal)+w.drains(30*time.Minute), w.ended-2*shape.batch)
				w.wantQuiet(to, to+30*time.Minute, 1, 300) // 34 batches of a minute waited
				w.wantBadGone(tableAny(bad, gone), to+10*time.Minute)
				if n := w.disk.calls; name == "alone" && n > 100 {
					w.t.Errorf("%d letters", n)
				}
			})
		}
	}
}

// TestRefusalsOfOrder has a server that takes nothing older than the newest that
// it has of a series, after an outage.
func TestRefusalsOfOrder(t *testing.T) {
	t.Parallel()
	const from, to = 10 * time.Minute, 40 * time.Minute
	for _, shape := range tableShapes()[:2] {
		server := func() tableServer {
			newest := make(map[int32]int32)
			return tableDuring(from, to, tableDown, func(b *tableBody) ship.Outcome {
				for _, p := range b.points {
					if p.ms < newest[p.series] {
						return table400
					}
				}
				for _, p := range b.points {
					newest[p.series] = max(newest[p.series], p.ms)
				}
				return tableAcked
			})
		}
		gone := func(p tablePoint) bool { return !shape.fifo && p.at() > from-2*shape.batch && p.at() <= to }
		inTable(t, shape.String(), shape, server, func(w *tableWorld) {
			w.run(2 * time.Hour)
			w.stop()
			w.wantGood(gone)
			w.wantFresh(gone, max(to, w.refusal)+w.drains(30*time.Minute), w.ended-2*shape.batch)
			w.wantQuiet(to, to+30*time.Minute, 1, 120)
		})
	}
}

// TestRefusalsForAWhile refuses series for 20 minutes.
func TestRefusalsForAWhile(t *testing.T) {
	t.Parallel()
	const from, to = tableMidRun, tableMidRun + 20*time.Minute
	for name, k := range map[string]int{"one": 1, "33": 33} {
		for _, shape := range tableShapes()[:4] {
			numbers := tableScattered(4, k, 98)
			bad := tableSeries(from, numbers...)
			server := func() tableServer {
				refusing := tableRefusing(table400, bad)
				return func(b *tableBody) ship.Outcome {
					if b.at > to {
						return tableAcked
					}
					return refusing(b)
				}
			}
			gone := func(p tablePoint) bool { return bad(p) && p.at() <= to+5*time.Minute+shape.batch }
			inTable(t, fmt.Sprint(name, "/", shape), shape, server, func(w *tableWorld) {
				w.run(50 * time.Minute)
				w.stop()
				w.wantGood(gone)
				w.wantFresh(bad, w.refusal+8*shape.batch, w.ended-2*shape.batch)
				w.wantFresh(gone, to+5*time.Minute, w.ended-2*shape.batch)
				w.wantBadGone(gone, from)
			})
		}
	}
}
