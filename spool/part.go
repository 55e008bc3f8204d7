package spool

import (
	"errors"
	"math/bits"
)

// ID names a record: a batch, or a part of one.
type ID struct {
	// Epoch and Seq name the batch.
	Epoch, Seq uint64
	// Part numbers a part of the batch like a heap: the halves of p are 2p and
	// 2p+1. 0 is the whole batch; 1, which would be the same, is another name.
	Part uint16
}

// PartFate says what became of a part of a record.
type PartFate uint8

// The fates of parts.
const (
	// PartCut: from now on it is sent as its two halves.
	PartCut PartFate = iota + 1
	// PartDelivered: the backend has it.
	PartDelivered
	// PartDead: it has a dead letter of its own, or is lost and counted.
	PartDead
)

var partFateNames = [...]string{"", "cut", "delivered", "dead"}

// String returns one word, "" for no fate.
func (f PartFate) String() string { return partFateNames[f] }

// Mark says what became of a part of a record. Parts are numbered like a heap,
// relative to the record: 1 is all of it (and so is 0), p's halves are 2p and
// 2p+1. Of n points the first half has (n+1)/2. The spool does not know which
// points these are, but how many.
type Mark struct {
	Part uint16
	Fate PartFate
}

// Piece is a part of a record with a payload of its own.
type Piece struct {
	// Part is relative to the record, as in a Mark.
	Part uint16
	// Payload is any bytes.
	Payload []byte
}

var errTooDeep = errors.New("a part of a part that no number names")

func depthOf(part uint16) int { return max(bits.Len16(part)-1, 0) }

// part names a part of what id names.
func (id ID) part(p uint16) (ID, error) {
	depth := depthOf(p)
	if depth+depthOf(id.Part) > 15 {
		return id, errTooDeep
	}
	if depth > 0 {
		id.Part = max(id.Part, 1)<<depth | p&(1<<depth-1)
	}
	return id, nil
}

// itemsOf is how many of n items a part has.
func itemsOf(part uint16, n int64) int64 {
	for depth := depthOf(part) - 1; depth >= 0; depth-- {
		n = (n + 1 - int64(part>>depth&1)) / 2
	}
	return n
}

// within says that part lies in other, or is it.
func within(part, other uint16) bool {
	d := depthOf(part) - depthOf(other)
	return d >= 0 && part>>d == other
}

// ofPart is what the fate in an entry of a sidecar says of a part.
func (f fate) ofPart() PartFate {
	switch f {
	case partCut:
		return PartCut
	case partDelivered:
		return PartDelivered
	case partDead:
		return PartDead
	default:
		return 0
	}
}

// fate is what an entry of a sidecar says for f.
func (f PartFate) fate() fate {
	switch f {
	case PartCut:
		return partCut
	case PartDelivered:
		return partDelivered
	case PartDead:
		return partDead
	}
	return pending
}
