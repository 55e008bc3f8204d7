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
	err := d.s.Append(Record(e))
	d.books.appended(simName{e.Epoch, e.Seq}, err)
	d.books.observe(d.s, "append", simName{e.Epoch, e.Seq})
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
	return ship.Entry(r), err == nil
}

// Ack forgets a batch.
func (d simSpool) Ack(epoch, seq uint64) bool {
	d.enter()
	if d.disk.dead {
		return false
	}
	there := d.s.Ack(epoch, seq)
	d.books.forgotten(simName{epoch, seq}, there)
	d.books.observe(d.s, "ack", simName{epoch, seq})
	return there
}

// SetAside makes a batch a dead letter.
func (d simSpool) SetAside(epoch, seq uint64, reason string) error {
	d.enter()
	d.wait()
	if d.disk.dead {
		return errCrashed
	}
	err := d.s.SetAside(epoch, seq, reason)
	d.books.observe(d.s, "set aside", simName{epoch, seq})
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
	if b.Part == "" {
		c.books.made(b)
	}
	return c.Native.Append(dst, b)
}
