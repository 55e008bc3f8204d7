package encode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// Decode reads one native body back into a batch. It accepts what Append
// writes, in any order and spacing of JSON, ignores unknown fields, and
// refuses a body whose shape a server could misread: another schema, an id
// that is not the epoch and seq, columns that are not as long as times.
// Floats that were whole come back as integers, which encode the same.
func (Native) Decode(body []byte) (*metric.Batch, error) {
	var w wireBatch
	if err := json.Unmarshal(body, &w); err != nil {
		return nil, fmt.Errorf("decode batch: %w", err)
	}
	b, err := w.batch()
	if err != nil {
		return nil, fmt.Errorf("decode batch: %w", err)
	}
	return b, nil
}

// The wire types mirror docs/wire.md.
type (
	wireBatch struct {
		Schema     string       `json:"schema"`
		BatchID    string       `json:"batch_id"`
		Agent      wireAgent    `json:"agent"`
		Resource   wireLabels   `json:"resource"`
		StartMS    int64        `json:"start_ms"`
		IntervalMS int64        `json:"interval_ms"`
		Times      []int64      `json:"times"`
		Series     []wireSeries `json:"series"`
		Loss       wireLoss     `json:"loss"`
	}
	wireAgent struct {
		ID      string `json:"id"`
		Version string `json:"version"`
		Epoch   string `json:"epoch"`
		Seq     uint64 `json:"seq"`
	}
	wireSeries struct {
		Name    string      `json:"name"`
		Unit    string      `json:"unit"`
		Kind    string      `json:"kind"`
		Labels  wireLabels  `json:"labels"`
		StartMS int64       `json:"start_ms"`
		Values  []wireValue `json:"values"`
	}
	wireLabels []metric.Label
	wireLoss   []metric.Loss
	wireValue  struct{ metric.Value }
)

func (w *wireBatch) batch() (*metric.Batch, error) {
	if w.Schema != Schema {
		return nil, fmt.Errorf("schema %q is not %s", w.Schema, Schema)
	}
	epoch, ok := metric.ParseEpoch(w.Agent.Epoch)
	if !ok {
		return nil, fmt.Errorf("agent.epoch is not 16 hex digits")
	}
	part, ok := strings.CutPrefix(w.BatchID, metric.BatchID(epoch, w.Agent.Seq))
	if !ok || !validPart(part) {
		return nil, fmt.Errorf("batch_id is not the agent's epoch and seq")
	}
	b := &metric.Batch{
		Agent:      metric.Agent{ID: w.Agent.ID, Version: w.Agent.Version, Epoch: epoch, Seq: w.Agent.Seq},
		Part:       part,
		Resource:   w.Resource,
		StartMS:    w.StartMS,
		IntervalMS: w.IntervalMS,
		Times:      w.Times,
		Series:     make([]metric.Column, len(w.Series)),
		Loss:       w.Loss,
	}
	for i := range w.Series {
		column, err := w.Series[i].column(len(w.Times))
		if err != nil {
			return nil, fmt.Errorf("series %d: %w", i, err)
		}
		b.Series[i] = column
	}
	return b, nil
}

// The longest path of a part, and the hex digits of the hash of what is left out.
const (
	maxPartSteps = 40
	hashDigits   = 8
)

// validPart accepts what a batch id adds to epoch and seq: nothing, or a path of
// part numbers such as "/1/0", and nothing, or a hash such as "-1a2b3c4d".
func validPart(part string) bool {
	path, hash, leavesOut := strings.Cut(part, "-")
	if leavesOut && (len(hash) != hashDigits || strings.Trim(hash, "0123456789abcdef") != "") {
		return false
	}
	steps := strings.Split(path, "/")
	if steps[0] != "" || len(steps)-1 > maxPartSteps {
		return false
	}
	for _, step := range steps[1:] {
		if _, err := strconv.ParseUint(step, 10, 32); err != nil {
			return false
		}
	}
	return true
}

func (w *wireSeries) column(ticks int) (metric.Column, error) {
	kind, ok := metric.ParseKind(w.Kind)
	if !ok {
		return metric.Column{}, fmt.Errorf("unknown kind %q", w.Kind)
	}
	if len(w.Values) != ticks {
		return metric.Column{}, fmt.Errorf("%d values for %d times", len(w.Values), ticks)
	}
	values := make([]metric.Value, ticks)
	for i, v := range w.Values {
		values[i] = v.Value
	}
	desc := &metric.Desc{Name: w.Name, Unit: w.Unit, Kind: kind}
	return metric.Column{
		Series: &metric.Series{Desc: desc, Labels: w.Labels, StartMS: w.StartMS},
		Values: values,
	}, nil
}

// UnmarshalJSON reads an integer, a float or null; integers stay integers.
func (v *wireValue) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		v.Value = metric.Int(n)
		return nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return fmt.Errorf("value %.20q is not a number", raw)
	}
	v.Value = metric.Float(f)
	return nil
}

// UnmarshalJSON reads an object of strings, keeping its order.
func (l *wireLabels) UnmarshalJSON(raw []byte) error {
	return eachMember(raw, func(key string, d *json.Decoder) error {
		var value string
		err := d.Decode(&value)
		*l = append(*l, metric.L(key, value))
		return err
	})
}

// UnmarshalJSON reads {"reason":{"points":n},…}, keeping its order.
func (l *wireLoss) UnmarshalJSON(raw []byte) error {
	return eachMember(raw, func(reason string, d *json.Decoder) error {
		var loss struct {
			Points int64 `json:"points"`
		}
		err := d.Decode(&loss)
		*l = append(*l, metric.Loss{Reason: reason, Points: loss.Points})
		return err
	})
}

// eachMember calls value for each member of the JSON object raw, in order,
// with a decoder that stands before the member's value.
func eachMember(raw []byte, value func(key string, d *json.Decoder) error) error {
	if string(raw) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.New("not an object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if err := value(key.(string), d); err != nil {
			return err
		}
	}
	return nil
}
