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
	b.due, b.extra, b.dying, b.early, b.owed, b.aside, b.resent = 0, 0, 0, 0, 0, 0, 0
	b.ended, b.trials = time.Time{}, newTrials()
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
			if !batch.kept && batch.acked[i] == 0 && !batch.dead[i] {
				batch.dropped = true
				memory++
			}
		}
	}
	told := b.toldLife[ship.LostQueueFull] + b.toldLife[ship.LostShutdown] + b.extra
	switch {
	case told > memory, told != memory && !how.crash():
		b.failf("%d points were in memory alone at the end, and %d counted as lost", memory, told)
	case (b.due != 0 || b.owed != 0) && !how.crash():
		b.failf("%d rejected points are not counted, and %d dead ones not set aside", b.due, b.owed)
	case how.crash() && sound && told == 0:
		b.honours(mode)
	}
	b.refresh(s)
	if how.power && sound && s.cfg.Fsync != FsyncNever {
		b.synced()
	}
	if kept := s.dead.points + s.ledger.lettersLost; !how.crash() && !how.faulty && b.mounted && len(b.waits) == 0 && kept != b.kept+b.aside-b.resent {
		b.failf("%d points were set aside, and %d sent again; there were %d, and are %d", b.aside, b.resent, b.kept, kept)
	}
	if !b.mounted { // what is left is judged when a process can look at it
		b.direct -= b.early // nothing had the count but this process
		b.early = 0
		how.kill, how.power = how.kill || b.how.kill, how.power || b.how.power
		how.unsynced, how.unclosed = how.unsynced || b.how.unsynced, how.unclosed || b.how.unclosed
		how.faulty = true
	}
	if b.mounted {
		b.orphan = b.draft
	}
	b.draft = simDraft{}
	how.at = b.ended
	b.how, b.mounted = how, false
}

// refresh looks up what is durable by now, unless the spool is closed.
func (b *books) refresh(s *Spool) {
	if !b.mounted || !s.mounted {
		return
	}
	now, _ := b.scan(s)
	for name, v := range now {
		b.batches[name].waits.durable = v.durable
	}
}

// grace is how long a slow disk may take over one batch.
const grace = 3 * time.Second

// honours checks what the mode says that a kill may take, with a disk that took
// everything: docs/delivery.md, What goes to disk.
func (b *books) honours(mode ship.SpoolMode) {
	for _, batch := range b.life {
		if !batch.dropped {
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
	delta := lostOf(totals) - lostOf(b.totals) + back - b.early
	least := int64(0)
	if b.how.power {
		least = -b.inFlux
	}
	if b.how.crash() || b.how.unclosed {
		least -= b.unsaved
	}
	vague := b.how.unsynced || b.how.power && s.cfg.Fsync == FsyncNever
	if !vague && (delta < least || delta > gone+b.torn()) {
		b.failf("after %v %d points more are counted as lost, and at least %d; %d are gone, %d were being written", b.how, delta, least, gone, b.torn())
	}
	b.log("reopened after %v: %d points gone, %d back, %d counted", b.how, gone, back, delta)
	b.unmatched += delta
	b.inFlux, b.early = 0, 0
	b.reread(s)
	b.readLetters(vague)
}

// returned notes what waits again, and returns how many points of it had been
// counted as lost or dead.
func (b *books) returned(batch *simBatch, v *view) (back int64) {
	delivered := false
	batch.dropped, batch.unsure = false, batch.unsure || !batch.kept // Append had not said so, but it is there
	for n := v.entries; n > batch.waits.entries; n-- {
		switch last := len(batch.settled) - 1; {
		case batch.lost > 0:
			batch.lost-- // the count did not reach the disk, the batch had
			back += batch.items()
		case last >= 0:
			delivered = true
			back += batch.settled[last]
			if batch.settled = batch.settled[:last]; last == 0 {
				clear(batch.dead)
			}
		}
	}
	forgot := slices.ContainsFunc(v.notes, func(note string) bool { return note != batch.note })
	if forgot {
		batch.unsure, batch.note = true, v.notes[0]
		if !b.how.power && !b.how.faulty {
			b.failf("%v had another note before %v", batch, b.how)
		}
	}
	late := !batch.forgotten.IsZero() && b.how.at.Sub(batch.forgotten) > 2*syncEvery
	if delivered && late && !b.how.power && !b.how.faulty {
		b.failf("%v was acknowledged, and waits again after %v", batch, b.how)
	}
	return back
}

// vanished notes what a crash took, and returns how many points that is.
func (b *books) vanished(batch *simBatch, v *view) (gone int64) {
	left := 0
	if v != nil {
		left = v.entries
	}
	if left >= batch.waits.entries {
		return 0
	}
	batch.gone = left == 0
	if !b.how.power || batch.waits.durable {
		b.failf("%s was on disk, and is not there after %v", batch.point(0), b.how)
	}
	return int64(batch.waits.entries-left) * batch.items()
}

// torn is the most that the record which a crash cut short can hold.
func (b *books) torn() (most int64) {
	if b.how.crash() {
		most = b.halves
		for _, batch := range b.made {
			most = max(most, batch.items())
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
	lost := b.direct
	for _, batch := range b.made {
		lost += int64(batch.lost) * batch.items()
		for _, dead := range batch.settled {
			lost += dead
		}
	}
	if got := lostOf(b.totals); got != lost+b.unmatched {
		b.failf("the spool counts %d points as lost, and lost %d (and %d in crashes)", got, lost, b.unmatched)
	}
	b.readLetters(false)
	for _, batch := range b.made {
		for i := range batch.points {
			b.settle(batch, i)
		}
	}
}

// settle checks that a point is stored, or that there is one reason why it is
// not. A letter was of no account until it was sent again, which may be more than
// once: a power cut brings its file back.
func (b *books) settle(batch *simBatch, i int) {
	p, reasons := batch.points[i], 0
	told := batch.acked[i] != 0 && b.server.rejected[simPlace{batch.simName, p.value}]
	lost := batch.lost > 0 || batch.dead[i]
	for _, is := range []bool{batch.lost > 0, batch.dead[i], batch.gone, batch.dropped && batch.acked[i] == 0, batch.waits.entries > 0} {
		if is {
			reasons++
		}
	}
	switch as := b.server.points[p.value]; {
	case as != "" && b.find(as) == batch && lost && !batch.excused[i] && !batch.letter:
		b.failf("stored, and counts as lost: %s", batch.point(i))
	case as != "" && b.find(as).of == nil, batch.letter && !batch.kept:
	case reasons == 0 && !told && (batch.acked[i] == 0 || as == ""), reasons > 1 && !batch.excused[i] && !batch.letter:
		b.failf("missing for %d reasons: %s", reasons, batch.point(i))
	}
}
