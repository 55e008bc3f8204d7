package ship_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// handles is what a process holds that it can run out of.
type handles struct{ goroutines, files int }

func handlesNow(t *testing.T) handles {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("cannot count file descriptors here: %v", err)
	}
	return handles{runtime.NumGoroutine(), len(files)}
}

// wantNoMoreThan waits until no more is held than before.
func wantNoMoreThan(t *testing.T, before handles) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		now := handlesNow(t)
		if now.goroutines <= before.goroutines && now.files <= before.files {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v are held, %+v were before", now, before)
		}
	}
}

// loopback serves an ingest on a port of its own.
func loopback(t *testing.T, p protocol, ingest http.Handler) (*shiptest.Server, ship.ClientConfig) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	cfg := shiptest.ServerConfig{Handler: ingest, HTTP1Only: !p.http2}
	endpoint := "http://" + listener.Addr().String()
	var caFile string
	if p.tls != 0 {
		authority := shiptest.NewAuthority("test authority")
		endpoint = "https://" + listener.Addr().String()
		caFile = write(t, filepath.Join(t.TempDir(), "ca.pem"), authority.PEM())
		cfg.TLS = &tls.Config{Certificates: []tls.Certificate{authority.Pair("127.0.0.1", time.Now().Add(time.Hour))}, MaxVersion: p.tls}
	}
	client := clientConfig(parse(t, endpoint))
	client.TLS.CAFile = caFile
	client.Timeout = 300 * time.Millisecond
	return shiptest.Serve(listener, cfg), client
}

// However often a connection has to be made anew, nothing of it stays.
func TestTenThousandReconnectsLeaveNothing(t *testing.T) {
	for _, c := range []struct {
		protocol
		times int
	}{{plain, 10_000}, {secure[1], 200}, {secure[3], 200}} {
		t.Run(c.name, func(t *testing.T) {
			before := handlesNow(t)
			server, cfg := loopback(t, c.protocol, shiptest.OneShot()(http.HandlerFunc(acknowledges)))
			cfg.Timeout = 10 * time.Second
			client, err := ship.NewClient(cfg)
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.times {
				if o := client.Send(t.Context(), payload()); o.Verdict != ship.Acked {
					t.Fatalf("request %d: %+v", i, o)
				}
			}
			if n := server.Accepted(); n < int64(c.times) {
				t.Errorf("%d connections for %d requests: this test shows nothing", n, c.times)
			}
			client.Close()
			server.Close()
			wantNoMoreThan(t, before)
		})
	}
}

// The same over real sockets and real time: what trouble leaves behind in the
// kernel and in the process.
func TestHostileOverSockets(t *testing.T) {
	before := handlesNow(t)
	t.Run("at a time", testSockets)
	wantNoMoreThan(t, before)
}

func testSockets(t *testing.T) {
	for i, c := range []struct {
		name string
		shiptest.Behaviour
	}{
		{"silent", shiptest.Silent()},
		{"reads no request", shiptest.Deaf()},
		{"slow body", shiptest.Dripping(20 * time.Millisecond)},
		{"aborted", shiptest.Aborted()},
		{"taken, then aborted", shiptest.Forgetful()},
		{"truncated body", shiptest.Truncated(1)},
		{"huge headers", shiptest.Boastful(200 << 10)},
		{"103 again and again", shiptest.Promising(103, 10*time.Millisecond)},
		{"endless", shiptest.Endless(1<<20, time.Millisecond, nil)},
		{"503", shiptest.Status(503)},
		{"closes after each answer", shiptest.OneShot()},
	} {
		p := protocols[i%len(protocols)]
		t.Run(c.name+", "+p.name, func(t *testing.T) {
			t.Parallel()
			ingest := shiptest.NewIngest()
			server, client := loopback(t, p, ingest)
			defer server.Close()
			liveFast(t, ingest, client, c.Behaviour)
		})
	}
}

// liveFast delivers lifeBatches in a second or two, with the behaviour in
// between.
func liveFast(t *testing.T, ingest *shiptest.Ingest, clientCfg ship.ClientConfig, b shiptest.Behaviour) {
	cfg := config()
	cfg.Interval = 5 * time.Millisecond
	cfg.Rules = ship.Rules{
		RetryInitial: 10 * time.Millisecond, RetryMax: 20 * time.Millisecond, RetryAfterMax: time.Second,
		BatchInterval: 10 * time.Millisecond, DrainMultiplier: 4,
	}
	client, err := ship.NewClient(clientCfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	queue, spool, ledger := ship.NewQueue(4<<20), &memorySpool{}, &ship.MemoryLedger{}
	shipper, err := ship.New(cfg, queue, encode.Native{}, client, spool, ledger, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	shipped := make(chan struct{})
	go func() { defer close(shipped); _ = shipper.Run(context.Background()) }()
	producer := shiptest.NewProducer(queue, 10)
	tickUntil := func(what string, done func() bool) {
		for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(cfg.Interval) {
			if producer.Tick(); time.Now().After(deadline) {
				t.Fatalf("%s does not come: %+v", what, shipper.Stats())
			}
		}
	}
	tickUntil("a first batch", func() bool { return ingest.Batches() > 5 })
	requests := len(ingest.Requests())
	ingest.Behave(b)
	tickUntil("trouble", func() bool { return len(ingest.Requests()) > requests+1 })
	ingest.Behave(nil)
	tickUntil("recovery", func() bool { return ingest.Batches() >= lifeBatches && shipper.Stats().WaitingBatches == 0 })
	queue.Close()
	<-shipped
	if err := ingest.Exactly(producer.Ticks()); err != nil {
		t.Error(err)
	}
	if lost := ledger.Losses(); len(lost) > 0 || len(spool.dead) > 0 {
		t.Errorf("lost %v, %d dead letters", lost, len(spool.dead))
	}
}
