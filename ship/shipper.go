package ship

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"slices"
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

	memory   []*held // batches in memory, oldest first
	inflight *held
	part     uint16             // of inflight
	sent     Payload            // the request under way
	cancel   context.CancelFunc // of the request
	sentAt   time.Time
	backlog  bool // inflight is of the backlog
	requests chan request
	results  chan Outcome

	refusals  int     // in a row, of any batches
	pieces    *pieces // of the one batch that is delivered in parts
	suspect   suspect
	limit     sizeLimit
	known     sizeLimit   // that the sender knows without asking
	looseness float64     // of the builder's bound on the last batch
	strongest Compression // that the backend takes; empty if any
	say       say
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
	}, nil
}

// Run delivers until the queue is closed, then flushes: what the backend does
// not take within the shutdown timeout goes to the spool. When ctx ends first
// it spools everything at once. It returns nil.
func (s *Shipper) Run(ctx context.Context) error {
	now := time.Now()
	s.machine = newMachine(s.cfg.Rules, rand.New(rand.NewPCG(s.cfg.Agent.Epoch, 0)), now)
	s.machine.fifo = s.cfg.FIFO
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
	if d, ok := s.pick(now); ok {
		s.send(ctx, now, d)
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
	case s.hasBacklog() && !s.inDoubt():
		earlier(s.machine.drainAt)
	}
	return wake.Sub(now)
}

// dispatch is what to send: a batch in memory or of the spool, or part of one.
type dispatch struct {
	*held
	part    uint16
	payload Payload
	backlog bool
}

// pick chooses what to send now, if anything. Live batches go first; an outage
// is probed with the newest batch, so that the first thing to arrive is fresh
// and a bad old batch cannot keep the outage alive.
func (s *Shipper) pick(now time.Time) (d dispatch, ok bool) {
	if s.inflight != nil || now.Before(s.machine.until) {
		return d, false
	}
	drains := s.machine.isDown() || !s.inDoubt() && s.machine.mayDrain(now)
	if s.cfg.FIFO && !s.inDoubt() && s.hasBacklog() {
		if !drains {
			return d, false
		}
		if d, ok = s.oldest(now); ok {
			return d, true
		} // what cannot be read or set aside does not hold up the rest
	}
	if h := s.live(now); h != nil {
		return s.dispatch(now, h, false)
	}
	if n := len(s.memory); n > 0 && s.machine.isDown() {
		return s.dispatch(now, s.memory[n-1], false)
	}
	if !drains {
		return d, false
	}
	return s.oldest(now)
}

func (s *Shipper) dispatch(now time.Time, h *held, backlog bool) (d dispatch, ok bool) {
	p, part, ok := s.payload(now, h)
	return dispatch{h, part, p, backlog}, ok
}

// live returns the oldest batch that was not tried before, or nil. One that is
// known to be too large joins the backlog, to be cut; so does one that the
// spool has as well, and of which parts are delivered from there.
func (s *Shipper) live(now time.Time) *held {
	for _, h := range s.memory {
		cut := s.pieces != nil && s.pieces.id == h.ID
		if h.late = h.late || cut || s.forbids(now, len(h.Payload)); !h.late {
			return h
		}
	}
	return nil
}

// oldest returns the head of the backlog: the spool's, then memory's. One that
// can be neither sent nor set aside, for want of a disk, does not hold up those
// of memory. Finding none ends ramping.
func (s *Shipper) oldest(now time.Time) (d dispatch, ok bool) {
	late := slices.DeleteFunc(slices.Clone(s.memory), func(h *held) bool { return !h.late })
	if h := s.spooled(); h != nil {
		late = slices.Insert(late, 0, h)
	}
	for _, h := range late {
		if d, ok = s.dispatch(now, h, true); ok || s.pieces == nil || s.inDoubt() {
			return d, ok
		}
	}
	if len(late) == 0 {
		s.machine.backlogEmpty()
	}
	return d, false
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

// inDoubt reports whether the backlog has to wait for the fate of live batches:
// so far nothing says that it is not the endpoint that is wrong.
func (s *Shipper) inDoubt() bool {
	return s.refusals >= refusalsDoubt || s.suspect.waits() || s.pieces != nil && s.pieces.stuck()
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

func (s *Shipper) send(ctx context.Context, now time.Time, d dispatch) {
	s.inflight, s.part, s.sent, s.backlog, s.sentAt = d.held, d.part, d.payload, d.backlog, now
	if d.backlog {
		s.machine.sentBacklog(now, depthOf(d.part))
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.requests <- request{ctx, d.payload}
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
