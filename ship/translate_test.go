package ship_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	to "github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// Points that a backend names as bad cost themselves alone, fresh and spooled.
func TestNamedPointsAreSetAside(t *testing.T) {
	for _, mode := range []ship.SpoolMode{ship.SpoolOff, ship.SpoolOnFailure, ship.SpoolAlways} {
		synctest.Test(t, func(t *testing.T) {
			w, s := newLineWorld(t, to.Limits{}, withMode(mode))
			s.set(func(s *lineServer) {
				s.bad = func(p linePoint) bool { return strings.HasSuffix(string(p.Value), "77") }
			})
			time.Sleep(10 * time.Minute)
			w.outage(s, 10*time.Minute)
			time.Sleep(10 * time.Minute)
			_, dead, lost := w.books(s)
			if bad := dead + lost; bad < 10 || (mode == ship.SpoolOff) != (dead == 0) || (mode == ship.SpoolOff) != (lost > 0) {
				t.Errorf("%s: %d dead letters, %d lost", mode, dead, lost)
			}
			for _, reason := range w.spool.reasons {
				if reason != "bad point" {
					t.Errorf("%s: a letter for the reason %q", mode, reason)
				}
			}
			if requests := s.seen().requests; requests > 600 {
				t.Errorf("%s: %d requests", mode, requests)
			}
		})
	}
}

// A backend that takes nothing of a batch for the sake of one point, and says
// which, costs that point, and a request.
func TestTheOnePointThatIsInvalid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newLineWorld(t, to.Limits{}, nil)
		s.set(func(s *lineServer) {
			s.strict = true
			s.bad = func(p linePoint) bool { return strings.HasSuffix(string(p.Value), "77") }
		})
		time.Sleep(10 * time.Minute)
		requests := s.seen().requests
		w.outage(s, 10*time.Minute)
		time.Sleep(10 * time.Minute)
		_, dead, lost := w.books(s)
		if dead < 10 || lost > 0 || requests > 60 {
			t.Errorf("%d dead letters, %d lost, %d requests in ten minutes", dead, lost, requests)
		}
	})
}

// If it says so of every point, it may be the endpoint that is wrong.
func TestEveryPointIsInvalid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newLineWorld(t, to.Limits{}, nil)
		s.set(func(s *lineServer) { s.strict, s.bad = true, func(linePoint) bool { return true } })
		time.Sleep(3 * time.Hour)
		if stats := w.shipper.Stats(); stats.Phase != "paused" || w.deadLetters() > 0 {
			t.Errorf("%d dead letters, %+v", w.deadLetters(), stats)
		}
		s.set(func(s *lineServer) { s.bad = func(linePoint) bool { return false } })
		if _, dead, lost := w.books(s); dead+lost > 0 {
			t.Errorf("%d dead letters, %d lost", dead, lost)
		}
	})
}

// What a backend refuses without saying which is lost, and counted.
func TestUnnamedPointsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newLineWorld(t, to.Limits{}, nil)
		s.set(func(s *lineServer) {
			s.drop = func(p linePoint) bool { return strings.HasSuffix(string(p.Value), "77") }
		})
		time.Sleep(10 * time.Minute)
		w.outage(s, 10*time.Minute)
		if stored, dead, lost := w.books(s); dead > 0 || lost < 10 || stored < 2000 {
			t.Errorf("%d stored, %d dead letters, %d lost", stored, dead, lost)
		}
	})
}

// A backend that is busy for some points gets those again, and no others.
func TestBusyPointsAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newLineWorld(t, to.Limits{}, nil)
		asked := make(map[linePoint]bool)
		s.set(func(s *lineServer) {
			s.busy = func(p linePoint) bool { // the first time
				first := !asked[p]
				asked[p] = true
				return first && strings.HasSuffix(string(p.Value), "3")
			}
		})
		time.Sleep(time.Hour)
		if stored, dead, lost := w.books(s); dead+lost > 0 || stored < 7000 {
			t.Errorf("%d stored, %d dead letters, %d lost", stored, dead, lost)
		}
		if again := s.seen().received - len(s.seen().stored); again > len(s.seen().stored)/8 {
			t.Errorf("%d points were sent again, want a tenth of %d", again, len(s.seen().stored))
		}
	})
}

