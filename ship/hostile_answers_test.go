package ship_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// Whatever an ingest answers for a while, all is delivered once it is well.
func TestHostileStatus(t *testing.T) {
	var cases []trouble
	for _, code := range []int{408, 409, 425, 429, 500, 502, 503, 504, 507, 599} {
		cases = append(cases, behaves(strconv.Itoa(code), shiptest.Status(code)))
	}
	for _, pause := range []struct {
		codes []int
		hint  string
	}{
		{[]int{401, 403}, "check HEKA_API_KEY"},
		{[]int{407}, "HTTPS_PROXY"},
		{[]int{404, 405, 410, 501, 505}, "check the path of HEKA_ENDPOINT"},
		{[]int{400, 406, 422, 402, 418, 431}, "nothing is accepted"},
	} {
		for _, code := range pause.codes {
			c := behaves(strconv.Itoa(code), shiptest.Status(code)).paused()
			c.check = says(c.name, pause.hint)
			c.refused = pause.hint == "nothing is accepted"
			cases = append(cases, c)
		}
	}
	for _, code := range []int{400, 409, 418, 422, 429, 500, 503} {
		c := behaves(strconv.Itoa(code)+" once", shiptest.First(1, shiptest.Status(code))).mild()
		c.lasts = 20 * time.Minute
		cases = append(cases, c)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.live(t, plain, nil) })
	}
}

// A 2xx is an acknowledgement only if it echoes the batch's id.
func TestHostileSuccess(t *testing.T) {
	const html = "<!DOCTYPE html><title>Welcome to the hotel</title><form>Accept the terms"
	for _, c := range []trouble{
		behaves("HTML 200", shiptest.Body(200, "text/html", html)),
		behaves("empty 200", shiptest.Status(200)),
		behaves("202", shiptest.Status(202)),
		behaves("204", shiptest.Status(204)),
		behaves("null", shiptest.Body(200, "application/json", "null")),
		behaves("an array", shiptest.Body(200, "application/json", "[]")),
		behaves("deep JSON", shiptest.Body(200, "application/json", strings.Repeat("[", 60<<10))),
		behaves("another batch's id", shiptest.Body(200, "application/json", `{"batch_id":"0123456789abcdef0000000000000001","status":"accepted"}`)),
		behaves("gzip that nobody asked for", shiptest.Zipped()).mild(),
		behaves("gzip that is none", shiptest.StatusWith(200, map[string]string{"Content-Encoding": "gzip"})),
	} {
		t.Run(c.name, func(t *testing.T) { c.live(t, plain, nil) })
	}
}

// elsewhere is where no batch may ever be sent.
func elsewhere(w *world, at string, plainly bool) (requests *atomic.Int64, closeIt func()) {
	requests = new(atomic.Int64)
	var cfg *tls.Config
	if !plainly {
		host, _, _ := strings.Cut(at, ":")
		cfg = &tls.Config{Certificates: []tls.Certificate{w.authority.Pair(host, time.Now().Add(24*time.Hour))}}
	}
	server := w.listen(at, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }), cfg)
	return requests, server.Close
}

// A redirect within the endpoint is followed if it keeps the method, a loop
// ends, and nothing follows one to another host or out of TLS.
func TestHostileRedirects(t *testing.T) {
	for _, c := range []struct {
		name, to string
		codes    []int
		listen   string // where nothing may arrive
		plainly  bool
		expect   func(trouble) trouble
	}{
		{"to another path", "/v2/batches", []int{307, 308}, "", false, trouble.mild},
		{"loop", "", []int{307, 308}, "", false, nil},
		{"that changes the method", "/v2/batches", []int{301, 302, 303}, "", false, trouble.paused},
		{"nowhere", "nowhere", []int{300, 304}, "", false, trouble.paused},
		{"to another host", "https://other.example:443/", []int{302, 307, 308}, "other.example:443", false, trouble.paused},
		{"to another port", "https://" + ingestHost + ":444/", []int{308}, ingestHost + ":444", false, trouble.paused},
		{"to http", "http://" + ingestHost + ":80/v1/batches", []int{301, 307, 308}, ingestHost + ":80", true, trouble.paused},
		{"to http on its own port", "http://" + ingestHost + ":443/v1/batches", []int{307, 308}, "", false, func(h trouble) trouble {
			h.check = says("a redirect to", "HEKA_ENDPOINT") // and not of what speaking in clear came to
			return h.paused()
		}},
	} {
		for i, code := range c.codes {
			h := trouble{
				on:     func(w *world) { w.ingest.Behave(redirecting(code, c.to)) },
				off:    func(w *world) { w.ingest.Behave(nil) },
				height: "down",
			}
			if c.expect != nil {
				h = c.expect(h)
			}
			p := secure[i%len(secure)]
			t.Run(fmt.Sprintf("%d %s, %s", code, c.name, p.name), func(t *testing.T) {
				h.live(t, p, func(w *world, _ *settings) {
					if c.listen == "" {
						return
					}
					requests, closeIt := elsewhere(w, c.listen, c.plainly)
					w.atEnd(func() {
						closeIt()
						if n := requests.Load(); n != 0 {
							w.t.Errorf("%d requests went to %s", n, c.listen)
						}
					})
				})
			})
		}
	}
}

// redirecting redirects requests to the endpoint's own path, and takes those
// to any other. Without a target it redirects all to where they went.
func redirecting(code int, to string) shiptest.Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			target := to
			switch {
			case to == "":
				target = r.URL.Path
			case r.URL.Path != "/v1/batches":
				well.ServeHTTP(w, r)
				return
			}
			shiptest.Redirect(code, target)(well).ServeHTTP(w, r)
		})
	}
}
