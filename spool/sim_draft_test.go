package spool

import (
	"errors"
	"slices"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// simDraft is what the spool was told of a draft, in this life or the last.
type simDraft struct {
	records []*simBatch
	unsure  []*simBatch // Draft failed, or the process died in it
	ending  bool        // the process died in Discard
	ghost   bool        // Discard failed: an earlier draft may be on disk, and count as lost
}

func (d *simDraft) points() (n int64) {
	for _, batch := range d.records {
		n += batch.items()
	}
	return n
}

// Draft stores a tick of the batch that is being built.
func (d simSpool) Draft(e ship.Entry, n int) error {
	d.enter()
	d.wait()
	if d.disk.dead {
		return errCrashed
	}
	err := d.s.Draft(Record{ID: ID(e.ID), Items: e.Items, TimeMS: e.TimeMS, Payload: e.Payload}, n)
	d.books.drafted(nameOf(e.ID), n, err)
	d.books.observe(d.s, "draft", simName{})
	return err
}

// Discard ends the draft.
func (d simSpool) Discard() error {
	d.enter()
	d.wait()
	if d.disk.dead {
		return errCrashed
	}
	err := d.s.Discard()
	d.books.discarded(err)
	d.books.observe(d.s, "discard", simName{})
	return err
}

// drafted notes what Draft said, of what was encoded last. It is no batch unless
// the process is killed.
func (b *books) drafted(name simName, n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look()
	batch := b.batches[name]
	if batch == nil || batch != b.made[len(b.made)-1] {
		b.failf("record %d of a draft has the name of %v", n, batch)
		return
	}
	b.forget(batch)
	b.log("draft %d, %v: %v", n, batch, err)
	switch {
	case errors.Is(err, ErrDraftLost):
		b.draft = simDraft{ghost: b.draft.ghost}
	case n == 0 && (err != nil || b.disk.dead):
		b.draft = simDraft{unsure: []*simBatch{batch}, ghost: b.draft.ghost}
	case n == 0:
		b.draft = simDraft{records: []*simBatch{batch}, ghost: b.draft.ghost}
	case err != nil || b.disk.dead:
		b.draft.unsure = []*simBatch{batch}
	default:
		b.draft.records = append(b.draft.records, batch)
	}
	batch.keptAt = time.Now()
}

// forget takes out what is no batch after all.
func (b *books) forget(batch *simBatch) {
	if slices.Contains(b.life, batch) {
		b.inBatch -= batch.items()
	}
	is := func(other *simBatch) bool { return other == batch }
	b.made, b.life = slices.DeleteFunc(b.made, is), slices.DeleteFunc(b.life, is)
	delete(b.batches, batch.simName)
}

func (b *books) discarded(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log("discard: %v", err)
	if b.look(); b.disk.dead {
		b.draft.ending = true
		return
	}
	b.draft = simDraft{ghost: b.draft.ghost || err != nil}
}

// exorcise removes drafts that a process could not discard, before another looks:
// what is in them may be delivered, or lost, by then, and is sent a second time.
// A power cut brings back what no fsync was to remove.
func (b *books) exorcise(never bool) {
	if !b.orphan.ghost && (!b.how.power || !never) {
		return
	}
	b.orphan = simDraft{}
	names, _ := b.disk.memFS.List(".")
	for _, name := range names {
		id, sidecar, ok := parseName(name)
		if !ok || sidecar {
			continue
		}
		seg := openSegment(b.disk.memFS, id, false)
		adopted := func(e entry) bool {
			batch := b.batches[simName{e.epoch, e.seq}]
			return batch != nil && batch.ofDraft && batch.points[0].timeMS == e.timeMS
		}
		if seg.ofTicks && !slices.ContainsFunc(seg.entries, adopted) {
			_ = b.disk.memFS.Remove(name)
		}
	}
	_ = b.disk.memFS.SyncDir(".")
}

// adopt makes batches of the records that a process found of the draft of an
// earlier one. The larger batches that hold them were never sent then, and a crash
// took those that were on disk.
func (b *books) adopt(s *Spool) {
	d := b.orphan
	b.orphan = simDraft{}
	records := append(slices.Clone(d.records), d.unsure...)
	if len(records) == 0 {
		return
	}
	adopted, found := false, map[simName]bool{}
	for _, seg := range s.segs {
		for _, e := range seg.entries {
			name := simName{e.epoch, e.seq}
			found[name] = true
			adopted = adopted || seg.ofTicks && slices.ContainsFunc(records, func(r *simBatch) bool { return r.simName == name })
		}
	}
	kept := false
	for _, batch := range slices.Clone(b.made) {
		switch {
		case batch.epoch != records[0].epoch || batch.seq < records[0].seq:
		case !adopted:
			kept = kept || batch.kept || found[batch.simName]
		case !batch.sent.IsZero(), batch.waits.durable:
			b.failf("there is a draft of %v, which was sent or durable", batch)
		default:
			delete(b.waits, batch.simName)
			b.forget(batch)
			b.halves = max(b.halves, batch.items()) // it may have been cut short
		}
	}
	for _, batch := range records {
		switch {
		case adopted && found[batch.simName] && b.batches[batch.simName] == nil:
			batch.number = len(b.made)
			b.batches[batch.simName] = batch
			b.made = append(b.made, batch)
			batch.kept, batch.ofDraft = true, true
		case slices.Contains(d.unsure, batch), d.ending, kept, b.how.faulty, b.how.unsynced, b.how.power && s.cfg.Fsync == FsyncNever:
		case !b.how.power || b.how.at.Sub(batch.keptAt) > 2*syncEvery:
			b.failf("%v was in the draft, and is not there after %v", batch, b.how)
		}
	}
}

// tickUnderWay checks that a kill takes no more than the tick under way where
// the draft has to have the others.
func (b *books) tickUnderWay(mode ship.SpoolMode, fails bool, points int64) {
	if left := b.produced - b.inBatch - b.draft.points(); left > points && (fails || mode == ship.SpoolAlways) {
		b.failf("%d points were in the queue alone, mode %s, failing %t", left, mode, fails)
	}
}

// draftable reports whether the disk took everything before a kill.
func (b *books) draftable(how ending) bool {
	return how.crash() && !how.faulty && !how.unsynced && b.mounted && b.disk.slowed.Before(time.Now().Add(-grace))
}