// A backend that takes a batch bit by bit gets all of it at once.
func TestABatchBitByBit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newLineWorld(t, to.Limits{}, nil)
		s.set(func(s *lineServer) {
			s.atMost = 7
			s.bad = func(p linePoint) bool { return strings.HasSuffix(string(p.Value), "77") }
		})
		time.Sleep(10 * time.Minute)
		if stats := w.shipper.Stats(); stats.Failures > 0 || stats.WaitingBatches > 1 {
			t.Errorf("%+v", stats)
		}
		w.outage(s, 10*time.Minute)
		time.Sleep(30 * time.Minute)
		if stored, dead, lost := w.books(s); dead == 0 || lost > 0 || stored < 5000 {
			t.Errorf("%d stored, %d dead letters, %d lost", stored, dead, lost)
		}
	})
}

// One that takes nothing of it is not asked again at once.
func TestABatchOfWhichNothingIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newLineWorld(t, to.Limits{}, nil)
		s.set(func(s *lineServer) { s.busy = func(linePoint) bool { return true } })
		time.Sleep(time.Hour)
		s.set(func(s *lineServer) { s.busy, s.atMost = func(linePoint) bool { return false }, -1 })
		time.Sleep(time.Hour)
		if stats := w.shipper.Stats(); stats.Phase != "down" || s.seen().requests > 400 || stats.DeliveredPoints > 0 {
			t.Errorf("%d requests, %+v", s.seen().requests, stats)
		}
		s.set(func(s *lineServer) { s.atMost = 0 })
		time.Sleep(time.Hour)
		if _, dead, lost := w.books(s); dead+lost > 0 {
			t.Errorf("%d dead letters, %d lost", dead, lost)
		}
	})
}

// What a backend would drop without a word for its age is not sent: it is set
// aside, or counted, and only that.
func TestPointsOutsideOfTheWindow(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, s := newLineWorld(t, to.Limits{MaxAge: 20 * time.Minute}, func(s *settings) { s.ship.FIFO = fifo })
			s.set(func(s *lineServer) {
				s.bad = func(p linePoint) bool {
					if age := time.Since(time.UnixMilli(p.TimeMS)); age > 20*time.Minute {
						t.Errorf("a point was sent at the age of %v", age)
					}
					return false
				}
			})
			time.Sleep(10 * time.Minute)
			w.outage(s, time.Hour)
			time.Sleep(time.Hour)
			stored, dead, lost := w.books(s)
			if dead < 40*12*10 || lost > 0 || stored < 60*12*10 {
				t.Errorf("fifo %v: %d stored, %d dead letters, %d lost", fifo, stored, dead, lost)
			}
			for _, reason := range w.spool.reasons {
				if !strings.Contains(reason, "older than 20m") {
					t.Errorf("a letter for the reason %q", reason)
				}
			}
		})
	}
}

// Nor is what it would drop for its future, after the clock was set back.
func TestPointsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newLineWorld(t, to.Limits{MaxAhead: time.Minute}, nil)
		defer w.end()
		client := w.lineClient(to.Limits{MaxAhead: time.Minute})
		defer client.Close()
		now := time.Now()
		body := fmt.Sprintf(`{"schema":"heka.batch/1","batch_id":%q,"agent":{"id":"a","version":"1","epoch":"0000000000000007","seq":1},"times":[%d,%d],"series":[`+
			`{"name":"x","unit":"1","kind":"gauge","labels":{},"values":[1,2]}]}`, metric.BatchID(7, 1), now.Add(59*time.Second).UnixMilli(), now.Add(2*time.Minute).UnixMilli())
		o := client.Send(t.Context(), ship.Payload{ID: metric.BatchID(7, 1), Points: 2, Body: []byte(body)})
		if o.Verdict != ship.Acked || o.Unsent || o.RejectedPoints != 1 || !strings.Contains(o.Cause, "in the future") || !slices.Equal(o.OutsidePlaces, []metric.Place{{Series: 0, Time: 1}}) || len(o.RejectedPlaces) > 0 || len(s.seen().stored) != 1 {
			t.Errorf("%+v, stored %v", o, s.seen().stored)
		}
	})
}

