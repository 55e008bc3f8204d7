package ship_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// tally counts the requests for each batch, those for its parts included.
type tally struct {
	mu       sync.Mutex
	requests map[string]int
}

func (c *tally) of(b shiptest.Behaviour) shiptest.Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			whole, _, _ := strings.Cut(r.Header.Get("Idempotency-Key"), "/")
			c.mu.Lock()
			c.requests[whole]++
			c.mu.Unlock()
			b(well).ServeHTTP(w, r)
		})
	}
}

// most returns how many requests the batch took that took the most, and how
// many batches took more than one.
func (c *tally) most() (requests, batches int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.requests {
		requests = max(requests, n)
		if n > 1 {
			batches++
		}
	}
	return requests, batches
}

// point names a point of a Producer: its tick is that of its time.
type point struct {
	series string
	timeMS int64
}

// each counts the points that arrived or died, and finds those that did twice.
func (w *world) each(batches ...*metric.Batch) (n int64) {
	w.t.Helper()
	seen := make(map[point]bool)
	for _, b := range batches {
		for _, column := range b.Series {
			name := fmt.Sprint(column.Name, column.Series.Labels)
			for i, v := range column.Values {
				p := point{name, b.Times[i]}
				if v.IsNull() {
					continue
				}
				if seen[p] {
					w.t.Errorf("%v is there twice", p)
				}
				seen[p] = true
			}
		}
	}
	return int64(len(seen))
}

func (w *world) arrived() (batches []*metric.Batch) {
	for _, a := range w.ingest.Arrivals() {
		batches = append(batches, a.Batch)
	}
	return batches
}

// inParts counts the points that arrived in parts of batches.
func (w *world) inParts() (points int64) {
	for _, a := range w.ingest.Arrivals() {
		if a.Part != "" {
			points += a.Points()
		}
	}
	return points
}

func (w *world) letters() (batches []*metric.Batch) {
	for _, e := range w.spool.dead {
		batches = append(batches, decode(ship.Payload{
			ID: e.String(), Points: e.Items, Body: e.Payload, Compression: ship.CompressionOf(e.Payload),
		}))
	}
	return batches
}

// deadLetters counts them.
func (w *world) deadLetters() int {
	w.spool.mu.Lock()
	defer w.spool.mu.Unlock()
	return len(w.spool.dead)
}

// drain waits until nothing waits.
func (w *world) drain() {
	w.t.Helper()
	w.wait("the end of the backlog", func() bool {
		s := w.shipper.Stats()
		return s.Phase == "healthy" && s.WaitingBatches == 0
	})
}

// wait waits for what must come to pass within hours.
func (w *world) wait(what string, done func() bool) {
	w.t.Helper()
	for began := time.Now(); !done(); time.Sleep(interval) {
		if time.Since(began) > 6*time.Hour {
			w.t.Fatalf("%s does not come: %+v", what, w.shipper.Stats())
		}
	}
}

// wantDead fails unless so many points are dead letters, and all others have
// arrived, each once, with nothing lost or waiting. It ends the world.
func (w *world) wantDead(dead int64, points int, but ...int64) {
	w.t.Helper()
	w.drain()
	w.end()
	if err := w.ingest.Exactly(w.producer.Ticks(), but...); err != nil {
		w.t.Error(err)
	}
	letters := w.letters()
	if n := w.each(letters...); n != dead {
		w.t.Errorf("%d points are dead, want %d: %q", n, dead, w.spool.reasons)
	}
	all, produced := w.each(append(w.arrived(), letters...)...), w.producer.Ticks()*int64(points)
	if all != produced {
		w.t.Errorf("%d points arrived or are dead, want %d", all, produced)
	}
	if lost := w.ledger.Losses(); len(lost) > 0 || w.spool.Pending() > 0 {
		w.t.Errorf("lost %v, %d batches wait", lost, w.spool.Pending())
	}
}

// batchTicks is how many ticks a batch of these tests holds.
const batchTicks = 10

// wide begins a world with ticks of so many points, and ten ticks a batch.
func wide(t *testing.T, p protocol, points int, mode ship.SpoolMode, compression ship.Compression) *world {
	w := newWorld(t, p, func(_ *world, s *settings) {
		s.points = points
		s.ship.Mode, s.ship.Compression = mode, compression
		s.ship.Rules.BatchInterval = batchTicks * interval
	})
	time.Sleep(3 * time.Minute)
	return w
}

// refuse lets nothing through for d, so that there is a backlog.
func (w *world) refuse(d time.Duration) {
	w.network.Suffer(shiptest.Fault{Refuse: true})
	time.Sleep(d)
	w.network.Suffer(shiptest.Fault{})
}

// One bad point in 5,000 costs itself, and 28 requests, whatever 4xx says so. Of a backend that
// answers 500 to it nobody knows at first that it is not merely down: there are
// probes before, of the batch and of the point.
func TestHostilePoison(t *testing.T) {
	for i, c := range []struct {
		code int
		mode ship.SpoolMode
		// points is how many a tick holds, most how many requests the batch takes.
		points, most int
	}{
		{400, ship.SpoolOnFailure, 500, 28},
		{406, ship.SpoolAlways, 50, 24},
		{422, ship.SpoolOnFailure, 50, 24},
		{402, ship.SpoolOnFailure, 50, 24},
		{451, ship.SpoolAlways, 50, 24},
		{500, ship.SpoolOnFailure, 50, 72},
	} {
		for _, p := range sample(i) {
			t.Run(fmt.Sprintf("%d, %s, %s", c.code, c.mode, p.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := wide(t, p, c.points, c.mode, ship.CompressionGzip)
					bad, count := w.producer.Ticks()+batchTicks+7, &tally{requests: make(map[string]int)}
					w.ingest.Behave(count.of(shiptest.Poison(c.code, bad)))
					w.wait("a dead letter", func() bool { return w.deadLetters() > 0 })
					w.wantDead(1, c.points, bad)
					// Fresh batches leave the suspect out while the search waits for one.
					if n, all := w.inParts(), int64(batchTicks*c.points); n < all-1 || n > 3*all {
						t.Errorf("%d points arrived in parts, want all but one of %d, and of few batches beside it", n, all)
					}
					if requests, batches := count.most(); requests > c.most || requests < 10 || batches > 3 {
						t.Errorf("%d requests for the batch with the bad point, %d took more than one; want at most %d, for it and two fresh ones", requests, batches, c.most)
					}
				})
			})
		}
	}
}

