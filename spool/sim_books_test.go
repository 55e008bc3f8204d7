package spool

import (
	"cmp"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
)

// simName names a batch.
type simName struct{ epoch, seq uint64 }

// simBatch is a batch that was made, and what became of it.
type simBatch struct {
	simName
	points []int64
	made   time.Time
	sent   time.Time // the first request; zero if there was none
	failed time.Time // its first answer that was no ack
	flying int       // requests that may still arrive
	acked  bool      // and the shipper knows it
	// forgotten is when Ack last found it waiting.
	forgotten time.Time
	// rejects are the points that the server rejected of it.
	rejects int64

	kept    bool // the spool has, or had, it
	keptAt  time.Time
	waiting int  // its entries in the spool; more than one if it was written twice
	durable bool // a power cut does not take it
	timeMS  int64
	lost    int // entries that the spool counts as lost
	lostAt  time.Time
	gone    bool // a power cut took it
	dropped bool // it was in memory alone when its process ended
	// excused batches may be stored and count as lost: when it was counted, the
	// server had it, a request was under way, or the shipper could have it in
	// memory too, being of this life.
	excused bool
}

func (b *simBatch) String() string {
	return fmt.Sprintf("%s (kept %t, acked %t, waits %d, lost %d, gone %t, dropped %t)",
		metric.BatchID(b.epoch, b.seq), b.kept, b.acked, b.waiting, b.lost, b.gone, b.dropped)
}

func (b *simBatch) items() int64 { return int64(len(b.points)) }

// books hold what was produced, and what everybody said of it. Each point is
// in one batch at most, or never left the queue.
type books struct {
	mu      sync.Mutex // guards nothing: see meet
	server  *simServer
	disk    *simDisk
	log     func(string, ...any)
	err     error // the first
	batches map[string]*simBatch
	byName  map[simName]*simBatch
	waits   map[simName]*simBatch // those with entries in the spool

	// Of the process that lives:
	produced int64 // points
	inBatch  int64 // of them
	life     []*simBatch
	losses   []metric.Loss    // as the last batch had them
	toldLife map[string]int64 // to the ledger
	rejected int64            // points that are still to be told

	// mounted says that totals are of the spool that is open; before, they are
	// those of the last process, which ended as how says.
	mounted bool
	how     ending
	totals  tally
	// inFlux are the points of entries that were not durable when they were
	// counted as lost, and the count may not be either.
	inFlux int64
	// ledger is what the owner's losses should be, and floor what the disk has.
	ledger, floor map[string]int64
	ended         time.Time // when the disk was first seen dead
	letter        *simBatch // the last one that was set aside
	// unmatched is what crashes left of points counted that nothing was lost for,
	// or the other way round.
	unmatched int64
}

func newBooks(disk *simDisk, log func(string, ...any)) *books {
	b := &books{
		disk: disk, log: log, batches: map[string]*simBatch{}, byName: map[simName]*simBatch{}, waits: map[simName]*simBatch{},
		ledger: map[string]int64{}, floor: map[string]int64{}, toldLife: map[string]int64{},
	}
	b.server = &simServer{books: b, parts: map[string][]string{}, points: map[int64]bool{}}
	return b
}

// meet tells the race detector what virtual time makes so: that no two
// goroutines of a simulation are awake at once.
func (b *books) meet() {
	b.mu.Lock()
	defer b.mu.Unlock()
}

func (b *books) failf(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
		b.log("FAILED: %v", b.err)
	}
}

// caught makes a panic a failure of its seed.
func (b *books) caught() {
	if r := recover(); r != nil {
		b.failf("panic: %v\n%s", r, debug.Stack())
	}
}

// find returns the batch that an id, of it or of a part, names.
func (b *books) find(id string) *simBatch { return b.batches[id[:32]] }

// made notes a new batch. What it says of losses may not shrink.
func (b *books) made(m *metric.Batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.disk.dead {
		return
	}
	batch := &simBatch{simName: simName{m.Agent.Epoch, m.Agent.Seq}, points: pointsOf(m), made: time.Now()}
	b.batches[m.ID()], b.byName[batch.simName] = batch, batch
	b.life = append(b.life, batch)
	b.inBatch += batch.items()
	b.log("made %s: %d points from %d", m.ID(), batch.items(), batch.points[0])
	for _, was := range b.losses {
		for _, is := range m.Loss {
			if is.Reason == was.Reason && is.Points < was.Points {
				b.failf("batch %s says that %s is %d; it was %d", m.ID(), is.Reason, is.Points, was.Points)
			}
		}
	}
	b.losses = append(b.losses[:0], m.Loss...)
}

// sent notes a request. It returns nil for one of a dead process.
func (b *books) sent(id string) *simBatch {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := b.find(id)
	if batch == nil && !b.disk.dead {
		b.failf("batch %s is sent, which nobody made", id)
	}
	if b.disk.dead || batch == nil {
		return nil
	}
	if batch.sent.IsZero() {
		batch.sent = time.Now()
	}
	batch.flying++
	batch.excused = batch.excused || time.Since(batch.lostAt) <= instant
	return batch
}

