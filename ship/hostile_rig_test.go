package ship_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"math/bits"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

const (
	ingestHost = "ingest.example"
	apiKey     = "s3cr3t-of-the-agent"
	// lifeBatches is how many batches a hostile case delivers in all.
	lifeBatches = 100
	// growthMax bounds what a hostile case may add to live heap and stacks, of
	// agent, server and network together.
	growthMax = 8 << 20
	// logMax bounds the lines of an outage.
	logMax = 16
	// dialsMax bounds the connections that one request may take.
	dialsMax = 5
)

// protocol is how agent and ingest talk.
type protocol struct {
	name  string
	tls   uint16 // 0: not at all
	http2 bool
}

var (
	plain  = protocol{name: "http/1.1, plain"}
	secure = []protocol{
		{"http/1.1, TLS 1.2", tls.VersionTLS12, false},
		{"http/1.1, TLS 1.3", tls.VersionTLS13, false},
		{"http/2, TLS 1.2", tls.VersionTLS12, true},
		{"http/2, TLS 1.3", tls.VersionTLS13, true},
	}
	protocols = append([]protocol{plain}, secure...)
)

// sample returns two of the protocols: the plainest, and another for another i.
func sample(i int) []protocol { return []protocol{plain, secure[i%len(secure)]} }

func (p protocol) endpoint() string {
	if p.tls == 0 {
		return "http://" + ingestHost + ":443/v1/batches"
	}
	return "https://" + ingestHost + ":443/v1/batches"
}

// world is an agent's delivery and its ingest, with the default rules and real
// net/http in virtual time. What runs in it ticks by itself.
type world struct {
	t         *testing.T
	protocol  protocol
	network   *shiptest.Network
	authority *shiptest.Authority
	caFile    string
	ingest    *shiptest.Ingest
	server    *shiptest.Server
	client    *ship.Client
	spool     *memorySpool
	ledger    *ship.MemoryLedger
	queue     *ship.Queue
	producer  *shiptest.Producer
	shipper   *ship.Shipper
	log       *bytes.Buffer
	end       func()
	ends      []func()
}

// settings are what a test may change before the world begins.
type settings struct {
	ship   ship.Config
	client ship.ClientConfig
	server *tls.Config // nil without TLS
	points int
	// handler is the ingest's, unless it is nil.
	handler http.Handler
}

// newWorld begins one; call it in a bubble.
func newWorld(t *testing.T, p protocol, change func(w *world, s *settings)) *world {
	t.Helper()
	w := &world{
		t: t, protocol: p, network: shiptest.NewNetwork(), authority: shiptest.NewAuthority("test authority"),
		ingest: shiptest.NewIngest(), spool: &memorySpool{}, ledger: &ship.MemoryLedger{}, queue: ship.NewQueue(4 << 20), log: &bytes.Buffer{},
	}
	s := w.defaults()
	if change != nil {
		change(w, s)
	}
	var handler http.Handler = w.ingest
	if s.handler != nil {
		handler = s.handler
	}
	w.server = w.listen(ingestHost+":443", handler, s.server)
	var err error
	if w.client, err = ship.NewClient(s.client); err != nil {
		t.Fatal(err)
	}
	logger := zerolog.New(zerolog.SyncWriter(w.log))
	var spool ship.Spool
	if s.ship.Mode != ship.SpoolOff {
		spool = w.spool
	}
	if w.shipper, err = ship.New(s.ship, w.queue, encode.Native{}, w.client, spool, w.ledger, logger); err != nil {
		t.Fatal(err)
	}
	w.producer = shiptest.NewProducer(w.queue, s.points)
	w.run()
	return w
}