// A backend that takes less than what is made and what is spooled gets it in
// pieces, also if it does not read what it refuses.
func TestHostileLimit(t *testing.T) {
	for i, compression := range []ship.Compression{ship.CompressionNone, ship.CompressionZstd} {
		for _, p := range sample(i + 2) {
			t.Run(fmt.Sprintf("%s, %s", compression, p.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const points = 150
					w := wide(t, p, points, ship.SpoolOnFailure, compression)
					w.refuse(5 * time.Minute)
					e, _ := w.spool.first()
					limit, refused := int64(len(e.Payload)/2), &atomic.Int64{}
					w.ingest.Behave(func(well http.Handler) http.Handler {
						return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
							if r.ContentLength > limit {
								refused.Add(1)
							}
							shiptest.Limited(limit)(well).ServeHTTP(rw, r)
						})
					})
					time.Sleep(10 * time.Minute)
					w.wantDead(0, points)
					if n := refused.Load(); n < 1 || n > 10 {
						t.Errorf("%d requests were too large, want some, and at most 10", n)
					}
					if n, all := w.inParts(), w.producer.Ticks()*points; n == 0 || n > all/2 {
						t.Errorf("%d of %d points arrived in parts: fresh batches should soon fit", n, all)
					}
				})
			})
		}
	}
}

// A compression that the backend does not take is left at once, for all that
// is made and all that is spooled.
func TestHostileEncoding(t *testing.T) {
	for i, c := range []struct {
		takes   []string
		refused int
	}{{[]string{"gzip", ""}, 1}, {[]string{""}, 2}} {
		for _, p := range sample(i + 2) {
			t.Run(fmt.Sprintf("takes %q, %s", c.takes, p.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const points = 20
					w := wide(t, p, points, ship.SpoolOnFailure, ship.CompressionZstd)
					w.refuse(5 * time.Minute)
					count := &tally{requests: make(map[string]int)}
					w.ingest.Behave(count.of(shiptest.Takes(c.takes...)))
					time.Sleep(10 * time.Minute)
					w.wantDead(0, points)
					if requests, batches := count.most(); requests != 1+c.refused || batches != 1 {
						t.Errorf("%d requests for one batch, and more than one for %d; want %d for one", requests, batches, 1+c.refused)
					}
				})
			})
		}
	}
}

// What a backend leaves out of a batch that it takes is dead, and not sent again.
// The series that it names are left out of later batches, but for retests.
func TestHostileRejectedSeries(t *testing.T) {
	for _, p := range sample(3) {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const points = 20
				w := wide(t, p, points, ship.SpoolOnFailure, ship.CompressionGzip)
				w.drain()
				before, count := w.each(w.arrived()...), &tally{requests: make(map[string]int)}
				named := &atomic.Int64{}
				refused := func(s *metric.Series) bool {
					bad := len(s.Labels) > 0 && (s.Labels[0].Value == "1" || s.Labels[0].Value == "2")
					if bad {
						named.Add(1)
					}
					return bad
				}
				w.ingest.Behave(count.of(shiptest.LeavesOut("too many series", refused)))
				time.Sleep(time.Hour)
				w.drain()
				w.end()
				ticks := w.producer.Ticks() - before/points
				w.wantDead(2*ticks, points)
				if n := named.Load(); n < 3 || n > 2+15 {
					t.Errorf("%d times the series were sent, want both once and then retests of one at a time", n)
				}
				if requests, _ := count.most(); requests > 2 || len(count.requests) < 60 {
					t.Errorf("%d batches took up to %d requests, want one for each and one for a retest", len(count.requests), requests)
				}
				for _, reason := range w.spool.reasons {
					if reason != "too many series" {
						t.Fatalf("a letter for the reason %q", reason)
					}
				}
			})
		})
	}
}

// An endpoint that refuses everything for an hour is asked at most once a
// minute, and nothing is taken for dead.
func TestHostileRefusalOfEverything(t *testing.T) {
	for i, code := range []int{400, 402, 413, 422} {
		for _, p := range sample(i) {
			t.Run(fmt.Sprintf("%d, %s", code, p.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, p, nil)
					time.Sleep(5 * time.Minute)
					w.ingest.Behave(shiptest.Status(code))
					w.until("paused")
					from := len(w.ingest.Requests())
					time.Sleep(time.Hour)
					requests := w.ingest.Requests()[from-1:]
					for i := range requests[1:] {
						if gap := requests[i+1].Sub(requests[i]); gap < time.Minute {
							t.Errorf("paused, and two requests within %v", gap)
						}
					}
					if len(requests) < 4 {
						t.Errorf("%d requests in an hour: it would not see that all is well again", len(requests)-1)
					}
					w.ingest.Behave(nil)
					w.settle()
					w.end()
					w.wantEverythingOnce()
				})
			})
		}
	}
}
