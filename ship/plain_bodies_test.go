package ship_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// plainOnly is an ingest that cannot read compressed bodies, and says so with a
// status or, if that is 0, by ending the connection.
func plainOnly(status int) func(http.Handler) http.Handler {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Content-Encoding") != "" {
				if status == 0 {
					panic(http.ErrAbortHandler)
				}
				http.Error(w, "invalid character", status)
				return
			}
			well.ServeHTTP(w, r)
		})
	}
}

// A server that reads plain bodies alone gets those, in whatever way it says so.
func TestAServerThatReadsPlainBodiesOnly(t *testing.T) {
	for _, status := range []int{415, 400, 422, 406, 500, 507, 403, 0} {
		for _, compression := range []ship.Compression{ship.CompressionGzip, ship.CompressionZstd} {
			t.Run(fmt.Sprint(status, " ", compression), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, plain, func(w *world, s *settings) {
						s.ship.Compression = compression
						w.ingest.Behave(plainOnly(status))
					})
					time.Sleep(time.Hour)
					synctest.Wait()
					if s := w.shipper.Stats(); s.Phase != "healthy" || s.DeliveredBatches < 100 {
						t.Fatalf("after an hour: %+v\n%s", s, w.log)
					}
					w.settle()
					w.end()
					w.wantEverythingOnce()
					if said := w.log.String(); strings.Count(said, "\n") > logMax {
						t.Errorf("it says\n%s", said)
					}
				})
			})
		}
	}
}

// A backend that recovers just when it is asked without compression, and then fails
// again for a while, goes on getting compressed bodies.
func TestCompressionOutlivesAnOutage(t *testing.T) {
	for lasts := 5; lasts <= 30; lasts++ {
		synctest.Test(t, func(t *testing.T) {
			compressed := 0
			w := newWorld(t, plain, func(w *world, _ *settings) {
				n := 0
				w.ingest.Behave(func(well http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if compressed = 0; r.Header.Get("Content-Encoding") == "gzip" {
							compressed = 1
						}
						if n++; n <= lasts || n > lasts+1 && n < lasts+4 {
							well = shiptest.Status(500)(well)
						}
						well.ServeHTTP(w, r)
					})
				})
			})
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if s := w.shipper.Stats(); s.Phase != "healthy" || compressed != 1 {
				t.Errorf("after %d failures: %+v, the last body compressed: %d", lasts, s, compressed)
			}
			w.settle()
			w.end()
			w.wantEverythingOnce()
		})
	}
}
