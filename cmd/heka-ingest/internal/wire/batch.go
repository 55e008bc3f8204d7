package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Schema is the only schema that [Decode] accepts.
const Schema = "heka.batch/1"

// Batch is a decoded and validated batch. Series holds the valid series;
// Rejected lists the others.
type Batch struct {
	// ID is 16 hex digits of Agent.Epoch, 16 of Agent.Seq, and Part.
	ID string
	// Part is the suffix of ID after epoch and seq: a path such as "/0" or
	// "/1/0" for a part of a batch that the agent had to cut, followed by a
	// hash such as "-1a2b3c4d" if refused series are left out. It is empty for
	// a whole batch with all its series.
	Part  string
	Agent Agent
	// Resource describes the host: "host.name", "os.type", …
	Resource Attributes
	// StartMS is the time of the host's boot in Unix ms; 0 if unknown.
	StartMS int64
	// IntervalMS is the time between two ticks. It is positive.
	IntervalMS int64
	// Times holds Unix ms, strictly increasing. It is empty in a probe.
	Times  []int64
	Series []Series
	// Loss holds the points lost over the agent's life on its host, by reason.
	Loss map[string]Loss
	// Rejected lists the invalid series by their index in the body.
	Rejected []Rejected
}

// Agent identifies the process that made a batch.
type Agent struct {
	ID      string
	Version string
	// Epoch is random for each start of the process.
	Epoch uint64
	// Seq counts the batches of an epoch from 1, without gaps.
	Seq uint64
}

// Series is one column of a batch.
type Series struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	// Kind is "gauge", "counter" or "updown".
	Kind   string     `json:"kind"`
	Labels Attributes `json:"labels"`
	// StartMS is the start of a counter with a start of its own; 0 means the
	// host's boot.
	StartMS int64 `json:"start_ms"`
	// Values has one element for each of the batch's times.
	Values Column `json:"values"`
}

// Attributes maps keys to texts. It holds labels, or describes a host.
type Attributes map[string]string

// UnmarshalJSON refuses a null text, which encoding/json would take for "". It
// refuses an object that is too long before a map is built from it.
func (a *Attributes) UnmarshalJSON(text []byte) error {
	if len(text) > maxAttributesBytes {
		return fmt.Errorf("longer than %d bytes", maxAttributesBytes)
	}
	var pairs map[string]*string
	if err := json.Unmarshal(text, &pairs); err != nil {
		return syntax("", err)
	}
	*a = make(Attributes, len(pairs))
	for key, value := range pairs {
		if value == nil {
			return fmt.Errorf("%.64s: want a string, got null", key)
		}
		(*a)[key] = *value
	}
	return nil
}

// Loss counts the points that an agent lost for one reason.
type Loss struct {
	Points int64 `json:"points"`
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

// IsProbe reports whether the batch has no ticks. An agent sends such a batch
// to ask whether its batches would be accepted. It is answered like any batch
// and not stored.
func (b *Batch) IsProbe() bool { return len(b.Times) == 0 }

// Covers reports whether Part p of a batch is known to hold everything in its
// Part q. That is so if p equals q, or if p is a path without a hash, and q was
// cut out of it or leaves series out of it. The meaning of a hash is unknown,
// so a p with a hash covers only itself.
func Covers(p, q string) bool {
	rest, ok := strings.CutPrefix(q, p)
	switch {
	case !ok:
		return false
	case rest == "":
		return true
	default:
		return !strings.Contains(p, "-") && (rest[0] == '/' || rest[0] == '-')
	}
}

// batchID formats the id as the schema requires, in lower-case hex.
func batchID(a Agent, part string) string {
	return hex16(a.Epoch) + hex16(a.Seq) + part
}

// FormatEpoch returns the 16 hex digits of an epoch.
func FormatEpoch(epoch uint64) string { return hex16(epoch) }

func hex16(v uint64) string {
	digits := strconv.FormatUint(v, 16)
	return strings.Repeat("0", 16-len(digits)) + digits
}
