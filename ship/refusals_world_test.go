package ship_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// tablePoint is one point: a series, by number, and its tick's time since the
// test began.
type tablePoint struct{ series, ms int32 }

func (p tablePoint) at() time.Duration { return time.Duration(p.ms) * time.Millisecond }

// tableBody is a request as the server reads it.
type tableBody struct {
	points      []tablePoint
	columns     []int32 // the series of each column
	batch       string  // the id of the batch that it is of
	at          time.Duration
	number      int // of requests before it
	compression ship.Compression
	resource    bool
	hash        uint64 // of the points and their values
}

var (
	tableDesc  = &metric.Desc{Name: "table.series", Unit: "1"}
	tableEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() // of every bubble
)

func newTableBody(b *metric.Batch) *tableBody {
	body := &tableBody{batch: b.ID()[:32], resource: len(b.Resource) > 0}
	for _, column := range b.Series {
		n, _ := strconv.Atoi(column.Labels[0].Value)
		body.columns = append(body.columns, int32(n))
		for tick, v := range column.Values {
			if !v.IsNull() {
				p := tablePoint{int32(n), int32(b.Times[tick] - tableEpoch)}
				body.points = append(body.points, p)
				for _, n := range []uint64{uint64(p.series), uint64(p.ms), uint64(v.Int64())} {
					body.hash = (body.hash ^ n) * 0x100000001b3 // like FNV-1a
				}
			}
		}
	}
	return body
}

// tableServer decides by content; the zero outcome but for Acked is a refusal.
type tableServer func(b *tableBody) ship.Outcome

// tableShape is how an agent is set up.
type tableShape struct {
	mode    ship.SpoolMode
	fifo    bool
	every   time.Duration // between ticks
	batch   time.Duration // between batches
	series  int
	produce func(tick int) []int32 // the series of a tick; nil: all
	tweak   func(*ship.Config)
}

func (s tableShape) String() string {
	order := "live-first"
	if s.fifo {
		order = "fifo"
	}
	return fmt.Sprintf("%s %s %v of %v", s.mode, order, s.batch, s.every)
}

// tableRequest is what a test keeps of a request.
type tableRequest struct {
	at       time.Duration
	batch    string
	points   int
	accepted bool
}

// tableReceipt is when a point was accepted first, and as part of what.
type tableReceipt struct {
	at time.Duration
	id string
}

// tableWorld is an agent of many series and its server, in a bubble.
type tableWorld struct {
	t      *testing.T
	shape  tableShape
	cfg    ship.Config
	server tableServer
	rtt    time.Duration
	began  time.Time
	disk   *tableDisk
	log    bytes.Buffer

	ticks    [][]tablePoint
	snapshot *metric.Snapshot
	produced int64

	ended   time.Duration // when it was stopped
	process *tableProcess
	lost    map[string]int64      // by processes that have ended
	gone    map[tablePoint]bool   // lost with processes that were killed
	killAt  int                   // the request to kill the process at, from the first refusal on; 0: none
	since   int                   // guarded by mu: requests from the first refusal on
	killed  bool                  // guarded by mu
	late    bool                  // the request counts before the process is killed
	told    map[string]uint64     // guarded by mu: what an id names
	doubled map[tablePoint]string // guarded by mu
	mu      sync.Mutex

	requests []tableRequest              // guarded by mu
	got      map[tablePoint]tableReceipt // guarded by mu
	refusal  time.Duration               // the first; guarded by mu; -1: none
	first    string                      // the batch of the first refusal; guarded by mu
}

// tableProcess is one run of the shipper.
type tableProcess struct {
	queue  *ship.Queue
	ledger *ship.MemoryLedger
	spool  *tableSpool
	cancel context.CancelFunc
	losses map[string]int64 // by the time it was killed
	done   chan struct{}
}

// newTableWorld starts an agent; call it inside of a bubble.
func newTableWorld(t *testing.T, shape tableShape, server tableServer) *tableWorld {
	w := &tableWorld{
		t: t, shape: shape, cfg: config(), server: server, rtt: 50 * time.Millisecond, began: time.Now(), disk: newTableDisk(),
		snapshot: metric.NewSnapshot(0), lost: make(map[string]int64), gone: make(map[tablePoint]bool),
		told: make(map[string]uint64), doubled: make(map[tablePoint]string), got: make(map[tablePoint]tableReceipt), refusal: -1,
	}
	w.cfg.Mode, w.cfg.FIFO, w.cfg.Interval = shape.mode, shape.fifo, shape.every
	w.cfg.Rules.BatchInterval = shape.batch
	w.cfg.Resource = []metric.Label{metric.L("host.name", "table")}
	if shape.tweak != nil {
		shape.tweak(&w.cfg)
	}
	w.start()
	return w
}