func (w *world) defaults() *settings {
	s := &settings{ship: config(), points: 10}
	s.ship.Compression = ship.CompressionGzip
	s.client = ship.ClientConfig{
		Endpoint: parse(w.t, w.protocol.endpoint()), AgentID: "agent-1", UserAgent: "heka-insights-agent/test",
		Timeout: 30 * time.Second, Backend: encode.Heka(), DialContext: w.network.DialContext,
		Authorize: func(h http.Header, _ bool) error { h.Set("X-Api-Key", apiKey); return nil },
	}
	if w.protocol.tls != 0 {
		w.caFile = write(w.t, filepath.Join(w.t.TempDir(), "ca.pem"), w.authority.PEM())
		s.client.TLS.CAFile = w.caFile
		s.server = w.serverTLS(w.authority, time.Now().Add(365*24*time.Hour))
	}
	return s
}

func (w *world) serverTLS(a *shiptest.Authority, notAfter time.Time) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.Pair(ingestHost, notAfter)}, MaxVersion: w.protocol.tls}
}

// listen serves a handler; the world's protocol says how.
func (w *world) listen(at string, handler http.Handler, cfg *tls.Config) *shiptest.Server {
	w.t.Helper()
	listener, err := w.network.Listen(at)
	if err != nil {
		w.t.Fatal(err)
	}
	return shiptest.Serve(listener, shiptest.ServerConfig{Handler: handler, TLS: cfg, HTTP1Only: !w.protocol.http2})
}

func (w *world) run() {
	ctx, stopTicks := context.WithCancel(context.Background())
	ticked, shipped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ticked)
		w.producer.Run(ctx, interval)
	}()
	go func() {
		defer close(shipped)
		_ = w.shipper.Run(context.Background())
	}()
	w.end = sync.OnceFunc(func() {
		stopTicks()
		<-ticked
		w.queue.Close()
		<-shipped
		w.client.Close()
		w.server.Close()
		for _, end := range w.ends {
			end()
		}
	})
	w.t.Cleanup(w.end) // a bubble must not end with goroutines left, whatever failed
}

// atEnd calls f when all that runs has ended.
func (w *world) atEnd(f func()) { w.ends = append(w.ends, f) }

// trouble is one kind of hostility.
type trouble struct {
	name string
	// on begins it, off ends it. Without off it passes by itself.
	on, off func(w *world)
	// lasts is for how long; 0 is 10 minutes.
	lasts time.Duration
	// wellFirst is how long delivery may go on before it shows.
	wellFirst time.Duration
	// height is the phase that delivery is in at its height; empty if that is
	// a matter of chance.
	height string
	// atOnce says that delivery notices its end with the next tick.
	atOnce bool
	// refused says that it is refusals, so that a search comes before the pause.
	refused bool
	// check looks at what is special about it, at its height; may be nil.
	check func(w *world)
}

// behaves is trouble of the ingest.
func behaves(name string, b shiptest.Behaviour) trouble {
	return trouble{
		name:   name,
		on:     func(w *world) { w.ingest.Behave(b) },
		off:    func(w *world) { w.ingest.Behave(nil) },
		height: "down",
	}
}

func (h trouble) paused() trouble { h.height = "paused"; return h }
func (h trouble) mild() trouble   { h.height = "healthy"; return h }
func (h trouble) vague() trouble  { h.height = ""; return h }

// recovery is how long it may take until the first batch arrives after it: two
// caps of the wait between attempts.
func (h trouble) recovery() time.Duration {
	switch {
	case h.atOnce:
		return 2 * interval
	case h.height == "paused":
		return 2 * 15 * time.Minute
	default:
		return 2 * time.Minute
	}
}

// requestsMax bounds the requests while it lasts: a probe a minute when paused
// and three when down, after some that come first.
func (h trouble) requestsMax() int64 {
	// A search is a descent, two halves of its ticks, eight other series, and
	// the other forms of the body; fresh batches go beside it.
	const search = 20
	first, perMinute := 20, 20
	switch h.height {
	case "paused":
		first, perMinute = 10, 1
	case "down":
		perMinute = 3
	}
	if h.refused {
		first += search
	}
	return int64(first) + int64(perMinute)*int64(h.duration()/time.Minute) + int64(h.wellFirst/config().Rules.BatchInterval)
}

