package ship_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// upTo refuses bodies over a limit.
func upTo(bytes int) func(ship.Payload) ship.Outcome {
	return func(p ship.Payload) ship.Outcome {
		if len(p.Body) > bytes {
			return ship.Outcome{Verdict: ship.TooLarge, Status: http.StatusRequestEntityTooLarge, Cause: "413"}
		}
		return ship.Outcome{Verdict: ship.Acked}
	}
}

// A limit that is lower than what is spooled, and than what is made: all of it
// arrives, the limit is found out a few times an hour, and fresh batches soon
// fit.
func TestTooLargeBatchesAreSplit(t *testing.T) {
	for _, compression := range []ship.Compression{ship.CompressionNone, ship.CompressionGzip} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.Compression = compression
			r := start(t, cfg, 4<<20)
			r.runWide(time.Minute, 100)
			r.backend.fail(unavailable)
			r.runWide(10*time.Minute, 100)
			refused := 0
			limit := upTo(r.largest() / 2)
			r.backend.set(func(p ship.Payload) ship.Outcome {
				o := limit(p)
				if o.Verdict != ship.Acked {
					refused++
				}
				return o
			})
			r.runWide(2*time.Hour, 100)
			if n := r.shipper.Stats().WaitingBatches; n > 2 {
				t.Errorf("%s: %d batches wait two hours later", compression, n)
			}
			r.stop()
			r.wantEveryTick()
			if refused > 40 || refused < 1 {
				t.Errorf("%s: %d requests were too large, want a few an hour", compression, refused)
			}
			if r.setAside() != 0 {
				t.Errorf("%s: %d points set aside, want none", compression, r.setAside())
			}
		})
	}
}

// A limit is believed for an hour: once it is gone, batches are whole again.
func TestALimitIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Rules.BatchInterval = time.Minute
		r := start(t, cfg, 4<<20)
		r.runWide(5*time.Minute, 100)
		r.backend.set(upTo(12 << 10))
		r.runWide(20*time.Minute, 100)
		r.backend.set(nil)
		from := len(keys(r.backend))
		r.runWide(30*time.Minute, 100)
		between := len(keys(r.backend))
		r.runWide(35*time.Minute, 100)
		after := len(keys(r.backend))
		r.runWide(time.Hour, 100)
		to := len(keys(r.backend))
		r.stop()
		if small, whole := between-from, to-after; small < 60 || small > 720 || whole > 62 {
			t.Errorf("%d batches in half an hour while the limit is believed, %d in an hour when it is not; want at most two a tick, then one a minute", small, whole)
		}
		r.wantEveryTick()
	})
}

// A compression that the backend does not take is left at once, for good.
func TestUnsupportedCompressionIsLeftOnce(t *testing.T) {
	for _, takes := range []ship.Compression{ship.CompressionGzip, ship.CompressionNone} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.Compression = ship.CompressionZstd
			r := start(t, cfg, 4<<20)
			r.backend.fail(unavailable)
			r.run(10 * time.Minute)
			refused := 0
			r.backend.set(func(p ship.Payload) ship.Outcome {
				if p.Compression != takes {
					refused++
					return ship.Outcome{Verdict: ship.Unsupported, Status: http.StatusUnsupportedMediaType, Cause: "415"}
				}
				return ship.Outcome{Verdict: ship.Acked}
			})
			r.run(2 * time.Hour)
			r.stop()
			r.wantEveryTick()
			if refused > 2 {
				t.Errorf("%s: %d requests had the wrong compression, want one for each stronger", takes, refused)
			}
		})
	}
}

// What an earlier process spooled in a compression that the backend does not
// take is sent in the one that is configured now.
func TestASpoolInAnUnsupportedCompressionIsDelivered(t *testing.T) {
	for _, now := range []struct {
		configured ship.Compression
		fifo       bool
	}{{ship.CompressionGzip, false}, {ship.CompressionGzip, true}, {ship.CompressionNone, false}, {ship.CompressionNone, true}} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.Compression = ship.CompressionZstd
			first := start(t, cfg, 4<<20)
			first.backend.fail(unavailable)
			first.run(10 * time.Minute)
			first.stop()
			cfg.Compression, cfg.FIFO = now.configured, now.fifo
			cfg.Agent.Epoch++
			r := startWith(t, cfg, 4<<20, first.spool)
			refused := 0
			r.backend.set(func(p ship.Payload) ship.Outcome {
				if p.Compression == now.configured {
					return ship.Outcome{Verdict: ship.Acked}
				}
				refused++
				return ship.Outcome{Verdict: ship.Unsupported, Status: http.StatusUnsupportedMediaType, Cause: "415"}
			})
			r.run(time.Hour)
			r.stop()
			if n := first.spool.Pending(); n != 0 || refused != 1 {
				t.Errorf("%+v: %d batches wait after %d refusals, want 0 after 1", now, n, refused)
			}
		})
	}
}

// A backend that takes none of them is wrong itself.
func TestNoCompressionSupportedIsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Compression = ship.CompressionGzip
		r := start(t, cfg, 4<<20)
		r.backend.fail(ship.Outcome{Verdict: ship.Unsupported, Status: http.StatusUnsupportedMediaType, Cause: "415"})
		r.run(2 * time.Hour)
		if phase := r.shipper.Stats().Phase; phase != "paused" {
			t.Errorf("phase = %s, want paused", phase)
		}
		if n := r.logLines(); n > 12 {
			t.Errorf("%d lines in two hours:\n%s", n, r.log)
		}
		if n := r.backend.requestCount(); n > 2*60 {
			t.Errorf("%d requests in two hours, want at most one a minute", n)
		}
		compressions := make(map[ship.Compression]bool)
		r.backend.set(func(p ship.Payload) ship.Outcome {
			compressions[p.Compression] = true
			return ship.Outcome{Verdict: ship.Acked}
		})
		r.run(2 * time.Hour)
		r.stop()
		r.wantEveryTick()
		if len(compressions) != 1 || !compressions[ship.CompressionGzip] {
			t.Errorf("sent %v after the backend was fixed, want gzip as configured", compressions)
		}
	})
}

// A flush cuts what is too large, and gives up on a backend that takes nothing.
func TestAFlushCutsWhatIsTooLarge(t *testing.T) {
	for name, answer := range map[string]func(ship.Payload) ship.Outcome{
		"a limit":        upTo(3 << 10),
		"no compression": func(ship.Payload) ship.Outcome { return ship.Outcome{Verdict: ship.Unsupported, Cause: "415"} },
	} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.Compression = ship.CompressionGzip
			cfg.Rules.BatchInterval = time.Minute
			r := start(t, cfg, 4<<20)
			r.runWide(time.Minute, 100)
			r.runWide(20*time.Second, 500)
			r.backend.set(answer)
			from := r.backend.requestCount()
			r.stop()
			if n := r.backend.requestCount() - from; n > 40 {
				t.Errorf("%s: %d requests in the flush", name, n)
			}
			if name == "a limit" {
				r.wantEveryTick()
			} else if r.spooled() == 0 || r.lost() != 0 {
				t.Errorf("%s: %d points spooled, lost %v; want all kept", name, r.spooled(), r.ledger.Losses())
			}
		})
	}
}
