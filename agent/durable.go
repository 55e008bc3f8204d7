package agent

import (
	"errors"
	"fmt"
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
	Draft(r spool.Record, n int) error
	Discard() error
	Oldest(sinceMS int64, except []spool.ID) (spool.Record, error)
	Note(id spool.ID, note []byte) bool
	Ack(id spool.ID, dead int64) bool
	SetAside(spool.Letter)
	LoseLetters(points int64)
	Refuse(points int64)
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
	owed    owed            // what to tell the spool when it answers again
}

// owed is what the spool has not heard of while the disk hung.
type owed struct {
	losses           []metric.Loss
	refused, letters int64 // points refused for good, and those whose letter was dropped
	discard          bool  // the draft has ended
}

func (o *owed) tell(s store) {
	for _, l := range o.losses {
		s.Lose(l.Reason, l.Points)
	}
	if o.refused > 0 {
		s.Refuse(o.refused)
	}
	if o.letters > 0 {
		s.LoseLetters(o.letters)
	}
	if o.discard {
		_ = s.Discard() // the spool goes on trying
	}
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
		debt, call := d.owed, f
		d.owed = owed{}
		f = func() {
			debt.tell(d.store)
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

// Draft stores a tick of the batch that is being built.
func (d *durable) Draft(e ship.Entry, n int) error {
	var err error
	if ok, _ := d.within(func() { err = d.store.Draft(toRecord(e), n) }); !ok {
		return errDiskHangs
	}
	if errors.Is(err, spool.ErrDraftLost) {
		return fmt.Errorf("%w: %w", ship.ErrDraftLost, err)
	}
	return err
}

// Discard ends what Draft began; while the disk hangs, as soon as it answers.
func (d *durable) Discard() error {
	var err error
	ok, begun := d.within(func() { err = d.store.Discard() })
	if ok {
		return err
	}
	if !begun {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.owed.discard = true
	}
	return errDiskHangs
}

// Oldest returns the oldest batch that can be read, of those that are not
// older than sinceMS and not in except.
func (d *durable) Oldest(sinceMS int64, except []ship.ID) (ship.Entry, bool) {
	var ids []spool.ID // a copy: the call may outlive this one
	for _, id := range except {
		ids = append(ids, spool.ID(id))
	}
	var r spool.Record
	var err error
	if ok, _ := d.within(func() { r, err = d.store.Oldest(sinceMS, ids) }); !ok {
		return ship.Entry{}, false
	}
	return toEntry(r), err == nil
}

func toRecord(e ship.Entry) spool.Record {
	return spool.Record{ID: spool.ID(e.ID), Items: e.Items, TimeMS: e.TimeMS, Payload: e.Payload, Note: e.Note}
}

func toEntry(r spool.Record) ship.Entry {
	return ship.Entry{ID: ship.ID(r.ID), Items: r.Items, TimeMS: r.TimeMS, Payload: r.Payload, Note: r.Note}
}

// Note replaces a batch's note. If the disk hangs, the note may be forgotten.
func (d *durable) Note(id ship.ID, note []byte) bool {
	var there bool
	ok, _ := d.within(func() { there = d.store.Note(spool.ID(id), note) })
	return ok && there
}

// Ack settles a batch. If the disk hangs, the batch is sent again later.
func (d *durable) Ack(id ship.ID, dead int64) bool {
	var there bool
	ok, _ := d.within(func() { there = d.store.Ack(spool.ID(id), dead) })
	return ok && there
}

// SetAside keeps a copy of refused points. While the disk hangs there is none,
// and the points are told to it later as those of a lost letter.
func (d *durable) SetAside(l ship.Letter) {
	letter := spool.Letter{Of: spool.ID(l.Of), Reason: l.Reason, Record: toRecord(l.Entry)}
	if _, begun := d.within(func() { d.store.SetAside(letter) }); begun {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owed.letters += l.Items
}

// Refuse counts points that were refused for good; while the disk hangs, they
// are told to it later.
func (d *durable) Refuse(points int64) {
	if _, begun := d.within(func() { d.store.Refuse(points) }); begun {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owed.refused += points
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
	d.owed.losses = append(d.owed.losses, metric.Loss{Reason: reason, Points: points})
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
