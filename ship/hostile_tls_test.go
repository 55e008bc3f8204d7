package ship_test

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// frames is trouble with HTTP/2 below requests.
func frames(name string, f func(net.Conn)) trouble {
	return trouble{
		name:   name,
		on:     func(w *world) { w.server.Misframe(f); w.server.Drop() },
		off:    func(w *world) { w.server.Misframe(nil); w.server.Drop() },
		height: "down",
	}
}

func TestHostileHTTP2(t *testing.T) {
	cases := []trouble{
		frames("GOAWAY, no error", shiptest.GoAway(shiptest.NoError)),
		frames("GOAWAY, enhance your calm", shiptest.GoAway(shiptest.EnhanceYourCalm)),
		frames("RST_STREAM, refused", shiptest.ResetStream(shiptest.RefusedStream)),
		frames("RST_STREAM, internal error", shiptest.ResetStream(shiptest.InternalError)),
		frames("RST_STREAM, no error", shiptest.ResetStream(shiptest.NoError)),
		frames("no streams allowed", shiptest.NoStreams),
		frames("mute after the handshake", shiptest.Mute),
	}
	for i, c := range cases {
		p := secure[2+i%2]
		t.Run(c.name+", "+p.name, func(t *testing.T) { c.live(t, p, nil) })
	}
}

// says checks that delivery names a cause, and the last line of the log a hint.
func says(cause, hint string) func(*world) {
	return func(w *world) {
		w.t.Helper()
		if s := w.shipper.Stats(); !strings.Contains(s.Cause, cause) || !strings.Contains(w.log.String(), hint) {
			w.t.Errorf("the cause is %q, want %q; the log must say %q:\n%s", s.Cause, cause, hint, w.log)
		}
	}
}

// A certificate that runs out in mid-run is noticed when the connection has to
// be made anew; that it was renewed, at the next probe.
func TestHostileCertificateExpires(t *testing.T) {
	for _, p := range secure {
		t.Run(p.name, func(t *testing.T) {
			c := trouble{
				on:     func(w *world) { w.until("paused") }, // time will
				off:    func(w *world) { w.server.SetTLS(w.serverTLS(w.authority, time.Now().Add(24*time.Hour))) },
				height: "paused", lasts: 30 * time.Minute,
				wellFirst: 12 * time.Minute, // a connection's life
				check:     says("expired", "renew it on the server"),
			}
			c.live(t, p, func(w *world, s *settings) {
				s.server = w.serverTLS(w.authority, time.Now().Add(4*time.Minute))
			})
		})
	}
}

// When the authority is swapped, delivery waits for its file, and no longer.
func TestHostileAuthorityIsSwapped(t *testing.T) {
	for _, p := range secure {
		t.Run(p.name, func(t *testing.T) {
			var next *shiptest.Authority
			c := trouble{
				on: func(w *world) {
					next = shiptest.NewAuthority("the next authority")
					w.server.SetTLS(w.serverTLS(next, time.Now().Add(24*time.Hour)))
					w.server.Drop()
				},
				off:    func(w *world) { write(w.t, w.caFile, append(w.authority.PEM(), next.PEM()...)) },
				height: "paused", atOnce: true,
				check: says("unknown authority", "HEKA_TLS_CA_FILE"),
			}
			c.live(t, p, nil)
		})
	}
}

// Mutual TLS: the ingest trusts another authority for its clients, and the
// agent gets its new certificate later. HTTP/2 over TLS 1.3 loses the server's
// alert, which comes after the client's handshake, to a failed write every
// other time: there it is a matter of chance which of the two is the cause.
func TestHostileClientCertificateIsRotated(t *testing.T) {
	for _, p := range secure {
		t.Run(p.name, func(t *testing.T) {
			var certFile, keyFile string
			var next *shiptest.Authority
			trusting := func(w *world, clients *shiptest.Authority) *tls.Config {
				cfg := w.serverTLS(w.authority, time.Now().Add(24*time.Hour))
				cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, clients.Pool()
				return cfg
			}
			install := func(w *world, a *shiptest.Authority) {
				cert, key := a.Issue("agent-1", time.Now().Add(24*time.Hour))
				write(w.t, keyFile, key)
				write(w.t, certFile, cert)
			}
			c := trouble{
				on: func(w *world) {
					next = shiptest.NewAuthority("another authority with a longer name")
					w.server.SetTLS(trusting(w, next))
					w.server.Drop()
				},
				off:    func(w *world) { install(w, next) },
				height: "paused", atOnce: true,
				check: says("refused the TLS connection", "HEKA_TLS_CERT_FILE"),
			}
			if p.http2 && p.tls == tls.VersionTLS13 {
				c = c.vague()
				c.check = nil
			}
			c.live(t, p, func(w *world, s *settings) {
				dir := w.t.TempDir()
				certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
				install(w, w.authority)
				s.client.TLS.CertFile, s.client.TLS.KeyFile = certFile, keyFile
				s.server = trusting(w, w.authority)
			})
		})
	}
}