// start runs a new process over what is on the disk.
func (w *tableWorld) start() {
	p := &tableProcess{queue: ship.NewQueue(32 << 20), ledger: &ship.MemoryLedger{}, spool: &tableSpool{disk: w.disk}, done: make(chan struct{})}
	w.process = p
	var spool ship.Spool
	if w.cfg.Mode != ship.SpoolOff {
		spool = p.spool
	}
	w.cfg.Agent.Epoch++
	shipper, err := ship.New(w.cfg, p.queue, encode.Native{}, &tableSender{w, p}, spool, p.ledger, zerolog.New(zerolog.SyncWriter(&w.log)))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	p.cancel = cancel
	go func() {
		defer close(p.done)
		_ = shipper.Run(ctx)
	}()
}

// run produces for a time.
func (w *tableWorld) run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(w.shape.every)
		w.tick()
		if w.process.spool.gone.Load() {
			w.restart()
		}
	}
}

// tick puts one point of each series.
func (w *tableWorld) tick() {
	now := time.Now().UnixMilli()
	w.snapshot.Reset(now)
	var points []tablePoint
	for _, x := range w.seriesOf(len(w.ticks)) {
		p := tablePoint{x, int32(now - tableEpoch)}
		points = append(points, p)
		w.snapshot.Int(tableDesc, int64(p.ms)*1000+int64(x), metric.L("n", strconv.Itoa(int(x))))
	}
	w.ticks = append(w.ticks, points)
	w.produced += int64(len(points))
	w.process.queue.Put(w.snapshot)
	synctest.Wait()
}

func (w *tableWorld) seriesOf(tick int) []int32 {
	if w.shape.produce != nil {
		return w.shape.produce(tick)
	}
	return tableRange(0, w.shape.series)
}

// tableRange returns the numbers from one up to another.
func tableRange(from, to int) (all []int32) {
	for i := from; i < to; i++ {
		all = append(all, int32(i))
	}
	return all
}

// stop ends the process in order, so that what it could not deliver is on the
// disk.
func (w *tableWorld) stop() {
	w.ended = time.Since(w.began)
	w.process.queue.Close()
	<-w.process.done
	w.process.cancel()
	w.addLosses(tableLosses(w.process.ledger))
}

// restart ends a killed process and starts another one. What neither the server
// nor the disk has by now is gone.
func (w *tableWorld) restart() {
	p := w.process
	p.cancel()
	<-p.done
	w.addLosses(p.losses)
	pending, dead := w.disk.pending(w.t), w.disk.set(w.t)
	for _, tick := range w.ticks {
		for _, p := range tick {
			if _, ok := w.got[p]; !ok && !pending[p] && !dead[p] {
				w.gone[p] = true
			}
		}
	}
	w.start()
}

func (w *tableWorld) addLosses(losses map[string]int64) {
	for reason, n := range losses {
		w.lost[reason] += n
	}
}

func tableLosses(l *ship.MemoryLedger) map[string]int64 {
	all := make(map[string]int64)
	for _, loss := range l.Losses() {
		all[loss.Reason] = loss.Points
	}
	return all
}

// tableSender is the way from one process to the server.
type tableSender struct {
	*tableWorld
	process *tableProcess
}

func (s *tableSender) Refreshed() bool { return false }

// Send takes a body for the server. The chosen request never gets an answer, and
// its process nothing else done.
func (s *tableSender) Send(ctx context.Context, p ship.Payload) ship.Outcome {
	time.Sleep(s.rtt)
	s.mu.Lock()
	defer s.mu.Unlock()
	body := tableRead(s.t, p.Body, p.ID)
	body.at, body.number, body.compression = time.Since(s.began), len(s.requests), p.Compression
	if hash, ok := s.told[p.ID]; ok && hash != body.hash {
		s.t.Errorf("at %v the id %s names other points than before", body.at, p.ID)
	}
	s.told[p.ID] = body.hash
	o := s.server(body)
	if s.since > 0 || o.Verdict != ship.Acked && o.Cause != tableDown.Cause {
		s.since++
	}
	killed := s.since > 0 && s.since == s.killAt && !s.killed
	if !killed || s.late {
		s.remember(p.ID, body, o)
	}
	s.requests = append(s.requests, tableRequest{body.at, body.batch, len(body.points), o.Verdict == ship.Acked})
	tableTrace(s.tableWorld, p.ID, body, o)
	if killed {
		s.killed = true
		s.process.losses = tableLosses(s.process.ledger)
		s.process.spool.gone.Store(true)
		<-ctx.Done()
		return ship.Outcome{Cause: "killed"}
	}
	return o
}

// remember notes what the server did with a body.
func (w *tableWorld) remember(id string, b *tableBody, o ship.Outcome) {
	if (o.Verdict != ship.Acked || o.RejectedPoints > 0) && w.refusal < 0 && o.Cause != tableDown.Cause {
		w.refusal, w.first = b.at, b.batch
	}
	if o.Verdict != ship.Acked {
		return
	}
	refused := make(map[int32]bool)
	for _, i := range o.RejectedSeries {
		refused[b.columns[i]] = true
	}
	for _, p := range b.points {
		if refused[p.series] {
			continue
		}
		if r, ok := w.got[p]; !ok {
			w.got[p] = tableReceipt{b.at, id}
		} else if r.id != id {
			w.doubled[p] = r.id + " and " + id
		}
	}
}
