package metric

import (
	"encoding/hex"
	"strconv"
)

// Agent identifies the process that made a batch.
type Agent struct {
	// ID is stable per host: HEKA_AGENT_ID, or derived from the machine id.
	ID string
	// Version is the agent's version.
	Version string
	// Epoch is random per process start.
	Epoch uint64
	// Seq counts batches from 1 within an epoch, without holes.
	Seq uint64
}

// Batch is a run of ticks in columnar form: names and labels once, and one
// value a tick for each series. It is what the schema heka.batch/1 describes
// (docs/wire.md).
type Batch struct {
	Agent Agent
	// Part is empty for a whole batch, and "/0", "/1", … for the parts of one
	// that had to be cut. It ends the batch id.
	Part string
	// Resource describes the host, the same for every series.
	Resource []Label
	// StartMS is the host's boot in Unix ms: where counters start that have no
	// start of their own.
	StartMS int64
	// IntervalMS is the time between two ticks.
	IntervalMS int64
	// Times holds one wall-clock time a tick, Unix ms, strictly increasing.
	Times []int64
	// Series holds the columns.
	Series []Column
	// Loss is cumulative by reason over the agent's life on its host.
	Loss []Loss
}

// Column is one series of a batch. Values has as many elements as the batch
// has times; null where a tick has none.
type Column struct {
	*Series
	Values []Value
}

// Loss counts the points that were given up for one reason.
type Loss struct {
	Reason string
	Points int64
}

// Points returns how many values the batch holds, nulls left out.
func (b *Batch) Points() int64 {
	var n int64
	for i := range b.Series {
		for _, v := range b.Series[i].Values {
			if !v.IsNull() {
				n++
			}
		}
	}
	return n
}

// ID returns the batch id: 16 hex digits of the epoch, 16 of seq, and the part.
func (b *Batch) ID() string { return BatchID(b.Agent.Epoch, b.Agent.Seq) + b.Part }

// BatchID returns the id of the whole batch seq of epoch.
func BatchID(epoch, seq uint64) string {
	return string(appendHex64(appendHex64(make([]byte, 0, 32), epoch), seq))
}

// EpochString returns an epoch as its 16 hex digits.
func EpochString(epoch uint64) string {
	return string(appendHex64(make([]byte, 0, 16), epoch))
}

// ParseEpoch is the inverse of EpochString; it accepts exactly 16 hex digits.
func ParseEpoch(s string) (epoch uint64, ok bool) {
	if len(s) != 16 {
		return 0, false
	}
	epoch, err := strconv.ParseUint(s, 16, 64)
	return epoch, err == nil
}

func appendHex64(dst []byte, v uint64) []byte {
	var raw [8]byte
	for i := range raw {
		raw[i] = byte(v >> (56 - 8*i))
	}
	return hex.AppendEncode(dst, raw[:])
}