func (b *books) answered(batch *simBatch, p ship.Payload, fault netFault, o ship.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.disk.dead {
		return
	}
	b.log("sent %s: %s, %d", p.ID, fault, o.Verdict)
	switch {
	case o.Verdict != ship.Acked && batch.failed.IsZero():
		batch.failed = time.Now()
	case o.Verdict == ship.Acked:
		batch.acked, batch.rejects = true, o.RejectedPoints
		b.rejected += o.RejectedPoints
	}
}

// appended notes what Append said.
func (b *books) appended(name simName, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look()
	if batch := b.byName[name]; err == nil {
		batch.kept, batch.keptAt = true, time.Now()
	} else {
		b.log("append %v: %v", name, err)
	}
}

// forgotten notes what Ack said: of a batch that was lost before, what is
// rejected has been counted.
func (b *books) forgotten(name simName, there bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if there {
		b.byName[name].forgotten = time.Now()
	} else {
		b.rejected -= b.byName[name].rejects
	}
}

// told notes what the shipper told the ledger.
func (b *books) told(reason string, points int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log("lose %d: %s", points, reason)
	b.ledger[reason] += points
	b.toldLife[reason] += points
	if reason == ship.LostRejected {
		b.rejected -= points
	}
}

// observe compares what waits in the spool, and what it counts, with what was
// there before: a batch leaves by Ack, or is counted as lost.
func (b *books) observe(s *Spool, op string, name simName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mounted || !b.mounted && b.disk.dead { // or it died of reading the disk
		return
	}
	if s.ledgerEdits == s.ledgerSaved && b.mounted {
		b.floor = maps.Clone(b.ledger)
		if s.owed == 0 && len(s.retired) == 0 {
			b.inFlux = 0
		}
	}
	totals := s.totals()
	if b.mounted && totals == b.totals {
		return
	}
	now := b.scan(s)
	if b.mounted {
		b.compare(now, totals, op, name)
	} else {
		b.reopened(s, now, totals)
	}
	b.mounted, b.totals = true, totals
	b.take(now)
}

// waiting lists the batches with entries in the spool, as they were made.
func (b *books) waiting() []*simBatch {
	return slices.SortedFunc(maps.Values(b.waits), func(x, y *simBatch) int { return cmp.Compare(x.points[0], y.points[0]) })
}

// look notes when the process died.
func (b *books) look() {
	if b.disk.dead && b.ended.IsZero() {
		b.ended = time.Now()
	}
}

// scan counts the entries of each batch, and notes whether one is durable.
func (b *books) scan(s *Spool) map[simName]int {
	now := map[simName]int{}
	for _, seg := range s.segs {
		for i := range seg.entries {
			e := &seg.entries[i]
			if e.fate != pending {
				continue
			}
			batch := b.byName[simName{e.epoch, e.seq}]
			if batch == nil || batch.items() != int64(e.items) {
				b.failf("the spool has %d points of %x %d, which nobody made", e.items, e.epoch, e.seq)
				continue
			}
			batch.timeMS = e.timeMS
			batch.durable = s.cfg.Fsync != FsyncNever && seg.copyOf(i) == nil || now[batch.simName] > 0 && batch.durable
			now[batch.simName]++
		}
	}
	return now
}

// take makes what was found what waits.
func (b *books) take(now map[simName]int) {
	for name, batch := range b.waits {
		if batch.waiting = now[name]; batch.waiting == 0 {
			delete(b.waits, name)
		}
	}
	for name, n := range now {
		batch := b.byName[name]
		batch.waiting, batch.kept = n, true
		b.waits[name] = batch
	}
}

// compare is observe while a process lives.
func (b *books) compare(now map[simName]int, totals tally, op string, name simName) {
	var sum int64
	for _, batch := range b.waiting() {
		n := batch.waiting - now[batch.simName]
		if n > 0 && op == "ack" && batch.simName == name {
			n--
		}
		if n > 0 {
			b.count(batch, n)
			sum += batch.items() * int64(n)
			if op == "set aside" {
				b.letter = batch
			}
			b.log("%s: %v is lost", op, batch)
		}
	}
	for other, n := range now {
		if n > b.byName[other].waiting && (op != "append" || other != name) {
			b.failf("%s: %x %d waits from nowhere", op, other.epoch, other.seq)
		}
	}
	if got := lostOf(totals) - lostOf(b.totals); got != sum {
		b.failf("%s: %d points are lost, and %d counted", op, sum, got)
	}
}

// count notes that the spool gave up n entries of a batch.
func (b *books) count(batch *simBatch, n int) {
	batch.lost, batch.lostAt = batch.lost+n, time.Now()
	if !batch.durable {
		b.inFlux += batch.items() * int64(n)
	}
	batch.excused = batch.excused || batch.flying > 0 || batch.waiting > 1 || b.server.has(batch) ||
		len(b.life) > 0 && b.life[0].epoch == batch.epoch
}

// stored counts the points of a batch that the server has.
func (b *books) stored(batch *simBatch) (n int64) {
	for _, point := range batch.points {
		if b.server.points[point] {
			n++
		}
	}
	return n
}

func lostOf(t tally) int64 { return t.evicted + t.expired + t.corrupt + t.dead }
