package ship_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// tableDown is a failure that says nothing of what was sent.
var tableDown = ship.Outcome{Verdict: ship.Retry, Cause: "connection refused", NoConnection: true}

// tableDuring answers so for a time, whatever it is sent.
func tableDuring(from, to time.Duration, o ship.Outcome, otherwise tableServer) tableServer {
	return func(b *tableBody) ship.Outcome {
		if b.at > from && b.at <= to {
			return o
		}
		return otherwise(b)
	}
}

// TestRefusalsByFailure refuses series with what may be a failure of the server.
func TestRefusalsByFailure(t *testing.T) {
	t.Parallel()
	answers := map[string]ship.Outcome{"500": table500, "reset": tableReset, "403": table403}
	rows := map[string]tableBad{
		"one":          tableSeries(tableMidRun, 40),
		"one at once":  tableSeries(0, 97),
		"33 scattered": tableSeries(tableMidRun, tableScattered(1, 33, 98)...),
	}
	for code, o := range answers {
		for name, bad := range rows {
			for _, shape := range tableTwo(len(code) + len(name)) {
				inTable(t, code+"/"+name+"/"+shape.String(), shape, func() tableServer { return tableRefusing(o, bad) }, func(w *tableWorld) {
					w.run(35 * time.Minute)
					w.stop()
					w.wantGood(bad)
					settled := w.refusal + max(20*shape.batch, 10*time.Minute)
					w.wantFresh(bad, settled, w.ended-2*shape.batch)
					w.wantQuiet(settled+5*time.Minute, w.ended, 1, 45)
					w.wantBadGone(bad, settled)
				})
			}
		}
	}
}

// TestRefusalsOfOldBatch fails one batch of a backlog for good, by all of its
// points or one, while others pass.
func TestRefusalsOfOldBatch(t *testing.T) {
	t.Parallel()
	answers := map[string]ship.Outcome{"500": table500, "reset": tableReset, "403": table403, "400": table400}
	within := func(p tablePoint) bool { return p.at() > 385*time.Second && p.at() <= 445*time.Second } // a batch of a minute
	rows := map[string]tableBad{
		"all":       within,
		"two":       func(p tablePoint) bool { return p.at() > 385*time.Second && p.at() <= 505*time.Second }, // of 400 alone
		"one point": func(p tablePoint) bool { return p.series == 40 && p.at() == 430*time.Second },
	}
	for code, o := range answers {
		for name, bad := range rows {
			if name == "two" && code != "400" {
				continue
			}
			for _, shape := range tableShapes()[:2] {
				server := func() tableServer {
					return tableDuring(5*time.Minute, 10*time.Minute, tableDown, tableRefusing(o, bad))
				}
				inTable(t, code+"/"+name+"/"+shape.String(), shape, server, func(w *tableWorld) {
					w.run(time.Hour)
					w.stop()
					w.wantGood(tableAny(bad, within)) // others of the batch may go with it
					settled := w.refusal + max(20*shape.batch, 10*time.Minute)
					fresh := settled
					if shape.fifo {
						fresh += w.drains(5 * time.Minute)
					}
					w.wantFresh(bad, fresh, w.ended-2*shape.batch)
					w.wantBadGone(bad, fresh)
				})
			}
		}
	}
}

// TestRefusalsOfAll refuses everything for an hour, and then nothing or a series.
func TestRefusalsOfAll(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]time.Duration{"at once": 0, "in mid-run": tableMidRun} {
		for after, bad := range map[string]tableBad{"nothing": tableNone, "a series": tableSeries(from, 40)} {
			right := from + time.Hour
			server := func() tableServer { return tableDuring(from, right, table400, tableRefusing(table400, bad)) }
			for _, shape := range tableTwo(len(name) + len(after)) {
				inTable(t, name+"/"+after+"/"+shape.String(), shape, server, func(w *tableWorld) {
					w.run(2*time.Hour + from)
					w.stop()
					w.wantGood(bad)
					w.wantNoticed(right, 5*time.Minute)
					w.wantQuiet(w.refusal+10*time.Minute, right, 0, 60)
					w.wantFresh(bad, right+5*time.Minute+w.drains(time.Hour), w.ended-2*shape.batch)
				})
			}
		}
	}
}

