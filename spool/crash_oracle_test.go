package spool

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// oracle knows what was offered to a spool and says after each operation and
// after each crash whether the spool may have what it has. Records are known by
// their names.
type oracle struct {
	offered map[ID]*offer
	waiting map[ID]*offer // those with pending entries
	refused int64         // points that this process was refused
	torn    int64         // and those before it, since the last power cut

	now    Stats            // after the last operation
	losses map[string]int64 // the owner's losses then
	// unsaved are the points told to Refuse that no ledger had then: a crash
	// forgets them.
	unsaved int64
	// bad says that a segment was given up and not yet replaced. Its settled
	// records are not written again, but counted when it is.
	bad bool
	// floor is what the ledger has durably, but for appended: that is what it
	// and durable segments have. No crash may make it less.
	floor       tally
	floorLosses map[string]int64
	// shaken says that an fsync failed and then a process was killed: the next
	// one cannot know that what it reads of the ledger is not on the device. A
	// power cut shows it. syncs is how many had failed at the last one.
	shaken bool
	// drafted is the draft, failed what Draft may have written nevertheless, halves
	// what the last process left of it; extra are the points of all that, of which
	// any may come back.
	drafted, failed, halves []*offer
	extra                   int64
	// loose says that a letter may be of points whose settling was lost: an fsync
	// had failed, or there was none before a power cut.
	loose bool
	syncs int
	// doubtful says that a process did not write again what an fsync had failed
	// for, or could not sync what it found: segments may have less than they show
	// until a power cut.
	doubtful bool
}

// offer is a record that was offered to the spool, and what became of it.
type offer struct {
	Record
	entries int // pending in the spool; more than one if it was written twice
	// durable is the spool's promise that a power cut does not take it.
	durable bool
	// doubtful records are those of a doubtful oracle that were not durable.
	doubtful bool
	// free records carry no promise, whatever comes back of them: Append refused
	// them, or an entry was delivered, evicted or expired.
	free bool
	// rotten records have an entry that is damaged on the disk. Of several, which
	// Ack settles in no certain order, one may be that nobody read.
	rotten bool
	// before is the number of the next segment when the last entry was settled
	// or the record refused: only segments before it can hold the record.
	before  uint64
	ofDraft bool
	// buried records are in no segment any more: they cannot come back.
	buried bool
	// letter is the promise that there is a dead letter; replayed says that it
	// is to be appended again, twice that it was: a crash may bring back both.
	letter, replayed, twice bool
	// An entry of a letter has points of this record, or direct says how many
	// Refuse had counted when it came.
	of     ID
	direct int64
	noted
}

func newOracle() *oracle {
	return &oracle{
		offered: map[ID]*offer{}, waiting: map[ID]*offer{},
		losses: map[string]int64{}, floorLosses: map[string]int64{},
	}
}

// effect is what an operation did, as its caller sees it.
type effect struct {
	appended, refused *offer
	delivered, dead   int64 // points that an Ack took
	direct            int64 // points that Refuse took
	synced            bool  // Sync succeeded
	flushed           bool  // everything appended is durable
	wrong             error // what Oldest returned is not what was offered
}

func (e effect) String() string {
	switch {
	case e.appended != nil:
		return fmt.Sprintf("took %d (%d points, %d bytes, note %x)", e.appended.Seq, e.appended.Items, len(e.appended.Payload), e.appended.Note)
	case e.refused != nil:
		return fmt.Sprintf("refused %d", e.refused.Seq)
	}
	return fmt.Sprintf("delivered %d, dead %d, refused %d, synced %t", e.delivered, e.dead, e.direct, e.synced)
}

