package ship

import (
	"cmp"
	"context"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// SpoolMode says when batches go to disk.
type SpoolMode string

// The modes of HEKA_SPOOL_MODE.
const (
	// SpoolOnFailure writes nothing while deliveries succeed.
	SpoolOnFailure SpoolMode = "on_failure"
	// SpoolAlways writes every batch before it is sent.
	SpoolAlways SpoolMode = "always"
	// SpoolOff keeps everything in memory.
	SpoolOff SpoolMode = "off"
)

// Config is what the shipper needs to know. All fields are required unless
// their comment says otherwise.
type Config struct {
	// Agent goes into every batch, with Seq counted by the shipper.
	Agent metric.Agent
	// Resource describes the host; may be empty.
	Resource []metric.Label
	// StartMS is the host's boot, Unix ms.
	StartMS int64
	// Interval is the time between two ticks.
	Interval time.Duration
	// BatchMaxPoints and BatchMaxBytes (of the plain body) cut a batch early.
	BatchMaxPoints int
	BatchMaxBytes  int64
	// Compression of the bodies.
	Compression Compression
	// Mode says when batches go to the spool.
	Mode SpoolMode
	// FIFO sends strictly in order, the backlog before live batches.
	FIFO bool
	// MaxSeries bounds how many refused series are remembered; 0 is 10000.
	MaxSeries int
	// ShutdownTimeout bounds the last flush to the backend.
	ShutdownTimeout time.Duration
	// Rules pace delivery.
	Rules Rules
}

// Codec turns a batch into its native body and back.
type Codec interface {
	// Append appends the body of b to dst.
	Append(dst []byte, b *metric.Batch) []byte
	// Decode reads a body, not compressed.
	Decode(body []byte) (*metric.Batch, error)
}

const (
	// unackedMax is how long an un-acknowledged batch stays off the disk.
	unackedMax = 5 * time.Second
	// longOutage is when batches grow to outageInterval, to save disk.
	longOutage     = time.Minute
	outageInterval = time.Minute

	defaultMaxSeries = 10000
)

// Shipper is the long-lived part that delivers. Make one with New.
type Shipper struct {
	cfg    Config
	queue  *Queue
	codec  Codec
	sender Sender
	spool  Spool // nil when there is none
	ledger Ledger
	log    zerolog.Logger
	stats  statsBox

	// Owned by Run, like all below.
	machine  *machine
	builder  *builder
	compress *compressor
	scratch  []byte
	seq      uint64
	nextCut  time.Time // zero until the first batch is cut
	lastCut  time.Time
	cutNow   bool // an outage ended: show fresh data at once

	draft    draft
	memory   []*held   // batches in memory, oldest first
	inflight *dispatch // what the request under way carries; nil: there is none
	cancel   context.CancelFunc
	sentAt   time.Time
	requests chan request
	results  chan Outcome

	deliveries map[ID]*delivery // of batches that are not delivered as one body
	refused    *refusedSeries
	search     *search // nil: there is none
	doubt      doubt
	sizes      pointLimit
	age        ageLimit
	limit      sizeLimit
	known      sizeLimit   // that the sender knows without asking
	looseness  float64     // of the builder's bound on the last batch
	strongest  Compression // that the backend takes; empty if any
	bare       bool        // the backend takes no resource attributes
	say        say

	acceptances uint64 // of requests
	liveAnswers uint64 // to fresh batches
	cutPoints   int64  // of all batches cut
	livePoints  int64  // of an interval's fresh batches; 0 until there were any
	newestMS    int64  // of what was accepted
}

// request is one call of the sender.
type request struct {
	ctx     context.Context
	payload Payload
}

// held is a batch in memory.
type held struct {
	Entry
	spooled bool // the spool has it too
	late    bool // an attempt failed, or it was cut during an outage
}

// New returns a shipper that drains queue. spool may be nil, and must be with
// SpoolOff.
func New(cfg Config, queue *Queue, codec Codec, sender Sender, spool Spool, ledger Ledger, log zerolog.Logger) (*Shipper, error) {
	compress, err := newCompressor(cfg.Compression)
	if err != nil {
		return nil, err
	}
	return &Shipper{
		cfg:      cfg,
		queue:    queue,
		codec:    codec,
		sender:   sender,
		spool:    spool,
		ledger:   ledger,
		log:      log,
		builder:  newBuilder(cfg.BatchMaxPoints, cfg.BatchMaxBytes, cfg.Resource),
		compress: compress,
		requests: make(chan request, 1),
		results:  make(chan Outcome, 1),

		deliveries: make(map[ID]*delivery),
		doubt:      doubt{unread: make(map[ID]uint64)},
	}, nil
}

// Run delivers until the queue is closed, then flushes: what the backend does
// not take within the shutdown timeout goes to the spool. When ctx ends first
// it spools everything at once. It returns nil.
func (s *Shipper) Run(ctx context.Context) error {
	now := time.Now()
	rng := rand.New(rand.NewPCG(s.cfg.Agent.Epoch, 0))
	s.machine = newMachine(s.cfg.Rules, rng, now)
	s.machine.fifo = s.cfg.FIFO
	s.refused = newRefusedSeries(rng, cmp.Or(s.cfg.MaxSeries, defaultMaxSeries))
	var sending sync.WaitGroup
	sending.Go(s.serve)
	defer sending.Wait()
	defer close(s.requests)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil && !s.queue.state().closed {
		select { // an answer that came while the disk was waited for goes first
		case o := <-s.results:
			s.settle(time.Now(), o)
		default:
		}
		now = time.Now()
		s.step(ctx, now)
		timer.Reset(s.wakeIn(now))
		select {
		case <-ctx.Done():
		case <-s.queue.ready:
		case <-timer.C:
		case o := <-s.results:
			s.settle(time.Now(), o)
		}
	}
	s.flush(ctx)
	return nil
}

// step does whatever is due.
func (s *Shipper) step(ctx context.Context, now time.Time) {
	if s.cutDue(now) {
		s.cut(now)
	}
	if s.inflight == nil && s.machine.isDown() && s.sender.Refreshed() {
		s.machine.retryNow(now)
	}
	s.protect(now)
	s.bound(now)
	s.keepDraft(now)
	failed := s.machine.isDown()
	if d := s.pick(now); d != nil {
		s.send(ctx, now, d)
	}
	if s.machine.isDown() && !failed { // a search has found that out
		s.protect(now)
		s.keepDraft(now)
	}
	s.publish()
}

// wakeIn returns how long nothing is due, should nothing happen. Ticks wake
// the shipper by themselves, so this only has to cover what falls between.
func (s *Shipper) wakeIn(now time.Time) time.Duration {
	wake := now.Add(s.cfg.Rules.BatchInterval)
	earlier := func(t time.Time) {
		if t.Before(wake) && t.After(now) { // what was due by now, step has done
			wake = t
		}
	}
	if !s.nextCut.IsZero() {
		earlier(s.nextCut.Add(s.cfg.Interval))
	}
	switch {
	case s.inflight != nil:
		if !s.inflight.spooled && s.spool != nil {
			earlier(s.sentAt.Add(unackedMax))
		}
	case s.machine.isDown():
		earlier(s.machine.until)
	case s.search != nil:
		earlier(s.search.due)
	case s.hasBacklog():
		earlier(s.machine.drainAt)
	}
	earlier(s.machine.until)
	return wake.Sub(now)
}

// serve calls the sender on a goroutine of its own, and keeps it: its stack,
// once grown by TLS, serves every request.
func (s *Shipper) serve() {
	for r := range s.requests {
		s.results <- s.sender.Send(r.ctx, r.payload)
	}
}

// cutPhase spreads a fleet's batches over the batch interval by agent id. It
// is the collectors' phase too, so a cut falls on a tick.
func (s *Shipper) cutPhase() time.Duration {
	h := fnv.New64a()
	h.Write([]byte(s.cfg.Agent.ID))
	return time.Duration(h.Sum64() % uint64(s.cfg.Rules.BatchInterval))
}
