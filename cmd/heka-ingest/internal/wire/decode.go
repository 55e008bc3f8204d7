package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of one batch. A body that exceeds one of them is [ErrTooLarge], so
// that the agent cuts it.
const (
	MaxSeries = 50_000
	MaxTicks  = 50_000
	MaxPoints = 1_000_000
)

// ErrTooLarge is returned for a batch that exceeds the limits. The agent may
// send it in smaller parts. Every other error of [Decode] means that the batch
// is malformed.
var ErrTooLarge = errors.New("batch too large")

// document is a batch as it is written, before validation.
type document struct {
	Schema     string
	BatchID    string
	Agent      documentAgent
	Resource   Attributes
	StartMS    int64
	IntervalMS int64
	Times      []int64
	Series     []documentSeries
	Loss       map[string]Loss

	seen   map[string]bool
	points int
}

type documentAgent struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Epoch   string `json:"epoch"`
	Seq     uint64 `json:"seq"`
}

// documentSeries holds a series with the error of decoding it. A bad series is
// rejected alone, so its error must not end the decoding.
type documentSeries struct {
	Series
	Labels labels `json:"labels"`
	err    error
}

// labels are attributes whose errors name the field.
type labels Attributes

// UnmarshalJSON decodes [Attributes].
func (l *labels) UnmarshalJSON(text []byte) error {
	if err := (*Attributes)(l).UnmarshalJSON(text); err != nil {
		return fmt.Errorf("labels: %w", err)
	}
	return nil
}

// times are the times of a batch. Too many times are refused before a slice is
// built.
type times []int64

// UnmarshalJSON decodes an array of integers.
func (t *times) UnmarshalJSON(text []byte) error {
	if bytes.Count(text, []byte(",")) >= MaxTicks {
		return fmt.Errorf("%w: more than %d times", ErrTooLarge, MaxTicks)
	}
	return json.Unmarshal(text, (*[]int64)(t))
}

// losses are losses by reason. Too many reasons are refused before a map is
// built.
type losses map[string]Loss

// UnmarshalJSON decodes an object.
func (l *losses) UnmarshalJSON(text []byte) error {
	if len(text) > maxAttributesBytes {
		return fmt.Errorf("longer than %d bytes", maxAttributesBytes)
	}
	return json.Unmarshal(text, (*map[string]Loss)(l))
}

// Decode decodes and validates one batch. The error says in one line which
// field is wrong and why. A mistake in a single series does not fail the batch:
// the series is left out and listed in Rejected (docs/ingest.md has the table).
// Unknown fields are ignored. Decode does not retain body.
func Decode(body []byte) (*Batch, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("body: not valid UTF-8")
	}
	doc, err := parse(body)
	if err != nil {
		return nil, oneLine(err)
	}
	b, err := doc.validate()
	return b, oneLine(err)
}

// oneLine removes control characters from the names that an error quotes.
func oneLine(err error) error {
	if err == nil || errors.Is(err, ErrTooLarge) || strings.IndexFunc(err.Error(), unicode.IsControl) < 0 {
		return err
	}
	return errors.New(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, err.Error()))
}

// parse walks the top level token by token. This limits the number of series
// before they are built, and detects missing and repeated fields.
func parse(body []byte) (*document, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	doc := &document{seen: make(map[string]bool)}
	if err := expect(dec, '{'); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, syntax("body", err)
		}
		key, ok := token.(string)
		if !ok {
			return nil, errors.New("body: want a field name")
		}
		if doc.seen[key] {
			return nil, fmt.Errorf("%.64s: given twice", key)
		}
		doc.seen[key] = true
		if err := doc.field(dec, key); err != nil {
			return nil, err
		}
	}
	if err := expect(dec, '}'); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("body: something follows the batch")
	}
	return doc, nil
}

func (doc *document) field(dec *json.Decoder, key string) error {
	var target any
	switch key {
	case "schema":
		target = &doc.Schema
	case "batch_id":
		target = &doc.BatchID
	case "agent":
		target = &doc.Agent
	case "resource":
		target = &doc.Resource
	case "start_ms":
		target = &doc.StartMS
	case "interval_ms":
		target = &doc.IntervalMS
	case "times":
		target = (*times)(&doc.Times)
	case "loss":
		target = (*losses)(&doc.Loss)
	case "series":
		return doc.readSeries(dec)
	default:
		target = new(json.RawMessage)
	}
	if err := dec.Decode(target); err != nil {
		return syntax(key, err)
	}
	return nil
}

func (doc *document) readSeries(dec *json.Decoder) error {
	if err := expect(dec, '['); err != nil {
		return fmt.Errorf("series: %w", err)
	}
	for i := 0; dec.More(); i++ {
		if i == MaxSeries {
			return fmt.Errorf("%w: more than %d series", ErrTooLarge, MaxSeries)
		}
		s, err := readOneSeries(dec)
		if err != nil {
			return syntax(fmt.Sprintf("series[%d]", i), err)
		}
		doc.Series = append(doc.Series, s)
		if doc.points += len(s.Values); doc.points > MaxPoints {
			return fmt.Errorf("%w: more than %d points", ErrTooLarge, MaxPoints)
		}
	}
	if err := expect(dec, ']'); err != nil {
		return fmt.Errorf("series: %w", err)
	}
	return nil
}

// readOneSeries returns an error only if the JSON itself is malformed. After a
// wrong type or value the decoder can continue after the series, so the error
// is kept with the series.
func readOneSeries(dec *json.Decoder) (documentSeries, error) {
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return documentSeries{}, err
	}
	var s documentSeries
	if bytes.Equal(raw, []byte("null")) {
		s.err = errors.New("null")
	} else if err := json.Unmarshal(raw, &s); err != nil {
		s = documentSeries{err: syntax("", err)}
	}
	s.Series.Labels = Attributes(s.Labels)
	return s, nil
}

// expect consumes one delimiter.
func expect(dec *json.Decoder, want json.Delim) error {
	token, err := dec.Token()
	if err != nil {
		return syntax("", err)
	}
	if token != want {
		return fmt.Errorf("want %q", want.String())
	}
	return nil
}

// syntax rewrites an error of encoding/json as "path: what is wrong". It
// removes Go's type names, which mean nothing to the author of the body.
func syntax(path string, err error) error {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("ends too early")
	case errors.As(err, &wrongType):
		if path != "" && wrongType.Field != "" {
			path += "."
		}
		path += wrongType.Field
		err = fmt.Errorf("want %s, got %.64s", jsonType(wrongType.Type.Kind()), wrongType.Value)
	}
	if path == "" {
		return err
	}
	return fmt.Errorf("%.128s: %w", path, err)
}