// A batch that needs no request says nothing of the backend: neither that it is
// well, nor that what it refuses is bad.
func TestWhatIsNotSentIsNoAcknowledgement(t *testing.T) {
	for status, phase := range map[int]string{502: "down", 400: "paused"} {
		synctest.Test(t, func(t *testing.T) {
			w, s := newLineWorld(t, to.Limits{MaxAge: 30 * time.Minute}, func(s *settings) { s.ship.FIFO = true })
			time.Sleep(time.Minute)
			s.set(func(s *lineServer) { s.refuses = status })
			time.Sleep(2 * time.Hour) // in strict order, what is too old is probed first
			stats := w.shipper.Stats()
			if stats.Phase != phase || stats.DeliveredPoints > 12*10 || stats.Attempts != int64(s.seen().requests) || time.Since(stats.LastDelivery) < 90*time.Minute {
				t.Errorf("%d: %+v", status, stats)
			}
			if said := strings.Count(w.log.String(), "delivered again"); said > 0 {
				t.Errorf("%d: %d times delivered again, in an outage:\n%s", status, said, w.log)
			}
			s.set(func(s *lineServer) { s.refuses = 0 })
			w.books(s)
			for _, reason := range w.spool.reasons {
				if !strings.Contains(reason, "older than 30m") {
					t.Errorf("%d: a letter for the reason %q", status, reason)
				}
			}
		})
	}
}

// Batches that need no request do not vouch for an endpoint that refuses all others.
func TestWhatIsNotSentVouchesForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.backend.set(func(p ship.Payload) ship.Outcome {
			if decode(p).Agent.Seq%2 == 0 {
				return ship.Outcome{Verdict: ship.Acked, Unsent: true, RejectedPoints: p.Points, Cause: "too old"}
			}
			return refusal
		})
		r.run(6 * time.Hour)
		if s := r.shipper.Stats(); s.Phase != "paused" || r.setAside() > 0 {
			t.Errorf("%+v; %d points set aside", s, r.setAside())
		}
		r.stop()
	})
}

// A batch that is cut without asking ends no outage.
func TestALimitKnownBeforehandEndsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.backend.set(func(p ship.Payload) ship.Outcome {
			if p.Points > 10 {
				return ship.Outcome{Verdict: ship.TooLarge, Unsent: true, Cause: "too large"}
			}
			if s := r.shipper.Stats(); s.Failures > 0 && s.Phase != "down" {
				t.Errorf("%+v", s)
			}
			return unavailable
		})
		r.runWide(time.Hour, 10)
		if s := r.shipper.Stats(); s.Phase != "down" || s.Attempts > 200 {
			t.Errorf("%+v", s)
		}
		r.backend.set(nil)
		r.runWide(time.Hour, 10)
		r.stop()
		r.wantEveryTick()
	})
}

// A backend's known limits are kept without asking it.
func TestKnownLimits(t *testing.T) {
	for _, limits := range []to.Limits{{PlainBytes: 2000}, {Bytes: 400}} {
		synctest.Test(t, func(t *testing.T) {
			w, s := newLineWorld(t, limits, nil)
			time.Sleep(10 * time.Minute)
			requests := s.seen().requests
			s.set(func(s *lineServer) { s.refuses = 502 })
			time.Sleep(15 * time.Minute)
			if stats := w.shipper.Stats(); stats.Phase != "down" || s.seen().requests-requests > 70 {
				t.Errorf("%+v: %d requests in a quarter of an hour's outage, %+v", limits, s.seen().requests-requests, stats)
			}
			s.set(func(s *lineServer) { s.refuses = 0 })
			time.Sleep(time.Hour)
			if _, dead, lost := w.books(s); dead+lost > 0 {
				t.Errorf("%+v: %d dead letters, %d lost", limits, dead, lost)
			}
			if limits.PlainBytes > 0 && s.seen().plainMost > limits.PlainBytes || limits.Bytes > 0 && int(s.seen().bodyMost) > limits.Bytes {
				t.Errorf("%+v: a body of %d bytes was sent, %d before its compression", limits, s.seen().bodyMost, s.seen().plainMost)
			}
		})
	}
}