func (h trouble) duration() time.Duration {
	if h.lasts == 0 {
		return 10 * time.Minute
	}
	return h.lasts
}

// live is the proof of one hostile case: a healthy world, the trouble, and
// health again, until lifeBatches have arrived.
func (h trouble) live(t *testing.T, p protocol, change func(*world, *settings)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, p, change)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if s := w.shipper.Stats(); s.Phase != "healthy" || s.DeliveredBatches < 10 || s.Failures != 0 {
			t.Fatalf("before it begins: %+v", s)
		}
		w.through(h)
		w.settle()
		w.end()
		w.wantEverythingOnce()
		w.wantFewLines(h)
	})
}

// through lives through the trouble, until the first batch after it.
func (w *world) through(h trouble) {
	before := footprint()
	h.on(w)
	began, accepted := w.shipper.Stats(), w.server.Accepted()
	for range 3 {
		time.Sleep(h.duration() / 3)
		if grown := footprint() - before; grown > growthMax {
			w.t.Errorf("grew by %d KiB, want at most %d", grown>>10, growthMax>>10)
		}
	}
	synctest.Wait()
	s := w.shipper.Stats()
	if h.height != "" && h.height != s.Phase {
		w.t.Errorf("at its height delivery is %s, want %s: %s", s.Phase, h.height, s.Cause)
	}
	requests, dials := s.Attempts-began.Attempts, w.server.Accepted()-accepted
	if most := h.requestsMax(); requests > most || dials > dialsMax*requests {
		w.t.Errorf("%d requests and %d connections in %v, want at most %d and %d for each", requests, dials, h.duration(), most, dialsMax)
	}
	if h.check != nil {
		h.check(w)
	}
	if h.off != nil {
		h.off(w)
	}
	last := w.ingest.Batches()
	for healed := time.Now(); w.ingest.Batches() == last; time.Sleep(time.Second) {
		if took := time.Since(healed); took > h.recovery() {
			w.t.Fatalf("nothing arrived for %v after it had passed: %+v", took, w.shipper.Stats())
		}
	}
}

// settle waits until the backlog is delivered, and the agent has lived long
// enough.
func (w *world) settle() {
	for began := time.Now(); ; time.Sleep(interval) {
		s := w.shipper.Stats()
		if w.ingest.Batches() >= lifeBatches && s.Phase == "healthy" && s.WaitingBatches == 0 {
			return
		}
		if time.Since(began) > 48*time.Hour {
			w.t.Fatalf("%d batches arrived, and delivery does not settle: %+v", w.ingest.Batches(), s)
		}
	}
}

func (w *world) wantEverythingOnce() {
	w.t.Helper()
	if err := w.ingest.Exactly(w.producer.Ticks()); err != nil {
		w.t.Error(err)
	}
	if lost := w.ledger.Losses(); len(lost) > 0 {
		w.t.Errorf("lost: %v", lost)
	}
	if dead := len(w.spool.dead); dead > 0 {
		w.t.Errorf("%d dead letters: %q", dead, w.spool.reasons)
	}
	if left := w.spool.Pending(); left > 0 {
		w.t.Errorf("%d batches are left in the spool", left)
	}
	if open := w.network.Open(); open > 0 {
		w.t.Errorf("%d connections are left open", open)
	}
}

func (w *world) wantFewLines(h trouble) {
	w.t.Helper()
	most := logMax
	if h.height == "" {
		most += 2 * bits.Len(uint(h.duration()/time.Minute)) // that it fails, and that it delivers again
	}
	said := w.log.String()
	if lines := strings.Count(said, "\n"); lines > most {
		w.t.Errorf("%d log lines, want at most %d:\n%s", lines, most, said)
	}
	if strings.Contains(said, apiKey) {
		w.t.Errorf("the log tells the secret:\n%s", said)
	}
}

// footprint is what is live: the heap after a collection, and stacks.
func footprint() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
