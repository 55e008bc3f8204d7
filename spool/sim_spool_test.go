package spool

import (
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// simSpool is a spool as the shipper sees it, its queue and its ledger. The
// books look at it after each call, until the process is dead: then nothing
// has any effect.
type simSpool struct {
	s     *Spool
	disk  *simDisk
	books *books
}

func nameOf(id ship.ID) simName { return simName{id.Epoch, id.Seq} }

// enter waits for nobody.
func (d simSpool) enter() { d.books.meet() }

// wait takes the time that a slow disk takes.
func (d simSpool) wait() {
	if !d.disk.hit(diskSlow) {
		return
	}
	d.disk.busy, d.disk.slowed = true, time.Now()
	delay := time.Duration(d.disk.rng.Int64N(int64(grace)))
	d.enter()
	time.Sleep(delay)
	d.enter()
	d.disk.busy, d.disk.slowed = false, time.Now()
}

// Append stores a batch.
func (d simSpool) Append(e ship.Entry) error {
	d.enter()
	d.wait()
	if d.disk.dead {
		return errCrashed
	}
	r := Record{ID: ID(e.ID), Items: e.Items, TimeMS: e.TimeMS, Payload: e.Payload}
	for _, m := range e.Marks {
		r.Marks = append(r.Marks, Mark{m.Part, PartFate(m.Fate)})
	}
	err := d.s.Append(r)
	d.books.appended(nameOf(e.ID), r.Marks, err)
	op := opAppend
	if err != nil {
		op = "refuse"
	}
	d.books.observe(d.s, op, nameOf(e.ID))
	return err
}

// Oldest returns the oldest batch that can be read.
func (d simSpool) Oldest() (ship.Entry, bool) {
	d.enter()
	if d.disk.dead {
		return ship.Entry{}, false
	}
	r, err := d.s.Oldest()
	d.books.observe(d.s, "oldest", simName{})
	e := ship.Entry{ID: ship.ID(r.ID), Items: r.Items, TimeMS: r.TimeMS, Payload: r.Payload}
	for _, m := range r.Marks {
		e.Marks = append(e.Marks, ship.Mark{Part: m.Part, Fate: ship.PartFate(m.Fate)})
	}
	return e, err == nil
}

// Ack forgets a batch.
func (d simSpool) Ack(id ship.ID) bool {
	d.enter()
	if d.disk.dead {
		return false
	}
	there := d.s.Ack(ID(id))
	d.books.forgotten(nameOf(id), there)
	d.books.observe(d.s, opAck, nameOf(id))
	return there
}

// Mark remembers what became of a part.
func (d simSpool) Mark(id ship.ID, m ship.Mark) bool {
	d.enter()
	if d.disk.dead {
		return false
	}
	there := d.s.Mark(ID(id), Mark{m.Part, PartFate(m.Fate)})
	if !there {
		d.books.forgotten(nameOf(id), false)
	}
	d.books.observe(d.s, opAck, nameOf(id))
	return there
}

// SetAside makes a batch a dead letter.
func (d simSpool) SetAside(id ship.ID, reason string) error {
	return d.bury(id, id, func() error { return d.s.SetAside(ID(id), reason) })
}

// SetAsidePart makes a dead letter of a part of a batch.
func (d simSpool) SetAsidePart(id ship.ID, p ship.Piece, reason string) error {
	part, _ := ID(id).part(p.Part)
	return d.bury(id, ship.ID(part), func() error { return d.s.SetAsidePart(ID(id), Piece(p), reason) })
}

func (d simSpool) bury(id, part ship.ID, f func() error) error {
	d.enter()
	d.wait()
	if d.disk.dead {
		return errCrashed
	}
	d.books.bury(part)
	err := f()
	d.books.observe(d.s, opBury, nameOf(id))
	return err
}

// MakeRoom makes room for Append if it can.
func (d simSpool) MakeRoom() error {
	d.enter()
	if d.disk.dead {
		return errCrashed
	}
	err := d.s.MakeRoom()
	d.books.observe(d.s, "make room", simName{})
	return err
}

// Pending counts batches.
func (d simSpool) Pending() int64 { return d.s.Stats().Records }

// Lose counts lost points.
func (d simSpool) Lose(reason string, points int64) {
	d.enter()
	if d.disk.dead {
		return
	}
	d.s.Lose(reason, points)
	d.books.told(reason, points)
}

// Losses returns all counts.
func (d simSpool) Losses() (all []metric.Loss) {
	for _, l := range d.s.Losses() {
		all = append(all, metric.Loss(l))
	}
	return all
}

// simCodec tells the books of each batch that is made.
type simCodec struct {
	encode.Native
	books *books
}

// Append encodes a batch.
func (c simCodec) Append(dst []byte, b *metric.Batch) []byte {
	c.books.encoded(b)
	return c.Native.Append(dst, b)
}
