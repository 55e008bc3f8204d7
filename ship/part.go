package ship

import (
	"math/bits"
	"slices"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// ID names a batch, or a part of one. It is the same for every attempt, also
// of a later process.
type ID struct {
	// Epoch and Seq identify the batch.
	Epoch, Seq uint64
	// Part numbers a part of the batch like a heap: the halves of p are 2p and
	// 2p+1. 0 and 1 are the whole of it.
	Part uint16
}

// String returns the batch_id of the wire format.
func (id ID) String() string { return metric.BatchID(id.Epoch, id.Seq) + metric.PartPath(id.Part) }

// part returns the name of a part of what id names.
func (id ID) part(p uint16) ID {
	if p > wholePart {
		depth := depthOf(p)
		id.Part = max(id.Part, wholePart)<<depth | p&(1<<depth-1)
	}
	return id
}

// PartFate says what became of a part of an entry.
type PartFate uint8

// The fates of parts.
const (
	// PartCut: from now on it is delivered as its two halves.
	PartCut PartFate = iota + 1
	// PartDelivered: the backend has it.
	PartDelivered
	// PartDead: it is a dead letter, or lost and counted.
	PartDead
)

// Mark says what became of a part of an entry; Part is relative to the entry.
type Mark struct {
	Part uint16
	Fate PartFate
}

// Piece is a part of an entry with its body.
type Piece struct {
	// Part is relative to the entry.
	Part uint16
	// Payload is the part's native body, compressed or not.
	Payload []byte
}

const (
	wholePart = 1
	// maxCuts is how often a batch can be halved: a part's number has 16 bits.
	maxCuts = 15
)

func depthOf(part uint16) int { return max(bits.Len16(part)-1, 0) }

// rangeOf returns which of n points, numbered from 0, a part holds: the first
// half of an odd number is the larger one.
func rangeOf(part uint16, n int64) (from, to int64) {
	to = n
	for depth := depthOf(part) - 1; depth >= 0; depth-- {
		if middle := from + (to-from+1)/2; part>>depth&1 == 0 {
			to = middle
		} else {
			from = middle
		}
	}
	return from, to
}

// itemsOf is how many of n points a part holds.
func itemsOf(part uint16, n int64) int64 {
	from, to := rangeOf(part, n)
	return to - from
}

// carve returns the part of a batch, whose points are numbered tick by tick,
// in order of series within each: a tick that is too old and a series that is
// malformed are both found in a few steps. It shares memory with b. The result
// depends on nothing but the batch and the part.
func carve(b *metric.Batch, part uint16) *metric.Batch {
	from, to := rangeOf(part, b.Points())
	out := *b
	out.Part += metric.PartPath(part)
	out.Times = nil
	columns := make([]metric.Column, len(b.Series))
	for i := range columns {
		columns[i].Series = b.Series[i].Series
	}
	var n int64
	for tick := range b.Times {
		before := n
		for i := range b.Series {
			v := b.Series[i].Values[tick]
			if !v.IsNull() {
				if n++; n <= from || n > to {
					v = metric.Value{}
				}
			}
			columns[i].Values = append(columns[i].Values, v)
		}
		if n <= from || before >= to { // nothing of the tick is in the part
			for i := range columns {
				columns[i].Values = columns[i].Values[:len(out.Times)]
			}
			continue
		}
		out.Times = append(out.Times, b.Times[tick])
	}
	return withoutEmpty(&out, columns)
}

// choose returns some points of a batch: those of the series with these indexes,
// and those in these places; what is none is passed over. It shares memory with b.
func choose(b *metric.Batch, series []int, places []metric.Place) *metric.Batch {
	out := *b
	columns := make([]metric.Column, len(b.Series))
	for i := range columns {
		columns[i] = metric.Column{Series: b.Series[i].Series, Values: make([]metric.Value, len(b.Times))}
		if slices.Contains(series, i) {
			columns[i] = b.Series[i]
		}
	}
	for _, at := range places {
		if at.Series >= 0 && at.Series < len(columns) && at.Time >= 0 && at.Time < len(b.Times) {
			columns[at.Series].Values[at.Time] = b.Series[at.Series].Values[at.Time]
		}
	}
	return withoutEmpty(&out, columns)
}

// withoutEmpty gives b those columns that have a value.
func withoutEmpty(b *metric.Batch, columns []metric.Column) *metric.Batch {
	b.Series = slices.DeleteFunc(columns, func(c metric.Column) bool {
		return !slices.ContainsFunc(c.Values, func(v metric.Value) bool { return !v.IsNull() })
	})
	return b
}
