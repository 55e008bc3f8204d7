package spool

import (
	"slices"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// ending is how a process ends.
type ending struct {
	kill  bool // at once, as kill -9 does; the page cache stays
	power bool // at once, and the disk keeps what was synced, and some of the rest
	// unsynced says that an fsync failed in this life, unclosed that Close did,
	// faulty that anything of the disk did, or died halfway.
	unsynced, unclosed, faulty bool

	at time.Time
}

func (e ending) String() string {
	how := "a stop"
	switch {
	case e.kill:
		how = "a kill"
	case e.power:
		how = "a power cut"
	}
	for i, is := range []bool{e.unsynced, e.unclosed, e.faulty} {
		if is {
			how += []string{", unsynced", ", unclosed", ", faulty"}[i]
		}
	}
	return how
}

func (e ending) crash() bool { return e.kill || e.power }

// born begins the books of a process.
func (b *books) born(epoch uint64) {
	b.epoch, b.produced, b.inBatch, b.life, b.losses = epoch, 0, 0, nil, nil
	b.toldLife = map[string]int64{}
	b.due, b.ended, b.trials = due{}, time.Time{}, newTrials()
}

// died ends the books of a process: what was in memory alone is told to the
// ledger, or a crash takes it.
func (b *books) died(s *Spool, how ending, mode ship.SpoolMode) {
	if b.ended.IsZero() {
		b.ended = time.Now()
	}
	// After the longest wait for a probe a disk that is sound again is in use.
	sound := b.mounted && b.ended.Sub(b.disk.failed) > 2*probeMax && b.ended.Sub(b.disk.slowed) > grace
	memory := b.produced - b.inBatch
	for _, batch := range b.life {
		for i := range batch.points {
			if !batch.kept && !batch.acked[i] {
				batch.dropped[i] = true
				memory++
			}
		}
	}
	told := b.toldLife[ship.LostQueueFull] + b.toldLife[ship.LostShutdown]
	switch {
	case told > memory, told != memory && !how.crash():
		b.failf("%d points were in memory alone at the end, and %d counted as lost", memory, told)
	case b.due.points != 0 && !how.crash():
		b.failf("%d rejected points are not counted", b.due.points)
	case how.crash() && sound && told == 0:
		b.honours(mode)
	}
	b.refresh(s)
	if how.power && sound && s.cfg.Fsync != FsyncNever {
		b.synced()
	}
	if !b.mounted { // what is left is judged when a process can look at it
		how.kill, how.power = how.kill || b.how.kill, how.power || b.how.power
		how.unsynced, how.unclosed = how.unsynced || b.how.unsynced, how.unclosed || b.how.unclosed
		how.faulty = true
	}
	how.at = b.ended
	b.how, b.mounted = how, false
}

// refresh looks up what is durable by now, unless the spool is closed.
func (b *books) refresh(s *Spool) {
	if !b.mounted || !s.mounted {
		return
	}
	for name, v := range b.scan(s) {
		b.batches[name].waits.durable = v.durable
	}
}

// grace is how long a slow disk may take over one batch.
const grace = 3 * time.Second

// honours checks what the mode says that a kill may take, with a disk that took
// everything: docs/delivery.md, What goes to disk.
func (b *books) honours(mode ship.SpoolMode) {
	for _, batch := range b.life {
		if !slices.Contains(batch.dropped, true) {
			continue
		}
		due := batch.made
		switch {
		case mode == ship.SpoolAlways:
		case !batch.failed.IsZero():
			due = batch.failed
		case !batch.sent.IsZero():
			due = batch.sent.Add(5 * time.Second)
		default:
			continue
		}
		if late := b.ended.Sub(due); late > instant {
			b.failf("%v was to be on disk %v before the crash, and is not", batch, late)
		}
	}
}

// synced checks that a power cut takes the last second and the fsync under way.
func (b *books) synced() {
	for _, batch := range b.waiting() {
		if age := b.ended.Sub(batch.keptAt); !batch.waits.durable && age > 2*syncEvery {
			b.failf("%v is on disk for %v, and not yet synced", batch, age)
		}
	}
}

// reopened is observe at the first look after a process ended: everything that
// waited waits, but for what was not durable when the power was cut; what was
// settled may wait again; and nothing counts that does not have to.
func (b *books) reopened(s *Spool, now map[simName]*view, totals tally) {
	var back, gone int64
	for name, v := range now {
		back += b.returned(b.batches[name], v)
	}
	for _, batch := range b.waiting() {
		gone += b.vanished(batch, now[batch.simName])
	}
	delta := lostOf(totals) - lostOf(b.totals) + back
	least := int64(0)
	if b.how.power {
		least = -b.inFlux
	}
	vague := b.how.unsynced || b.how.power && s.cfg.Fsync == FsyncNever
	if !vague && (delta < least || delta > gone+b.torn()) {
		b.failf("after %v %d points more are counted as lost; %d are gone, %d were being written", b.how, delta, gone, b.torn())
	}
	b.log("reopened after %v: %d points gone, %d back, %d counted", b.how, gone, back, delta)
	b.unmatched += delta
	b.inFlux = 0
	b.reread(s)
	b.readLetters(vague)
}

// returned notes what waits again, and returns how many points of it had been
// counted as lost.
func (b *books) returned(batch *simBatch, v *view) (back int64) {
	delivered := false
	for i, n := range v.left {
		if n > 0 {
			batch.dropped[i] = false // Append had not said so, but it is there
		}
		for ; n > batch.waits.left[i]; n-- {
			if batch.lost[i] == 0 {
				delivered = true
				break
			}
			batch.lost[i]-- // the count did not reach the disk, the batch had
			b.risen(batch, i)
			back++
		}
	}
	batch.unsure = batch.unsure || delivered || batch.inParts && (b.how.power || b.how.faulty)
	late := !batch.forgotten.IsZero() && b.how.at.Sub(batch.forgotten) > 2*syncEvery
	if delivered && late && !b.how.power && !b.how.faulty {
		b.failf("%v was acknowledged, and waits again after %v", batch, b.how)
	}
	return back
}

// vanished notes what a crash took, and returns how many points that is.
func (b *books) vanished(batch *simBatch, v *view) (gone int64) {
	for i, was := range batch.waits.left {
		if v != nil {
			was -= min(was, v.left[i])
		}
		if was == 0 {
			continue
		}
		gone += int64(was)
		batch.gone[i] = v == nil || v.left[i] == 0
		if !b.how.power || batch.waits.durable {
			b.failf("%s was on disk, and is not there after %v", batch.point(i), b.how)
		}
	}
	return gone
}

// torn is the most that the record which a crash cut short can hold.
func (b *books) torn() (most int64) {
	if b.how.crash() {
		for _, batch := range b.made {
			most = max(most, int64(len(batch.points)))
		}
	}
	return most
}

// reread compares the owner's losses with what was told: those of the last
// second, that the ledger did not have yet, a crash takes.
func (b *books) reread(s *Spool) {
	for reason := range b.ledger {
		most := b.ledger[reason]
		least := b.floor[reason] + b.toldLife[reason] // the latter since it was opened, in memory
		if b.how.power && s.cfg.Fsync == FsyncNever {
			least = 0
		}
		got := s.ledger.losses[reason]
		if got > most || got < least || got < most && !b.how.crash() && !b.how.unclosed {
			b.failf("after %v the ledger says %s is %d, not within %d and %d", b.how, reason, got, least, most)
		}
		b.ledger[reason] = got
		b.floor[reason] = got - b.toldLife[reason]
	}
}

// balance is the end of all: each point is stored, or in one of the books.
func (b *books) balance() {
	var lost int64
	owners := map[int64][]*simBatch{}
	for _, batch := range b.made {
		for i, point := range batch.points {
			lost += int64(batch.lost[i])
			owners[point] = append(owners[point], batch)
		}
	}
	if got := lostOf(b.totals); got != lost+b.unmatched {
		b.failf("the spool counts %d points as lost, and lost %d (and %d in crashes)", got, lost, b.unmatched)
	}
	b.readLetters(false)
	for _, batch := range b.made {
		for _, point := range batch.points {
			b.settle(point, owners[point])
		}
	}
}

// settle checks that a point is stored, or that there is one reason why it is
// not.
func (b *books) settle(point int64, owners []*simBatch) {
	reasons, lost, excused, acked := 0, false, false, false
	said := ""
	for _, batch := range owners {
		i := slices.Index(batch.points, point)
		said += "; " + batch.point(i)
		for _, is := range []bool{batch.lost[i] > 0, batch.gone[i], batch.dropped[i], batch.waits.left[i] > 0} {
			if is {
				reasons++
			}
		}
		lost = lost || batch.lost[i] > 0
		excused = excused || batch.excused[i]
		acked = acked || batch.acked[i]
	}
	told := acked && b.server.rejected[point]
	switch {
	case b.server.points[point] && lost && !excused:
		b.failf("stored, and counts as lost%s", said)
	case b.server.points[point]:
	case reasons == 0 && !told, reasons > 1 && !excused:
		b.failf("missing for %d reasons%s", reasons, said)
	}
}
