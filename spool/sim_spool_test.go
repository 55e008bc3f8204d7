package spool

import (
	"errors"
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
	err := d.s.Append(Record{ID: ID(e.ID), Items: e.Items, TimeMS: e.TimeMS, Payload: e.Payload, Note: e.Note})
	d.books.appended(e, err)
	op := opAppend
	if err != nil {
		op = "refuse"
	}
	d.books.observe(d.s, op, nameOf(e.ID))
	return err
}

// Oldest returns the oldest batch that can be read, of those that are not left out.
func (d simSpool) Oldest(sinceMS int64, except []ship.ID) (ship.Entry, bool) {
	d.enter()
	if d.disk.dead {
		return ship.Entry{}, false
	}
	ids := make([]ID, len(except))
	for i, id := range except {
		ids[i] = ID(id)
	}
	r, err := d.s.Oldest(sinceMS, ids)
	d.books.observe(d.s, "oldest", simName{})
	return ship.Entry{ID: ship.ID(r.ID), Items: r.Items, TimeMS: r.TimeMS, Payload: r.Payload, Note: r.Note}, err == nil
}

// Note replaces what the shipper has to know of a batch.
func (d simSpool) Note(id ship.ID, note []byte) bool {
	d.enter()
	if d.disk.dead {
		return false
	}
	there := d.s.Note(ID(id), note)
	d.books.noted(nameOf(id), note, there)
	return there
}

// Ack settles a batch.
func (d simSpool) Ack(id ship.ID, dead int64) bool {
	d.enter()
	if d.disk.dead {
		return false
	}
	there := d.s.Ack(ID(id), dead)
	d.books.acknowledged(nameOf(id), dead, there)
	d.books.observe(d.s, opAck, nameOf(id))
	return there
}

// Refuse counts points that never were in the spool.
func (d simSpool) Refuse(points int64) {
	d.enter()
	if d.disk.dead {
		return
	}
	d.s.Refuse(points)
	d.books.refused(points)
	d.books.observe(d.s, "refuse", simName{})
}

// SetAside keeps a copy of dead points.
func (d simSpool) SetAside(l ship.Letter) {
	d.enter()
	d.books.setAside(l)
	if !d.disk.dead {
		d.s.SetAside(Letter{Of: ID(l.Of), Reason: l.Reason, Record: Record{ID: ID(l.ID), Items: l.Items, TimeMS: l.TimeMS, Payload: l.Payload}})
	}
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

// Decode cannot read what another version is to have written.
func (c simCodec) Decode(body []byte) (*metric.Batch, error) {
	b, err := c.Native.Decode(body)
	if err == nil && c.books.server.isUnreadable(simName{b.Agent.Epoch, b.Agent.Seq}, simPoints(b)[0].value) {
		return nil, errors.New("of another version")
	}
	return b, err
}
