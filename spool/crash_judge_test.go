package spool

import (
	"errors"
	"fmt"
	"maps"
)

// crash says how a process ended.
type crash struct {
	power bool // the machine's power was cut; else the process was killed
	cuts  int  // truncates that failed in this process
	syncs int  // fsyncs that failed since the disk was new
	lost  bool // one failed in this process, which then wrote nothing again
	// marked says that no write to a sidecar can have failed.
	marked bool
}

// judge opens and drains a copy of what a crash left; the disk is sound:
//
//   - the spool is usable, and takes and returns a record in the end;
//   - each record that Append took and nothing settled comes back: after a kill
//     all, after a power cut the durable ones;
//   - what comes back is byte for byte what was offered, is not buried, and
//     comes once unless an fsync had failed, or its letter was replayed;
//   - the figures are within the bounds of judgeFigures. After a power cut
//     without good fsyncs, when removed segments may come back that the ledger
//     does not name any more, nothing is promised of them but that they add up.
//
// What is there then is what the next process must find.
func (o *oracle) judge(cfg Config, disk *memFS, how crash) error {
	cfg.MaxAge = 0
	o.adopt()
	s := open(cfg, disk)
	void := how.power && (o.shaken || cfg.Fsync == FsyncNever)
	if void {
		o.forget()
	}
	opened := s.Stats()
	if opened.Cause != nil {
		return fmt.Errorf("unusable on a sound disk: %w", opened.Cause)
	}
	losses := maps.Clone(s.ledger.losses)
	found, err := o.pending(s, func(*segment, int) bool { return false })
	if err == nil {
		err = o.reopens(s, found, how)
	}
	if err != nil {
		return err
	}
	drained, err := o.drain(s)
	if err != nil {
		return err
	}
	if err := o.void(drained); err != nil {
		return err
	}
	for id, of := range o.waiting {
		if promised := of.durable || !how.power; promised && !of.free && !of.rotten && drained[id] == 0 {
			return fmt.Errorf("record %v of %d points is lost (durable: %t)", id, of.Items, of.durable)
		}
	}
	if !void {
		if err := o.judgeFigures(opened, losses, s.Stats().Corrupt, how); err != nil {
			return err
		}
	}
	for id, n := range drained {
		if n > 1 && how.syncs == 0 && !o.offered[id].twice {
			return fmt.Errorf("record %v comes back %d times", id, n)
		}
	}
	o.rebase(found, drained, how, s.next)
	o.now, o.losses = opened, losses
	return usable(s)
}

// drain acknowledges all that comes and counts it.
func (o *oracle) drain(s *Spool) (map[ID]int, error) {
	drained := map[ID]int{}
	for {
		r, err := s.Oldest(0, nil)
		if errors.Is(err, ErrEmpty) {
			return drained, balance(s.Stats())
		}
		if err != nil {
			return nil, err
		}
		of := o.offered[r.ID]
		if of == nil {
			return nil, fmt.Errorf("record %v was never offered", r.ID)
		}
		if err := sameRecord(r, of.Record); err != nil {
			return nil, err
		}
		if of.buried {
			return nil, fmt.Errorf("record %v comes back from a segment that is gone", r.ID)
		}
		drained[r.ID]++
		if !s.Ack(r.ID, 0) {
			return nil, fmt.Errorf("record %v cannot be acknowledged", r.ID)
		}
	}
}

