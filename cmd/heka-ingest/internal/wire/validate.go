package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// The limits of texts: the bytes of a name or label key, the bytes of any other
// value, and the number of labels or attributes.
const (
	maxNameBytes       = 255
	maxValueBytes      = 4096
	maxLabels          = 64
	maxAttributes      = 256
	maxAttributesBytes = 256 << 10
)

// maxTimeMS is the end of the year 9999, and maxIntervalMS is a week. Larger
// values are mistakes. Computing with values in these ranges cannot overflow.
const (
	maxTimeMS     = 253_402_300_799_999
	maxIntervalMS = 7 * 24 * 3600 * 1000
)

// partForm matches a path of up to 40 steps and the hash of what is left out.
var partForm = regexp.MustCompile(`^(/[0-9]{1,6}){0,40}(-[0-9a-f]{8})?$`)

func (doc *document) validate() (*Batch, error) {
	b := &Batch{
		ID: doc.BatchID, Resource: doc.Resource, Loss: doc.Loss,
		StartMS: doc.StartMS, IntervalMS: doc.IntervalMS, Times: doc.Times,
	}
	for _, check := range []func(*Batch) error{
		doc.checkSchema, doc.checkIdentity, doc.checkResource, doc.checkTimes, doc.checkLoss,
	} {
		if err := check(b); err != nil {
			return nil, err
		}
	}
	doc.sortSeries(b)
	return b, nil
}

func (doc *document) checkSchema(*Batch) error {
	for _, key := range []string{"schema", "batch_id", "agent", "interval_ms", "times", "series"} {
		if !doc.seen[key] {
			return fmt.Errorf("%s: missing", key)
		}
	}
	if doc.Schema != Schema {
		return fmt.Errorf("schema: want %q, got %.64q", Schema, doc.Schema)
	}
	return nil
}

func (doc *document) checkIdentity(b *Batch) error {
	a := doc.Agent
	switch {
	case a.ID == "" || len(a.ID) > maxNameBytes:
		return fmt.Errorf("agent.id: want 1 to %d bytes", maxNameBytes)
	case len(a.Version) > maxNameBytes:
		return fmt.Errorf("agent.version: longer than %d bytes", maxNameBytes)
	case a.Seq < 1 || a.Seq > 1<<62:
		return errors.New("agent.seq: want a number from 1")
	}
	epoch, err := strconv.ParseUint(a.Epoch, 16, 64)
	if err != nil || FormatEpoch(epoch) != a.Epoch {
		return errors.New("agent.epoch: want 16 lower-case hex digits")
	}
	b.Agent = Agent{ID: a.ID, Version: a.Version, Epoch: epoch, Seq: a.Seq}
	whole := batchID(b.Agent, "")
	part, ok := strings.CutPrefix(doc.BatchID, whole)
	if !ok || !partForm.MatchString(part) {
		return fmt.Errorf("batch_id: want %s (agent.epoch, agent.seq in hex), with /N for a part, -HASH where series are left out", whole)
	}
	b.Part = part
	return nil
}

func (doc *document) checkResource(*Batch) error {
	if len(doc.Resource) > maxAttributes {
		return fmt.Errorf("resource: more than %d attributes", maxAttributes)
	}
	if err := checkText(doc.Resource); err != nil {
		return fmt.Errorf("resource: %w", err)
	}
	return nil
}

func (doc *document) checkTimes(b *Batch) error {
	switch {
	case b.IntervalMS < 1 || b.IntervalMS > maxIntervalMS:
		return fmt.Errorf("interval_ms: want 1 to %d", maxIntervalMS)
	case b.StartMS < 0 || b.StartMS > maxTimeMS:
		return errors.New("start_ms: want a time in Unix ms")
	case len(b.Times) == 0 && len(doc.Series) > 0:
		return errors.New("times: empty, but there are series")
	}
	last := int64(0)
	for i, t := range b.Times {
		switch {
		case t < 1 || t > maxTimeMS:
			return fmt.Errorf("times[%d]: want a time in Unix ms", i)
		case t <= last:
			return fmt.Errorf("times[%d]: not after times[%d]", i, i-1)
		}
		last = t
	}
	return nil
}

func (doc *document) checkLoss(b *Batch) error {
	if len(b.Loss) > maxAttributes {
		return fmt.Errorf("loss: more than %d reasons", maxAttributes)
	}
	for reason, loss := range b.Loss {
		if reason == "" || len(reason) > maxNameBytes {
			return fmt.Errorf("loss: want reasons of 1 to %d bytes", maxNameBytes)
		}
		if loss.Points < 0 {
			return fmt.Errorf("loss.%.64s.points: negative", reason)
		}
	}
	return nil
}

// sortSeries divides the series into accepted and rejected ones.
func (doc *document) sortSeries(b *Batch) {
	b.Series = make([]Series, 0, len(doc.Series))
	b.Rejected = []Rejected{}
	identities := make(map[string]int, len(doc.Series))
	for i := range doc.Series {
		s := &doc.Series[i]
		if s.err == nil {
			s.err = checkSeries(&s.Series, len(b.Times))
		}
		if s.err == nil {
			identity := s.Name + "\x00" + LabelsKey(s.Series.Labels)
			if first, twice := identities[identity]; twice {
				s.err = fmt.Errorf("same name and labels as series[%d]", first)
			} else {
				identities[identity] = i
			}
		}
		if s.err != nil {
			b.Rejected = append(b.Rejected, Rejected{Series: i, Reason: s.err.Error()})
			continue
		}
		b.Series = append(b.Series, s.Series)
	}
}

func checkSeries(s *Series, ticks int) error {
	switch {
	case s.Name == "" || len(s.Name) > maxNameBytes:
		return fmt.Errorf("name: want 1 to %d bytes", maxNameBytes)
	case len(s.Unit) > maxNameBytes:
		return fmt.Errorf("unit: longer than %d bytes", maxNameBytes)
	case s.Kind != "gauge" && s.Kind != "counter" && s.Kind != "updown":
		return fmt.Errorf("kind: want gauge, counter or updown, got %.24q", s.Kind)
	case s.StartMS < 0 || s.StartMS > maxTimeMS:
		return errors.New("start_ms: want a time in Unix ms")
	case len(s.Values) != ticks:
		return fmt.Errorf("values: %d of them for %d times", len(s.Values), ticks)
	case len(s.Labels) > maxLabels:
		return fmt.Errorf("labels: more than %d", maxLabels)
	}
	if err := checkText(s.Labels); err != nil {
		return fmt.Errorf("labels: %w", err)
	}
	return nil
}

func checkText(pairs Attributes) error {
	for key, value := range pairs {
		if key == "" || len(key) > maxNameBytes {
			return fmt.Errorf("want keys of 1 to %d bytes", maxNameBytes)
		}
		if len(value) > maxValueBytes {
			return fmt.Errorf("%.64s: longer than %d bytes", key, maxValueBytes)
		}
	}
	return nil
}

// LabelsKey returns a text that is equal for equal labels: JSON with sorted
// keys. Without labels it is "{}".
func LabelsKey(labels Attributes) string {
	if len(labels) == 0 {
		return "{}"
	}
	text, _ := json.Marshal(labels) // marshalling strings cannot fail
	return string(text)
}

// jsonType returns JSON's name for the type that a Go type is decoded from.
func jsonType(kind reflect.Kind) string {
	switch kind {
	case reflect.String:
		return "a string"
	case reflect.Int64, reflect.Uint64:
		return "a whole number"
	case reflect.Slice:
		return "an array"
	default:
		return "an object"
	}
}