// observe checks a spool after an operation:
//
//   - the totals add up; Append and Refuse alone add to appended, and so does a
//     replay, Ack alone to delivered, Ack and Refuse alone to dead;
//   - the note of a record is what was said last;
//   - pending is what Append took and nothing settled, no more often than it
//     was written, with the right epoch, time and points;
//   - durable records vanish from what is pending only as their points are
//     delivered, evicted, expired or dead.
//
// It notes as promised what Append (in always mode) or Sync said was durable,
// and every record of this process that has no copy in memory any more.
func (o *oracle) observe(s *Spool, did effect, born uint64) error {
	was := o.now
	o.now, o.losses = s.Stats(), maps.Clone(s.ledger.losses)
	o.unsaved = s.ledger.direct - s.saved.direct
	o.bad = slices.ContainsFunc(s.segs, func(seg *segment) bool { return seg.bad })
	if err := errors.Join(balance(o.now), did.wrong); err != nil {
		return err
	}
	if of := did.appended; of != nil {
		was.Appended += of.Items
		of.entries++
		of.durable = s.cfg.Fsync == FsyncAlways
		o.waiting[of.ID] = of
	}
	if of := did.refused; of != nil {
		of.before, of.free = s.next, true
		o.refused += of.Items
	}
	replayed, err := o.replays(s, born)
	if err != nil {
		return err
	}
	was.Appended += replayed + did.direct
	left, err := o.pending(s, func(seg *segment, i int) bool {
		return s.cfg.Fsync != FsyncNever && seg.number >= born && (did.synced || did.flushed || seg.copyOf(i) == nil)
	})
	if err != nil {
		return err
	}
	if o.now.Appended != was.Appended || o.now.Delivered != was.Delivered+did.delivered || o.now.Dead != was.Dead+did.dead+did.direct {
		return fmt.Errorf("%+v became %+v", was, o.now)
	}
	if err := errors.Join(o.remembers(s, left), o.vanished(left, was, s.next)); err != nil {
		return err
	}
	if did.synced {
		o.raise(s)
	}
	return nil
}

// trust takes what waits for promised, if opening or closing the spool did sync
// it. A spool that cannot do that when it opens reads what there is.
func (o *oracle) trust(s *Spool, synced bool) {
	o.doubt(synced)
	for _, of := range o.waiting {
		of.durable = of.durable || s.cfg.Fsync != FsyncNever && !of.rotten && !of.doubtful
	}
}

// doubt notes what a spool could not sync when it opened.
func (o *oracle) doubt(synced bool) {
	o.doubtful = o.doubtful || !synced
	for _, of := range o.waiting {
		of.doubtful = of.doubtful || !of.durable && !synced
	}
}

// closed takes the promises of a Close that returned nil, if the spool had read
// the disk before.
func (o *oracle) closed(s *Spool, err error, mounted bool) {
	// Close may have mounted it.
	for reason, points := range s.ledger.losses {
		o.losses[reason] = max(o.losses[reason], points)
	}
	o.bad = o.bad || err != nil
	if err == nil && mounted {
		o.trust(s, true)
		o.raiseFloor(s)
	}
}

// pending counts the pending entries of each record, and notes which are
// durable.
func (o *oracle) pending(s *Spool, durable func(*segment, int) bool) (map[ID]int, error) {
	n := map[ID]int{}
	for _, seg := range s.segs {
		for i, e := range seg.entries {
			if e.fate != pending {
				continue
			}
			of := o.offered[e.id()]
			if of == nil || of.Items != int64(e.items) || of.TimeMS != e.timeMS {
				return nil, fmt.Errorf("segment %d has a record %v with %d points that nobody offered", seg.number, e.id(), e.items)
			}
			n[e.id()]++
			of.durable = of.durable || durable(seg, i)
		}
	}
	return n, nil
}

// vanished compares what is left with what was pending.
func (o *oracle) vanished(left map[ID]int, was Stats, next uint64) error {
	var gone int64
	for id, n := range left {
		if of := o.waiting[id]; of == nil || n > of.entries {
			return fmt.Errorf("record %v has %d entries of %+v", id, n, of)
		}
	}
	for id, of := range o.waiting {
		n := left[id]
		if n == of.entries {
			continue
		}
		if n == 0 {
			if of.durable && !of.free && !of.rotten && of.entries == 1 {
				gone += of.Items
			}
			of.before = next
			delete(o.waiting, id)
		}
		of.entries = n
		of.free = of.free || o.now.Corrupt == was.Corrupt
	}
	settled := o.now.Delivered + o.now.Evicted + o.now.Expired + o.now.Dead - was.Delivered - was.Evicted - was.Expired - was.Dead
	if gone > settled {
		return fmt.Errorf("%d durable points vanished and %d are accounted for", gone, settled)
	}
	return nil
}

// raise notes what a Sync that succeeded promises for ever.
func (o *oracle) raise(s *Spool) {
	o.raiseFloor(s)
	oldest := s.next
	if len(s.segs) > 0 {
		oldest = s.segs[0].number
	}
	for id, of := range o.offered {
		if o.waiting[id] == nil && of.before <= oldest {
			of.buried = true
		}
	}
}

func (o *oracle) raiseFloor(s *Spool) {
	appended := o.now.Appended
	if o.bad || o.doubtful {
		appended = o.floor.appended
	}
	o.floor, o.floorLosses = s.ledger.all(), maps.Clone(s.ledger.losses)
	o.floor.appended = appended
}