// judgeFigures checks the figures of a spool as it was opened:
//
//   - delivered, evicted, expired, dead and each of the owner's losses are at most
//     what memory said at the crash: nothing is counted twice; and at least
//     what the ledger had when Sync last succeeded;
//   - appended is at least what was then in the ledger and in segments, and
//     after a kill what memory said; at most that and what was refused. Once an
//     fsync had failed, only the first holds: records may be there twice. Of
//     those settled while their segment was given up, a kill may take the count
//     along, and if the truncate fails, or a power cut undoes it, they may count
//     twice;
//   - what drained as corrupt is, after a kill, what was damaged before and, if
//     a truncate failed, what was refused or being written again; after a power
//     cut also what was not durable, and what was once for each fsync that
//     failed, since that left it in a segment given up, and what was settled
//     there: its count may be lost, but not that it was appended.
func (o *oracle) judgeFigures(got Stats, losses map[string]int64, corrupted int64, how crash) error {
	most, least := o.now, o.floor
	refused := o.refused + o.unreplayed(how)
	most.Appended += refused + o.extra
	if how.power {
		most.Appended += o.torn
	}
	if how.syncs > 0 {
		most.Appended = got.Appended
		if how.power || how.cuts > 0 {
			most.Delivered, most.Expired, most.Dead = got.Delivered, got.Expired, got.Dead
		}
	}
	if !how.power && how.syncs == 0 {
		least.appended = o.now.Appended - o.unsaved
	}
	if got.Appended < least.appended || got.Delivered < least.delivered || got.Evicted < least.evicted ||
		got.Expired < least.expired || got.Corrupt < least.corrupt || got.Dead < least.dead {
		return fmt.Errorf("counted too little: %+v, durable were %+v", got, least)
	}
	if got.Appended > most.Appended || got.Delivered > most.Delivered || got.Evicted > most.Evicted ||
		got.Expired > most.Expired || got.Dead > most.Dead {
		return fmt.Errorf("counted twice: %+v, at most %+v", got, most)
	}
	for reason := range o.losses {
		if n := losses[reason]; n < o.floorLosses[reason] || n > o.losses[reason] {
			return fmt.Errorf("%s is %d, not within %d and %d", reason, n, o.floorLosses[reason], o.losses[reason])
		}
	}
	allowed := o.now.Corrupt + o.extra
	for _, of := range o.offered {
		switch {
		case of.rotten, of.entries > 1, how.power && !of.durable:
			allowed += of.Items * int64(1+how.syncs)
		case how.power && !of.buried:
			allowed += of.Items * int64(how.syncs)
		}
	}
	if how.power {
		allowed += o.unreplayed(how)
	}
	if how.syncs > 0 {
		allowed += o.now.Delivered + o.now.Expired + o.now.Dead - o.floor.delivered - o.floor.expired - o.floor.dead
	}
	if !how.power && how.cuts > 0 {
		allowed += refused
		if how.syncs > 0 {
			allowed += o.now.Points
		}
	}
	if corrupted > allowed {
		return fmt.Errorf("%d points are corrupt, at most %d can be", corrupted, allowed)
	}
	return nil
}

// forget drops what Sync promised: without good fsyncs a power cut voids it.
func (o *oracle) forget() {
	o.floor, o.floorLosses = tally{}, map[string]int64{}
	for _, of := range o.offered {
		of.buried = false
	}
}

// rebase takes what was found for what waits.
func (o *oracle) rebase(found, drained map[ID]int, how crash, next uint64) {
	for id, of := range o.waiting {
		if found[id] == 0 {
			of.entries, of.before = 0, next
			delete(o.waiting, id)
		}
	}
	o.doubtful = !how.power && (o.doubtful || how.lost)
	for _, of := range o.offered {
		of.doubtful = !how.power && (of.doubtful || how.lost && !of.durable)
	}
	for id, n := range found {
		of := o.offered[id]
		of.entries, of.rotten = n, drained[id] < n
		// What is there after a power cut is on the device.
		of.durable = of.durable || how.power && !of.rotten
		o.waiting[id] = of
	}
	o.torn += o.refused
	o.refused = 0
	o.shaken = o.shaken || how.syncs > o.syncs
	if how.power {
		o.torn, o.shaken, o.syncs = 0, false, how.syncs
	}
}

// usable has a drained spool take and return one more record.
func usable(s *Spool) error {
	extra := rec(1<<40, 100)
	if err := s.Append(extra); err != nil {
		return fmt.Errorf("after a crash: %w", err)
	}
	got, err := s.Oldest(0, nil)
	if err != nil {
		return fmt.Errorf("after a crash: %w", err)
	}
	return errors.Join(sameRecord(got, extra), balance(s.Stats()), s.close())
}
