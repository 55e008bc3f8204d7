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
	for _, batch := range b.waits {
		if now[batch.simName] == nil {
			batch.waits = view{left: make([]uint8, len(batch.points)), timeMS: batch.waits.timeMS}
			delete(b.waits, batch.simName)
		}
	}
	for name, v := range now {
		batch := b.batches[name]
		batch.waits, batch.kept = *v, true
		b.waits[name] = batch
	}
}

// scan looks up what the spool has of each batch.
func (b *books) scan(s *Spool) map[simName]*view {
	now := map[simName]*view{}
	for _, seg := range s.segs {
		for i := range seg.entries {
			e := &seg.entries[i]
			if e.fate != pending {
				continue
			}
			name := simName{e.epoch, e.seq}
			batch := b.batches[name]
			if batch == nil || len(batch.points) != int(e.items) || e.part != 0 {
				b.failf("the spool has %d points of %x %d, which nobody made", e.items, e.epoch, e.seq)
				continue
			}
			v := now[name]
			if v == nil {
				v = &view{left: make([]uint8, e.items), timeMS: e.timeMS}
				now[name] = v
			}
			v.entries++
			v.durable = v.durable || s.cfg.Fsync != FsyncNever && seg.copyOf(i) == nil
			addLeft(v.left, seg.marks(i))
		}
	}
	return now
}

// addLeft adds an entry of which parts are settled.
func addLeft(left []uint8, parts []Mark) {
	settled := make([]bool, len(left))
	for _, m := range parts {
		if m.Fate != PartCut {
			from, to := partRange(pathOf(m.Part), len(left))
			for i := from; i < to; i++ {
				settled[i] = true
			}
		}
	}
	for i := range left {
		if !settled[i] {
			left[i]++
		}
	}
}

// changed lists the batches of which not all waits that did, and the one that was
// appended, as they were made.
func (b *books) changed(now map[simName]*view, appended simName) (changed []*simBatch) {
	for name, batch := range b.waits {
		if v := now[name]; v == nil || name == appended || !slices.Equal(v.left, batch.waits.left) {
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
		var left []uint8
		if v := now[batch.simName]; v != nil {
			left = slices.Clone(v.left)
		}
		if op == opAppend && batch.simName == name {
			for i := range left { // the same batch may have been given up for it
				left[i] -= b.fresh[i]
			}
		}
		if n := b.lose(batch, left, op == opAck && batch.simName == name); n > 0 {
			sum += n
			b.log("%s: %d points of %v are lost", op, n, batch)
		}
	}
	b.buries(op, now, totals.dead-b.totals.dead)
	for other, v := range now {
		if v.entries > b.batches[other].waits.entries && (op != opAppend || other != name) {
			b.failf("%s: %v waits from nowhere", op, b.batches[other])
		}
	}
	if got := lostOf(totals) - lostOf(b.totals); got != sum {
		b.failf("%s: %d points are lost, and %d counted", op, sum, got)
	}
}

// lose notes the points of a batch that do not wait any more and were not
// delivered, and returns how many entries had them.
func (b *books) lose(batch *simBatch, left []uint8, delivered bool) (points int64) {
	for i, was := range batch.waits.left {
		n := was
		if left != nil {
			n -= min(was, left[i])
		}
		if n > 0 && delivered {
			n--
		}
		if n > 0 {
			batch.lost[i] += n
			points += int64(n)
		}
	}
	if points == 0 {
		return 0
	}
	batch.lostAt = time.Now()
	if !batch.waits.durable {
		b.inFlux += points
	}
	batch.excuse(b.server, batch.flying > 0 || batch.waits.entries > 1 || batch.epoch == b.epoch)
	return points
}