// drains is how long after an outage fresh batches may be late: in strict order
// what waits goes first.
func (w *tableWorld) drains(outage time.Duration) time.Duration {
	if w.shape.fifo {
		return max(outage/2, 20*time.Minute)
	}
	return 8 * w.shape.batch
}

// wantNoticed fails unless something is accepted soon after a time.
func (w *tableWorld) wantNoticed(since, within time.Duration) {
	w.t.Helper()
	for _, r := range w.requests {
		if r.accepted && r.at > since {
			if r.at > since+within {
				w.t.Errorf("noticed after %v, want %v", r.at-since, within)
			}
			return
		}
	}
	w.t.Errorf("never noticed")
}

// TestRefusalsOfAllForShort refuses everything for 30 s, a deployment.
func TestRefusalsOfAllForShort(t *testing.T) {
	t.Parallel()
	for _, shape := range tableShapes()[:4] {
		for _, at := range []time.Duration{0, tableMidRun, tableMidRun + 5*time.Second} {
			server := func() tableServer {
				return tableDuring(at, at+30*time.Second, table400, tableRefusing(table400, tableNone))
			}
			inTable(t, fmt.Sprint(at, "/", shape), shape, server, func(w *tableWorld) {
				w.run(12 * time.Minute)
				w.stop()
				w.wantGood(tableNone)
				w.wantFresh(tableNone, at+30*time.Second+8*shape.batch, w.ended-2*shape.batch)
				w.wantFound()
			})
		}
	}
}

// wantFound fails if the log says of another series that it is refused.
func (w *tableWorld) wantFound(series ...int) {
	w.t.Helper()
	for line := range strings.Lines(w.log.String()) {
		if !strings.Contains(line, "series refused") {
			continue
		}
		known := false
		for _, x := range series {
			known = known || strings.Contains(line, fmt.Sprintf("{n=%d}", x))
		}
		if !known {
			w.t.Errorf("a good series is condemned: %s", line)
		}
	}
}

// TestRefusalsOfAllInSearch refuses everything for 30 s, from each request of a
// search on.
func TestRefusalsOfAllInSearch(t *testing.T) {
	t.Parallel()
	bad := tableSeries(tableMidRun, 40)
	for _, shape := range tableShapes()[:2] {
		for i := range 20 {
			server := func() tableServer {
				refusals, from := 0, time.Duration(-1)
				refusing := tableRefusing(table400, bad)
				return func(b *tableBody) ship.Outcome {
					o := refusing(b)
					if o.Verdict != ship.Acked || refusals > 0 {
						refusals++
					}
					if refusals > i && from < 0 {
						from = b.at
					}
					if from >= 0 && b.at < from+30*time.Second {
						return table400
					}
					return o
				}
			}
			inTable(t, fmt.Sprint(i, "/", shape), shape, server, func(w *tableWorld) {
				w.run(15 * time.Minute)
				w.stop()
				w.wantGood(bad)
				w.wantFresh(bad, w.refusal+2*time.Minute+8*shape.batch, w.ended-2*shape.batch)
				w.wantFound(40)
			})
		}
	}
}

// TestRefusalsByReplicas has two servers of which one refuses everything.
func TestRefusalsByReplicas(t *testing.T) {
	t.Parallel()
	for seed := range uint64(21) {
		server := func() tableServer {
			rng := rand.New(rand.NewPCG(seed, 21))
			return tableWhere(table400, func(b *tableBody) bool {
				if seed == 0 {
					return b.number%2 == 0
				}
				return rng.IntN(2) == 0
			})
		}
		shape := tableShapes()[seed%3]
		inTable(t, fmt.Sprint(seed, "/", shape), shape, server, func(w *tableWorld) {
			w.run(40 * time.Minute)
			late := w.undelivered(25 * time.Minute)
			w.server = tableRefusing(table400, tableNone)
			w.run(15 * time.Minute)
			w.stop()
			w.wantGood(tableNone)
			if late > 0 {
				w.t.Errorf("%d points not delivered after 15 min", late)
			}
			if !strings.Contains(w.log.String(), "contradicts itself") {
				w.t.Error("the log does not say that the backend contradicts itself")
			}
		})
	}
}

// undelivered counts the points up to a time that are not delivered by now.
func (w *tableWorld) undelivered(to time.Duration) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, tick := range w.ticks {
		for _, p := range tick {
			if _, ok := w.got[p]; !ok && p.at() <= to {
				n++
			}
		}
	}
	return n
}