// What one exporter has spooled, another delivers, whatever the compression.
func TestAnotherExporterOverASpool(t *testing.T) {
	for _, compression := range []ship.Compression{ship.CompressionNone, ship.CompressionGzip, ship.CompressionZstd} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.Compression = compression
			r := start(t, cfg, 4<<20)
			r.backend.fail(unavailable)
			r.runWide(30*time.Minute, 10)
			r.stop()
			waiting := r.spooled()
			w, s := newLineWorld(t, to.Limits{}, func(s *settings) { s.ship.Compression = ship.CompressionZstd })
			for _, e := range r.spool.entries {
				_ = w.spool.Append(e) // it is not broken
			}
			time.Sleep(time.Hour)
			w.drain()
			w.end()
			if stored, made := int64(len(s.seen().stored)), w.producer.Ticks()*10+waiting; stored != made || waiting < 3000 {
				t.Errorf("%s: %d points stored of %d, of which %d were spooled", compression, stored, made, waiting)
			}
			if plainly := s.seen().plain > 0; plainly != (compression == ship.CompressionNone) {
				t.Errorf("%s: %d bodies were not compressed", compression, s.seen().plain)
			}
			if len(s.seen().tokens) < 100 || s.seen().tokens[""] {
				t.Errorf("%s: %d batch ids as tokens", compression, len(s.seen().tokens))
			}
		})
	}
}

// A record that cannot be read is set aside, and holds up nothing.
func TestARecordThatCannotBeTranslated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newLineWorld(t, to.Limits{}, nil)
		e := ship.Entry{ID: ship.ID{Epoch: 7, Seq: 1}, Items: 3, TimeMS: 1, Payload: []byte(`{"schema":"heka.batch/9"}`)}
		if err := w.spool.Append(e); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		w.drain()
		w.end()
		if len(w.spool.dead) != 1 || !strings.Contains(fmt.Sprint(w.spool.reasons), "heka.batch/9") || int64(len(s.seen().stored)) != w.producer.Ticks()*10 {
			t.Errorf("%d letters %q; %d points stored of %d ticks", len(w.spool.dead), w.spool.reasons, len(s.seen().stored), w.producer.Ticks())
		}
	})
}

// What is left of one batch is not taken for another.
func TestTheRestIsOfItsBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newLineWorld(t, to.Limits{}, nil)
		defer w.end()
		client := w.lineClient(to.Limits{})
		defer client.Close()
		s.set(func(s *lineServer) { s.busy = func(p linePoint) bool { return p.Value == "1" } })
		for i, step := range []struct {
			batch   int
			verdict ship.Verdict
		}{
			{1, ship.Retry}, // but for one point
			{1, ship.Retry}, // only that is sent
			{2, ship.Acked},
			{1, ship.Retry}, // the other one a second time
		} {
			id := metric.BatchID(7, uint64(step.batch))
			body := fmt.Sprintf(`{"schema":"heka.batch/1","batch_id":%q,"agent":{"id":"a","version":"1","epoch":"0000000000000007","seq":%d},"times":[1],"series":[`+
				`{"name":"x","unit":"1","kind":"gauge","labels":{},"values":[%d]},{"name":"y","unit":"1","kind":"gauge","labels":{},"values":[9]}]}`, id, step.batch, step.batch)
			if o := client.Send(t.Context(), ship.Payload{ID: id, Points: 2, Body: []byte(body)}); o.Verdict != step.verdict {
				t.Errorf("step %d: %+v, want verdict %d", i, o, step.verdict)
			}
		}
		if s.seen().stored[linePoint{"x[]", 1, "2"}] != 1 || s.seen().stored[linePoint{"y[]", 1, "9"}] != 3 {
			t.Errorf("stored %v", s.seen().stored)
		}
	})
}

// A payload is the shipper's: the client changes nothing of it.
func TestThePayloadStaysAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newLineWorld(t, to.Limits{MaxAge: time.Hour}, nil)
		defer w.end()
		b := &encode.Native{}
		old := []byte(`{"schema":"heka.batch/1","batch_id":"00000000000000070000000000000001","agent":{"id":"a","version":"1","epoch":"0000000000000007","seq":1},"times":[1],"series":[{"name":"x","unit":"1","kind":"gauge","labels":{},"values":[5]}]}`)
		if _, err := b.Decode(old); err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(old)
		client := w.lineClient(to.Limits{MaxAge: time.Hour})
		defer client.Close()
		o := client.Send(t.Context(), ship.Payload{ID: "00000000000000070000000000000001", Points: 1, Body: old, Compression: ship.CompressionNone})
		if o.Verdict != ship.Acked || !o.Unsent || o.RejectedPoints != 1 || len(o.OutsidePlaces) != 1 || len(o.RejectedPlaces) > 0 || !bytes.Equal(before, old) || s.seen().requests > 0 {
			t.Errorf("%+v, %d requests", o, s.seen().requests)
		}
	})
}
