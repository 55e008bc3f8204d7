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

// The operations of the spool that take something from what waits, or add to it.
const (
	opAppend = "append"
	opAck    = "ack"
	opTick   = "tick" // may append letters
)

// books hold what was produced, and what everybody said of it. Each point is in
// one batch at most, or never left the queue; beside that it may be in letters.
type books struct {
	mu      sync.Mutex // guards nothing: see meet
	server  *simServer
	disk    *simDisk
	log     func(string, ...any)
	err     error // the first
	batches map[simName]*simBatch
	made    []*simBatch
	waits   map[simName]*simBatch // those with entries in the spool
	ids     map[string]simSent

	// Of the process that lives:
	epoch    uint64
	produced int64 // points
	inBatch  int64 // of them
	life     []*simBatch
	losses   []metric.Loss    // as the last batch had them
	toldLife map[string]int64 // to the ledger
	due      int64            // points that the server left out without a name and nobody counted yet
	extra    int64            // points that were lost as rejected beside those
	trials   trials
	draft    simDraft
	ended    time.Time // when the disk was first seen dead

	// dying are the points that count as dead after this operation, early those
	// that did before there was a spool, and unsaved those that no ledger has. owed
	// are to be set aside next, of a batch that the spool had if that is not nil.
	dying, early, unsaved, owed int64
	owedOf                      *simBatch
	direct                      int64 // points of all lives that died without having been in the spool

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
	// orphan is the draft of a process that died, until another looks at the spool.
	orphan simDraft
	// halves are the points of the largest batch that gave way to its draft.
	halves int64
	// aside are the points that were set aside in this life, resent those of
	// letters that were removed as they were sent again, and kept what letters and
	// their count of losses began with.
	aside, resent, kept int64
	// unmatched is what crashes left of points counted that nothing was lost for,
	// or the other way round.
	unmatched int64
}

func newBooks(disk *simDisk, log func(string, ...any)) *books {
	b := &books{
		disk: disk, log: log, batches: map[simName]*simBatch{}, waits: map[simName]*simBatch{},
		ledger: map[string]int64{}, floor: map[string]int64{}, toldLife: map[string]int64{}, ids: map[string]simSent{},
	}
	b.server = &simServer{books: b, ids: map[simName][]string{}, points: map[int64]string{}, rejected: map[simPlace]bool{}}
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

// simSent is what was sent under an id, which process did so first, and whether
// it may be stored and was refused nevertheless: the network refused or cut off a
// request, or the server refused a repetition.
type simSent struct {
	points   []simPoint
	epoch    uint64
	disowned bool
}

// find returns the batch that an id, of it or of some of it, is of.
func (b *books) find(id string) *simBatch {
	epoch, _ := metric.ParseEpoch(id[:16])
	seq, _ := metric.ParseEpoch(id[16:32])
	return b.batches[simName{epoch, seq}]
}

// encoded notes a new batch, or a letter. What a batch says of losses may not
// shrink.
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
	b.log("made %v: %d points from %d", batch, len(batch.points), batch.points[0].value)
	if batch.letter = m.Agent.Epoch != b.epoch; batch.letter {
		return
	}
	b.life = append(b.life, batch)
	b.inBatch += batch.items()
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
	batch.sentIn = b.epoch
	batch.flying++
	if time.Since(batch.lostAt) <= instant {
		batch.excuse(b.server, true)
	}
	return batch
}

func (b *books) answered(batch *simBatch, p ship.Payload, m *metric.Batch, fault netFault, o ship.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.disk.dead {
		return
	}
	b.log("sent %s, %d points in %d bytes: %s, %d %d", p.ID, p.Points, len(p.Body), fault, o.Verdict, o.Status)
	points := simPoints(m)
	b.trials.answered(points, m, o)
	if o.Verdict != ship.Acked {
		sent := b.ids[p.ID]
		sent.disowned = sent.disowned || slices.Contains(slanders, fault)
		b.ids[p.ID] = sent
		if batch.failed.IsZero() {
			batch.failed = time.Now()
		}
		return
	}
	if b.due != 0 {
		b.failf("%d rejected points are not counted", b.due)
	}
	named := b.server.tells && !b.server.isUnreadable(batch.simName, batch.points[0].value)
	if b.due = o.RejectedPoints; named {
		b.due = 0
	}
	at, _ := batch.places(points)
	for _, i := range at {
		if !named || !b.server.rejected[simPlace{batch.simName, batch.points[i].value}] {
			batch.acked[i] = b.epoch
		}
	}
}

// appended notes what Append said.
func (b *books) appended(e ship.Entry, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look()
	if err != nil {
		b.log("append %v: %v", e.ID, err)
		return
	}
	batch := b.batches[nameOf(e.ID)]
	batch.kept, batch.keptAt, batch.note = true, time.Now(), string(e.Note)
}

// noted notes what Note said.
func (b *books) noted(name simName, note []byte, there bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if there {
		b.batches[name].note = string(note)
	}
}

// acknowledged notes what Ack said. Points that are dead are to be set aside next.
func (b *books) acknowledged(name simName, dead int64, there bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if batch := b.batches[name]; there {
		batch.forgotten = time.Now()
		batch.settled = append(batch.settled, dead)
		b.die(batch, dead)
	}
}

// refused notes that points died that never were in the spool.
func (b *books) refused(points int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.direct += points
	b.die(nil, points)
	if !b.mounted {
		b.early, b.dying = b.early+points, 0
	}
}

func (b *books) die(of *simBatch, points int64) {
	if b.owed != 0 {
		b.failf("%d dead points of %v are not set aside", b.owed, b.owedOf)
	}
	b.dying, b.owed, b.owedOf = points, points, of
}

// told notes what the shipper told the ledger.
func (b *books) told(reason string, points int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log("lose %d: %s", points, reason)
	b.ledger[reason] += points
	b.toldLife[reason] += points
	if reason == ship.LostRejected {
		left := min(b.due, points)
		b.due -= left
		b.extra += points - left
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
