// Package shiptest is the other side of delivery, for tests: an ingest that
// remembers what arrived and finds what is missing or repeated, a server and a
// network for it that misbehave on demand, and a producer whose ticks can be
// told apart.
//
//	Producer ─> ship.Queue ─> ship.Shipper ─> ship.Client ─> Network ─> Server ─> Behaviour ─> Ingest
//
// Faults are small values that are set and cleared while everything runs, each
// where it happens in the world: a Fault of the Network, frames of the Server
// that are not what HTTP/2 promises, certificates of an Authority, and a
// Behaviour between the Server and the Ingest.
//
// The Network lives in memory and blocks durably, so all of it runs in a
// testing/synctest bubble: the real client and net/http, HTTP/1.1 and HTTP/2,
// over TLS, an outage of a day in a second. Nothing here needs a bubble: serve
// a listener on a loopback port, and the clock and the sockets are real.
//
//	synctest.Test(t, func(t *testing.T) {
//		network := shiptest.NewNetwork()
//		listener, err := network.Listen("ingest.example:80")
//		...
//		ingest := shiptest.NewIngest()
//		server := shiptest.Serve(listener, shiptest.ServerConfig{Handler: ingest})
//		defer server.Close()
//		client, err := ship.NewClient(ship.ClientConfig{DialContext: network.DialContext, ...})
//		...
//		ingest.Behave(shiptest.Status(http.StatusServiceUnavailable))
//		time.Sleep(24 * time.Hour)
//		ingest.Behave(nil)
//		time.Sleep(2 * time.Hour)
//		if err := ingest.Exactly(producer.Ticks()); err != nil {
//			t.Error(err)
//		}
//	})
//
// Nothing reports to a testing.T, so that a simulation or a program can use
// the package too.
package shiptest
