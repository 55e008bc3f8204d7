package ship

import (
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
	// ShutdownTimeout bounds the last flush to the backend.
	ShutdownTimeout time.Duration
	// Rules pace delivery.
	Rules Rules
}

// Encoder turns a batch into its native body.
type Encoder interface {
	Append(dst []byte, b *metric.Batch) []byte
}

const (
	// unackedMax is how long an un-acknowledged batch stays off the disk.
	unackedMax = 5 * time.Second
	// longOutage is when batches grow to outageInterval, to save disk.
	longOutage     = time.Minute
	outageInterval = time.Minute
)

// Shipper is the long-lived part that delivers. Make one with New.
type Shipper struct {
	cfg     Config
	queue   *Queue
	encoder Encoder
	sender  Sender
	spool   Spool // nil when there is none
	ledger  Ledger
	log     zerolog.Logger
	stats   statsBox

	// Owned by Run, like all below.
	machine  *machine
	builder  *builder
	compress *compressor
	scratch  []byte
	seq      uint64
	nextCut  time.Time // zero until the first batch is cut
	lastCut  time.Time
	cutNow   bool // an outage ended: show fresh data at once

	memory   []*held // batches in memory, oldest first
	inflight *held
	cancel   context.CancelFunc // of inflight
	sentAt   time.Time
	backlog  bool // inflight is of the backlog
	requests chan request
	results  chan Outcome
	suspect  suspect
	refusals int // in a row, of any batches
	say      say
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
func New(cfg Config, queue *Queue, encoder Encoder, sender Sender, spool Spool, ledger Ledger, log zerolog.Logger) (*Shipper, error) {
	compress, err := newCompressor(cfg.Compression)
	if err != nil {
		return nil, err
	}
	return &Shipper{
		cfg:      cfg,
		queue:    queue,
		encoder:  encoder,
		sender:   sender,
		spool:    spool,
		ledger:   ledger,
		log:      log,
		builder:  newBuilder(cfg.BatchMaxPoints, cfg.BatchMaxBytes, cfg.Resource),
		compress: compress,
		requests: make(chan request, 1),
		results:  make(chan Outcome, 1),
	}, nil
}

// Run delivers until the queue is closed, then flushes: what the backend does
// not take within the shutdown timeout goes to the spool. When ctx ends first
// it spools everything at once. It returns nil.
func (s *Shipper) Run(ctx context.Context) error {
	now := time.Now()
	s.machine = newMachine(s.cfg.Rules, rand.New(rand.NewPCG(s.cfg.Agent.Epoch, 0)), now)
	var sending sync.WaitGroup
	sending.Go(s.serve)
	defer sending.Wait()
	defer close(s.requests)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil && !s.queue.state().closed {
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
	if h, backlog := s.pick(now); h != nil {
		s.send(ctx, now, h, backlog)
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
	case s.hasBacklog() && !s.suspect.waits():
		earlier(s.machine.drainAt)
	}
	return wake.Sub(now)
}

// pick chooses the batch to send now, or nil. Live batches go first; an
// outage is probed with the newest batch, so that the first thing to arrive
// is fresh and a bad old batch cannot keep the outage alive.
func (s *Shipper) pick(now time.Time) (h *held, backlog bool) {
	if s.inflight != nil || now.Before(s.machine.until) {
		return nil, false
	}
	if s.cfg.FIFO && !s.suspect.waits() && s.hasBacklog() {
		if !s.machine.isDown() && !s.machine.mayDrain(now) {
			return nil, false
		}
		if h, backlog = s.oldest(); h != nil {
			return h, backlog
		} // a spool that cannot be read does not hold up the rest
	}
	live := s.live()
	switch {
	case live != nil:
		return live, false
	case s.machine.isDown() && len(s.memory) > 0:
		return s.memory[len(s.memory)-1], false
	case s.machine.isDown(), !s.suspect.waits() && s.machine.mayDrain(now):
		return s.oldest()
	default:
		return nil, false
	}
}

// live returns the oldest batch that was not tried before, or nil.
func (s *Shipper) live() *held {
	for _, h := range s.memory {
		if !h.late {
			return h
		}
	}
	return nil
}

// oldest returns the head of the backlog: the spool's, then memory's. Finding
// none ends ramping.
func (s *Shipper) oldest() (h *held, backlog bool) {
	if h := s.spooled(); h != nil {
		return h, true
	}
	for _, h := range s.memory {
		if h.late {
			return h, true
		}
	}
	s.machine.settled()
	return nil, false
}

// spooled returns the oldest batch of the spool that can be read, or nil.
func (s *Shipper) spooled() *held {
	if s.spool == nil {
		return nil
	}
	e, ok := s.spool.Oldest()
	if !ok {
		return nil
	}
	return &held{Entry: e, spooled: true, late: true}
}

func (s *Shipper) hasBacklog() bool {
	if s.spool != nil && s.spool.Pending() > 0 {
		return true
	}
	for _, h := range s.memory {
		if h.late {
			return true
		}
	}
	return false
}

func (s *Shipper) send(ctx context.Context, now time.Time, h *held, backlog bool) {
	s.inflight, s.backlog, s.sentAt = h, backlog, now
	if backlog {
		s.machine.drained(now)
	}
	p := Payload{
		ID:          metric.BatchID(h.Epoch, h.Seq),
		Points:      h.Items,
		Body:        h.Payload,
		Compression: CompressionOf(h.Payload),
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.requests <- request{ctx, p}
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
