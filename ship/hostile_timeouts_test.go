package ship_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// Each step of a request has a bound of its own, wherever the peer falls
// silent.
func TestEachStepOfARequestIsBounded(t *testing.T) {
	for _, c := range []struct {
		name  string
		bound time.Duration
		set   func(w *world) // may listen by itself
	}{
		{"dial", 5 * time.Second, func(w *world) { w.network.Suffer(shiptest.Fault{Silent: true}) }},
		{"handshake", 5 * time.Second, func(w *world) {
			listener, err := w.network.Listen(ingestHost + ":443")
			if err != nil {
				w.t.Fatal(err)
			}
			silent := shiptest.Serve(listener, shiptest.ServerConfig{Handler: w.ingest})
			silent.Misframe(shiptest.Mute)
			w.server = silent
		}},
		{"headers", 15 * time.Second, func(w *world) { w.ingest.Behave(shiptest.Silent()) }},
		{"promises of headers", 15 * time.Second, func(w *world) { w.ingest.Behave(shiptest.Promising(103, time.Second)) }},
		{"no more of an answer", 20 * time.Second, func(w *world) {
			w.ingest.Behave(stalling(func() { w.network.Suffer(shiptest.Fault{Silent: true}) }))
		}},
		{"whole request", 30 * time.Second, func(w *world) { w.ingest.Behave(shiptest.Dripping(time.Second)) }},
	} {
		for _, p := range secure {
			synctest.Test(t, func(t *testing.T) {
				w := &world{
					t: t, protocol: p, network: shiptest.NewNetwork(), ingest: shiptest.NewIngest(),
					authority: shiptest.NewAuthority("test authority"),
				}
				s := w.defaults()
				c.set(w)
				if w.server == nil {
					w.server = w.listen(ingestHost+":443", w.ingest, s.server)
				}
				defer w.server.Close()
				client, err := ship.NewClient(s.client)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				began := time.Now()
				o := client.Send(t.Context(), payload())
				if took := time.Since(began); took != c.bound || o.Verdict != ship.Retry || !o.Overload {
					t.Errorf("%s, %s: %+v after %v, want a time-out after %v", c.name, p.name, o, took, c.bound)
				}
			})
		}
	}
}

// stalling sends the head of an answer, and calls f. A peer that died sends
// nothing more.
func stalling(f func()) shiptest.Behaviour {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Millisecond) // it arrives
			f()
			<-r.Context().Done()
		})
	}
}

// A peer that does not read what it is sent is found too, however large that is.
func TestAPeerThatDoesNotReadIsFound(t *testing.T) {
	for _, p := range protocols {
		synctest.Test(t, func(t *testing.T) {
			w := &world{
				t: t, protocol: p, network: shiptest.NewNetwork(), ingest: shiptest.NewIngest(),
				authority: shiptest.NewAuthority("test authority"),
			}
			s := w.defaults()
			w.server = w.listen(ingestHost+":443", w.ingest, s.server)
			defer w.server.Close()
			client, err := ship.NewClient(s.client)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if o := client.Send(t.Context(), payload()); o.Verdict == ship.Pause {
				t.Fatalf("%s, before: %+v", p.name, o)
			}
			w.network.Suffer(shiptest.Fault{Silent: true})
			large := payload()
			large.Body = make([]byte, 8<<20)
			began := time.Now()
			if o := client.Send(t.Context(), large); o.Verdict != ship.Retry || !o.Overload || time.Since(began) > 20*time.Second {
				t.Errorf("%s: %+v after %v, want a time-out within 20s", p.name, o, time.Since(began))
			}
		})
	}
}
