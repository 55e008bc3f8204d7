package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Schema is the one schema that Decode accepts.
const Schema = "heka.batch/1"

// Batch is a decoded and validated batch. Its series are those that are in
// order; the others are listed in Rejected.
type Batch struct {
	// ID is 16 hex digits of Agent.Epoch, 16 of Agent.Seq, and Part.
	ID string
	// Part is what ID adds to epoch and seq: a path such as "/0" or "/1/0" for
	// a piece of a batch that the agent had to cut, then a hash such as
	// "-1a2b3c4d" if refused series are left out. It is empty for a whole batch
	// that holds all its series.
	Part  string
	Agent Agent
	// Resource describes the host: "host.name", "os.type", …
	Resource Attributes
	// StartMS is the host's boot in Unix ms; 0 when unknown.
	StartMS int64
	// IntervalMS is the time between two ticks, above 0.
	IntervalMS int64
	// Times holds Unix ms, strictly increasing. It is empty in a probe.
	Times  []int64
	Series []Series
	// Loss is cumulative by reason over the agent's life on its host.
	Loss map[string]Loss
	// Rejected lists the series that were left out, by index in the body.
	Rejected []Rejected
}

// Agent identifies the process that made a batch.
type Agent struct {
	ID      string
	Version string
	// Epoch is random per process start.
	Epoch uint64
	// Seq counts batches from 1 within an epoch, without holes.
	Seq uint64
}

// Series is one column of a batch.
type Series struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	// Kind is "gauge", "counter" or "updown".
	Kind   string     `json:"kind"`
	Labels Attributes `json:"labels"`
	// StartMS is when a counter with a start of its own began; 0 means the
	// host's boot.
	StartMS int64 `json:"start_ms"`
	// Values has as many elements as the batch has times.
	Values Column `json:"values"`
}

// Attributes are named texts: labels, or what describes a host.
type Attributes map[string]string

// UnmarshalJSON refuses null for a text, which the json package takes for "",
// and an object that is too long to be one, before it becomes a map.
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

// Loss counts the points that an agent gave up for one reason.
type Loss struct {
	Points int64 `json:"points"`
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

// IsProbe reports whether the batch holds no ticks: an agent that only asks
// whether it would be let in. It is answered as a batch would be, and not stored.
func (b *Batch) IsProbe() bool { return len(b.Times) == 0 }

// Covers reports whether the Part p of a batch is known to hold everything in
// its Part q: p is q, or p is a path without a hash and q was cut out of it or
// leaves series out of it. What a hash stands for is not known, so a p with one
// covers only itself.
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

// batchID writes the id as the schema wants it, in lower-case hex.
func batchID(a Agent, part string) string {
	return hex16(a.Epoch) + hex16(a.Seq) + part
}

// FormatEpoch returns an epoch as its 16 hex digits.
func FormatEpoch(epoch uint64) string { return hex16(epoch) }

func hex16(v uint64) string {
	digits := strconv.FormatUint(v, 16)
	return strings.Repeat("0", 16-len(digits)) + digits
}
