package metric

import (
	"encoding/hex"
	"strconv"
)

// Agent identifies the process that made a batch.
type Agent struct {
	// ID is stable for an agent on a host: HEKA_AGENT_ID, or derived from the
	// machine id.
	ID string
	// Version is the agent's version.
	Version string
	// Epoch is random for each start of the process.
	Epoch uint64
	// Seq counts the batches of an epoch from 1, without gaps.
	Seq uint64
}

// Batch is a run of ticks in columnar form: names and labels once, and for each
// series one value per tick. docs/wire.md describes it as the schema
// heka.batch/1.
type Batch struct {
	Agent Agent
	// Part is empty for a whole batch, and a path such as "/0" or "/1" for a
	// part of a batch that had to be cut. It is the end of the batch id.
	Part string
	// Resource describes the host. It is the same for every series.
	Resource []Label
	// StartMS is the time of the host's boot in Unix ms. Counters without a
	// start of their own start there.
	StartMS int64
	// IntervalMS is the time between two ticks.
	IntervalMS int64
	// Times holds the wall-clock time of each tick in Unix ms, strictly
	// increasing.
	Times []int64
	// Series holds the columns.
	Series []Column
	// Loss holds the points lost over the agent's life on its host, by reason.
	Loss []Loss
}

// Column is one series of a batch. Values has one element for each of the
// batch's times: the null [Value] if the series has no value in that tick.
type Column struct {
	*Series
	Values []Value
}

// Loss counts the points that were lost for one reason.
type Loss struct {
	Reason string
	Points int64
}

// Points returns how many values the batch holds, not counting nulls.
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

// ID returns the batch id: 16 hex digits of the epoch, 16 of seq, and Part.
func (b *Batch) ID() string { return BatchID(b.Agent.Epoch, b.Agent.Seq) + b.Part }

// BatchID returns the id of the whole batch with the given epoch and seq.
func BatchID(epoch, seq uint64) string {
	return string(appendHex64(appendHex64(make([]byte, 0, 32), epoch), seq))
}

// EpochString returns the 16 hex digits of an epoch. [ParseEpoch] is its
// inverse.
func EpochString(epoch uint64) string {
	return string(appendHex64(make([]byte, 0, 16), epoch))
}

// ParseEpoch is the inverse of [EpochString]. It accepts exactly 16 hex digits.
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
