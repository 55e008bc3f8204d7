package agent

import (
	"errors"
	"sync"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// diskPatience is how long the shipper waits for the disk. After that the disk
// counts as unusable until it has answered.
const diskPatience = 5 * time.Second

var errDiskHangs = errors.New("the disk does not answer")

// store is what durable needs of *spool.Spool.
type store interface {
	Append(spool.Record) error
	Oldest() (spool.Record, error)
	Ack(id spool.ID) bool
	Mark(id spool.ID, m spool.Mark) bool
	SetAside(id spool.ID, reason string) error
	SetAsidePart(id spool.ID, p spool.Piece, reason string) error
	MakeRoom() error
	Lose(reason string, points int64)
	Losses() []spool.Loss
	Stats() spool.Stats
}

// durable is the spool as the shipper sees it, its queue and its ledger, with
// patience: a write that never returns costs deliveries diskPatience, once. It
// is safe for concurrent use.
type durable struct {
	store store
	late  <-chan struct{} // closed when nobody waits for the disk any more; nil: never

	mu      sync.Mutex
	hanging <-chan struct{} // closed when the call that hangs returns; guarded by mu, like all below
	pending int64           // as last seen
	losses  []metric.Loss   // as last seen
	owed    []metric.Loss   // losses to tell the spool when it answers again
}

func newDurable(s store) *durable { return &durable{store: s} }

// within calls f and reports whether it returned in time. If it did not, f goes
// on, and what it assigns must not be read; with begun false it was not called.
func (d *durable) within(f func()) (returned, begun bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hanging != nil {
		select {
		case <-d.hanging:
			d.hanging = nil
		default:
			return false, false
		}
		owed := d.owed
		d.owed = nil
		call := f
		f = func() {
			for _, l := range owed {
				d.store.Lose(l.Reason, l.Points)
			}
			call()
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	patience := time.NewTimer(diskPatience)
	defer patience.Stop()
	select {
	case <-done:
		return true, true
	case <-patience.C:
	case <-d.late:
	}
	d.hanging = done
	return false, true
}

// Append stores a batch.
func (d *durable) Append(e ship.Entry) error {
	var err error
	if ok, _ := d.within(func() { err = d.store.Append(toRecord(e)) }); !ok {
		return errDiskHangs
	}
	return err
}

// Oldest returns the oldest batch that can be read.
func (d *durable) Oldest() (ship.Entry, bool) {
	var r spool.Record
	var err error
	if ok, _ := d.within(func() { r, err = d.store.Oldest() }); !ok {
		return ship.Entry{}, false
	}
	return toEntry(r), err == nil
}

func toRecord(e ship.Entry) spool.Record {
	r := spool.Record{ID: spool.ID(e.ID), Items: e.Items, TimeMS: e.TimeMS, Payload: e.Payload}
	for _, m := range e.Marks {
		r.Marks = append(r.Marks, toMark(m))
	}
	return r
}

func toEntry(r spool.Record) ship.Entry {
	e := ship.Entry{ID: ship.ID(r.ID), Items: r.Items, TimeMS: r.TimeMS, Payload: r.Payload}
	for _, m := range r.Marks {
		e.Marks = append(e.Marks, ship.Mark{Part: m.Part, Fate: ship.PartFate(m.Fate)})
	}
	return e
}

// toMark relies on the fates having the same numbers, which a test holds.
func toMark(m ship.Mark) spool.Mark { return spool.Mark{Part: m.Part, Fate: spool.PartFate(m.Fate)} }

// Ack forgets a batch. If the disk hangs, the batch is sent again later.
func (d *durable) Ack(id ship.ID) bool {
	var there bool
	ok, _ := d.within(func() { there = d.store.Ack(spool.ID(id)) })
	return ok && there
}

// Mark remembers what became of a part. If the disk hangs, the part is sent
// again later.
func (d *durable) Mark(id ship.ID, m ship.Mark) bool {
	var there bool
	ok, _ := d.within(func() { there = d.store.Mark(spool.ID(id), toMark(m)) })
	return ok && there
}

// SetAside makes a batch a dead letter.
func (d *durable) SetAside(id ship.ID, reason string) error {
	var err error
	if ok, _ := d.within(func() { err = d.store.SetAside(spool.ID(id), reason) }); !ok {
		return errDiskHangs
	}
	return err
}

// SetAsidePart makes a dead letter of a part of a batch.
func (d *durable) SetAsidePart(id ship.ID, p ship.Piece, reason string) error {
	var err error
	if ok, _ := d.within(func() { err = d.store.SetAsidePart(spool.ID(id), spool.Piece(p), reason) }); !ok {
		return errDiskHangs
	}
	return err
}

// MakeRoom makes room for Append if it can.
func (d *durable) MakeRoom() error {
	var err error
	if ok, _ := d.within(func() { err = d.store.MakeRoom() }); !ok {
		return errDiskHangs
	}
	return err
}

// Pending counts batches; while the disk hangs, as of before.
func (d *durable) Pending() int64 {
	var n int64
	ok, _ := d.within(func() { n = d.store.Stats().Records })
	d.mu.Lock()
	defer d.mu.Unlock()
	if ok {
		d.pending = n
	}
	return d.pending
}

// Lose counts lost points; while the disk hangs, they are told to it later.
func (d *durable) Lose(reason string, points int64) {
	if _, begun := d.within(func() { d.store.Lose(reason, points) }); begun {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owed = append(d.owed, metric.Loss{Reason: reason, Points: points})
}

// Losses returns all counts; while the disk hangs, as of before.
func (d *durable) Losses() []metric.Loss {
	var found []metric.Loss
	ok, _ := d.within(func() {
		for _, l := range d.store.Losses() {
			found = append(found, metric.Loss(l))
		}
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if ok {
		d.losses = found
	}
	return d.losses
}
