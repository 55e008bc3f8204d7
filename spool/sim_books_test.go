package spool

import (
	"cmp"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
)

// The operations of the spool that take something from what waits, or add to it.
const (
	opAppend = "append"
	opAck    = "ack"
	opBury   = "set aside"
)

// books hold what was produced, and what everybody said of it. Each point is in
// one batch at most, or never left the queue; beside that it may be in one of
// what the server left out.
type books struct {
	mu      sync.Mutex // guards nothing: see meet
	server  *simServer
	disk    *simDisk
	log     func(string, ...any)
	err     error // the first
	batches map[simName]*simBatch
	made    []*simBatch
	waits   map[simName]*simBatch // those with entries in the spool

	// Of the process that lives:
	epoch    uint64
	produced int64 // points
	inBatch  int64 // of them
	life     []*simBatch
	losses   []metric.Loss    // as the last batch had them
	toldLife map[string]int64 // to the ledger
	due      due
	trials   trials
	fresh    []uint8   // what is left of the entry that Append made
	letter   string    // the last dead letter
	burying  simLetter // what it is of
	ended    time.Time // when the disk was first seen dead

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
	letters       map[string]simLetter // that were not trimmed, by file
	// unmatched is what crashes left of points counted that nothing was lost for,
	// or the other way round.
	unmatched int64
}

// due is what the server rejected of a batch and is not accounted for yet.
type due struct {
	batch  *simBatch
	points int64
}

func newBooks(disk *simDisk, log func(string, ...any)) *books {
	b := &books{
		disk: disk, log: log, batches: map[simName]*simBatch{}, waits: map[simName]*simBatch{},
		letters: map[string]simLetter{}, ledger: map[string]int64{}, floor: map[string]int64{}, toldLife: map[string]int64{},
	}
	b.server = &simServer{books: b, parts: map[string][]string{}, points: map[int64]bool{}, rejected: map[int64]bool{}}
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

// find returns the batch that an id, of it or of a part, names, and which of
// its points.
func (b *books) find(id string) (batch *simBatch, from, to int) {
	whole, path, _ := strings.Cut(id, "/")
	epoch, _ := metric.ParseEpoch(whole[:16])
	seq, _ := metric.ParseEpoch(whole[16:])
	if batch = b.batches[simName{epoch, seq}]; batch != nil {
		if path != "" {
			path = "/" + path
		}
		from, to = partRange(path, len(batch.points))
	}
	return batch, from, to
}

// encoded notes a new batch. What it says of losses may not shrink.
func (b *books) encoded(m *metric.Batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := newBatch(m)
	if b.disk.dead || m.Part != "" || b.batches[batch.simName] != nil {
		return
	}
	batch.number = len(b.made)
	b.batches[batch.simName] = batch
	b.made = append(b.made, batch)
	b.log("made %v: %d points from %d", batch, len(batch.points), batch.points[0])
	if batch.leftOut = m.Agent.Epoch != b.epoch; batch.leftOut {
		return
	}
	b.life = append(b.life, batch)
	b.inBatch += int64(len(batch.points))
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
	batch, _, _ := b.find(id)
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
	batch.inParts = batch.inParts || strings.Contains(id, "/")
	if time.Since(batch.lostAt) <= instant {
		batch.excuse(b.server, true)
	}
	return batch
}

func (b *books) answered(batch *simBatch, p ship.Payload, fault netFault, o ship.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.disk.dead {
		return
	}
	b.log("sent %s, %d points in %d bytes: %s, %d", p.ID, p.Points, len(p.Body), fault, o.Verdict)
	b.trials.answered(batch.simName, p.ID, o)
	if o.Verdict != ship.Acked {
		if batch.failed.IsZero() {
			batch.failed = time.Now()
		}
		return
	}
	_, from, to := b.find(p.ID)
	for i := from; i < to; i++ {
		batch.acked[i], batch.ackedAs[i] = true, p.ID
	}
	b.due = due{batch, o.RejectedPoints}
}

// appended notes what Append said.
func (b *books) appended(name simName, marks []Mark, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look()
	if err != nil {
		b.log("append %x %d: %v", name.epoch, name.seq, err)
		return
	}
	batch := b.batches[name]
	batch.kept, batch.keptAt = true, time.Now()
	b.fresh = make([]uint8, len(batch.points))
	addLeft(b.fresh, marks)
	if batch.leftOut && b.due.points > 0 {
		b.due.points -= int64(len(batch.points))
	}
}

// forgotten notes what Ack or Mark said: of a batch that was lost before, what
// is rejected has been counted.
func (b *books) forgotten(name simName, there bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := b.batches[name]
	if there {
		batch.forgotten = time.Now()
	} else if b.due.batch == batch {
		b.due.points = 0
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
		b.due.points -= points
	}
}

// look notes when the process died.
func (b *books) look() {
	if b.disk.dead && b.ended.IsZero() {
		b.ended = time.Now()
	}
}

// waiting lists the batches with entries in the spool, as they were made.
func (b *books) waiting() []*simBatch { return slices.SortedFunc(maps.Values(b.waits), asMade) }

func asMade(x, y *simBatch) int { return cmp.Compare(x.number, y.number) }

func lostOf(t tally) int64 { return t.evicted + t.expired + t.corrupt + t.dead }
