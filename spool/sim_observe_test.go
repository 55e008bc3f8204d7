package spool

import (
	"maps"
	"slices"
	"time"
)

// observe compares what waits in the spool, and what it counts, with what was
// there before: a point leaves as it is delivered, or is counted as lost.
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
	if b.mounted {
		b.unsaved = s.ledger.direct - s.saved.direct
	} else {
		b.kept = s.dead.points + s.ledger.lettersLost
	}
	totals := s.totals()
	if b.mounted && totals == b.totals {
		return
	}
	if !b.mounted {
		b.adopt(s)
	}
	now, waiting := b.scan(s)
	if got := totals.delivered + lostOf(totals) + waiting; got != totals.appended {
		b.failf("%s: %d points are appended, and %d accounted for: %+v", op, totals.appended, got, totals)
	}
	if b.mounted {
		b.compare(now, totals, op, name)
	} else {
		b.reopened(s, now, totals)
	}
	b.mounted, b.totals = true, totals
	for _, batch := range b.waits {
		if now[batch.simName] == nil {
			batch.waits = view{timeMS: batch.waits.timeMS}
			delete(b.waits, batch.simName)
		}
	}
	for name, v := range now {
		batch := b.batches[name]
		batch.waits, batch.kept = *v, true
		b.waits[name] = batch
	}
}

// scan looks up what the spool has of each batch, and counts the points.
func (b *books) scan(s *Spool) (now map[simName]*view, points int64) {
	now = map[simName]*view{}
	for _, seg := range s.segs {
		for i := range seg.entries {
			e := &seg.entries[i]
			if e.fate != pending {
				continue
			}
			points += int64(e.items)
			name := simName{e.epoch, e.seq}
			batch := b.batches[name]
			if batch == nil || len(batch.points) != int(e.items) {
				b.failf("the spool has %d points of %x %d, which nobody made", e.items, e.epoch, e.seq)
				continue
			}
			v := now[name]
			if v == nil {
				v = &view{timeMS: e.timeMS}
				now[name] = v
			}
			v.entries++
			v.notes = append(v.notes, string(seg.notes[e.off]))
			v.durable = v.durable || s.cfg.Fsync != FsyncNever && seg.copyOf(i) == nil
		}
	}
	return now, points
}

// changed lists the batches of which not as much waits as did, and the one that
// was appended, as they were made.
func (b *books) changed(now map[simName]*view, appended simName) (changed []*simBatch) {
	for name, batch := range b.waits {
		if v := now[name]; v == nil || name == appended || v.entries != batch.waits.entries {
			changed = append(changed, batch)
		}
	}
	slices.SortFunc(changed, asMade)
	return changed
}

// compare is observe while a process lives.
func (b *books) compare(now map[simName]*view, totals tally, op string, name simName) {
	var sum int64
	for _, batch := range b.changed(now, name) {
		gone := batch.waits.entries
		if v := now[batch.simName]; v != nil {
			gone -= v.entries
		}
		switch {
		case op == opAppend && batch.simName == name:
			gone++ // the same batch may have been given up for it
		case op == opAck && batch.simName == name:
			gone--
			if !batch.waits.durable {
				b.inFlux += b.dying
			}
		}
		if gone > 0 {
			sum += b.lose(batch, gone)
			b.log("%s: %d entries of %v are lost", op, gone, batch)
		}
	}
	appended := totals.appended - b.totals.appended
	for other, v := range now {
		grown := max(v.entries-b.batches[other].waits.entries, 0)
		appended -= int64(grown) * b.batches[other].items()
		if grown > 0 && (op != opAppend || other != name) && op != opTick {
			b.failf("%s: %v waits from nowhere", op, b.batches[other])
		}
	}
	if op == opTick && appended > 0 { // letters that gave way to others at once
		sum += appended
		b.unmatched += appended
	}
	dead := totals.dead - b.totals.dead
	if got := lostOf(totals) - lostOf(b.totals) - dead; got != sum || dead != b.dying {
		b.failf("%s: %d points are lost, and %d counted; %d are dead, and %d counted", op, sum, got, b.dying, dead)
	}
	b.dying = 0
}

// lose notes entries of a batch that do not wait any more and were not
// delivered, and returns how many points that are.
func (b *books) lose(batch *simBatch, entries int) (points int64) {
	batch.lost += entries
	batch.lostAt = time.Now()
	if points = int64(entries) * batch.items(); !batch.waits.durable {
		b.inFlux += points
	}
	batch.excuse(b.server, batch.flying > 0 || batch.waits.entries > 1 || batch.epoch == b.epoch || batch.sentIn == b.epoch)
	return points
}
