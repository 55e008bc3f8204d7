// Package promtext parses the Prometheus text exposition format, version 0.0.4.
//
//	# HELP node_backup_bytes Size of the last backup.
//	# TYPE node_backup_bytes gauge
//	node_backup_bytes{target="nas"} 1.5e+09
//
// See https://prometheus.io/docs/instrumenting/exposition_formats/. The package
// does no I/O. docs/adr/0010 explains why it exists; its tests compare it with
// prometheus/common.
package promtext

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Type is the declared type of a metric.
type Type uint8

// The types of the format. Untyped, the zero Type, is also the type of a metric
// without a TYPE line.
const (
	Untyped Type = iota
	Counter
	Gauge
	Histogram
	Summary
)

var names = [...]string{Untyped: "untyped", Counter: "counter", Gauge: "gauge", Histogram: "histogram", Summary: "summary"}

// String returns the type's name in the format.
func (t Type) String() string { return names[t] }

// Label is one label of a sample.
type Label struct{ Name, Value string }

// Sample is one line of a file.
type Sample struct {
	// Name is the name on the line. A histogram h has the names h_bucket, h_sum
	// and h_count.
	Name string
	// Type is the type of the metric that the line belongs to: that of h for
	// h_bucket.
	Type Type
	// Help is the help text of the metric; "" if it has none.
	Help string
	// Labels holds the labels in the order of the line, without duplicates.
	Labels []Label
	// Value may be NaN or infinite.
	Value float64
	// Timed reports whether the line has a time stamp.
	Timed bool
}

// ErrTooMany is returned by [Parse] if a text has too many samples.
var ErrTooMany = errors.New("too many samples")

// Error describes a mistake in a text.
type Error struct {
	// Line counts from 1.
	Line int
	// Wrong describes the mistake.
	Wrong string
}

// Error returns the line number and the mistake.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Wrong) }

// Parse returns the samples of a text in their order. There may be none. They
// share the text's memory. Parse does not check for duplicate samples.
//
// If the text contains a mistake or ends within a line, Parse returns an
// [*Error]. If it has more than most samples, Parse returns [ErrTooMany],
// whatever follows them. In both cases it returns no samples, because the rest
// of such a text cannot be trusted.
func Parse(text string, most int) ([]Sample, error) {
	p := parser{metrics: make(map[string]*metric)}
	for n := 1; text != ""; n++ {
		line, rest, whole := strings.Cut(text, "\n")
		if !whole {
			return nil, &Error{n, "the last line has no end: half of a file"}
		}
		if wrong := p.line(line); wrong != "" {
			return nil, &Error{n, wrong}
		}
		if len(p.samples) > most {
			return nil, ErrTooMany
		}
		text = rest
	}
	return p.samples, nil
}

// metric holds what was declared about a name.
type metric struct {
	name          string
	typ           Type
	help          string
	typed, helped bool // a TYPE or HELP line was seen, or can no longer follow
}

type parser struct {
	metrics map[string]*metric
	samples []Sample
}

// line parses one line and returns what is wrong with it.
func (p *parser) line(text string) (wrong string) {
	s := scanner{text: text}
	s.blanks()
	switch {
	case s.text == "":
		return ""
	case s.take('#'):
		return p.comment(&s)
	default:
		return p.sample(&s)
	}
}

func (p *parser) comment(s *scanner) (wrong string) {
	s.blanks()
	keyword := s.word()
	if keyword != "HELP" && keyword != "TYPE" || s.text == "" {
		return ""
	}
	s.blanks()
	name := s.name(true)
	switch {
	case s.text == "":
		return "" // an ordinary comment
	case name == "" || !s.blanks():
		return "no metric name after " + keyword
	case s.text == "":
		return ""
	}
	m := p.of(name)
	if keyword == "HELP" {
		if m.helped {
			return "a second HELP line for " + name
		}
		help, ok := unescape(s.text, false)
		if !ok {
			return "a backslash in HELP that escapes nothing"
		}
		m.help, m.helped = help, true
		return ""
	}
	if m.typed {
		return "TYPE of " + name + " comes twice, or after its samples"
	}
	typ := slices.Index(names[:], strings.ToLower(s.text))
	if typ < 0 {
		return fmt.Sprintf("unknown type %.40q", s.text)
	}
	m.typ, m.typed = Type(typ), true
	return ""
}

func (p *parser) sample(s *scanner) (wrong string) {
	sample := Sample{Name: s.name(true)}
	if sample.Name == "" {
		return "no metric name"
	}
	m := p.of(sample.Name)
	m.typed = true
	sample.Type, sample.Help = m.typ, m.help
	parted := s.blanks()
	if s.take('{') {
		parted = true
		if sample.Labels, wrong = s.labels(); wrong != "" {
			return wrong
		}
		s.blanks()
	}
	if !parted {
		return "no blank after the name " + sample.Name
	}
	value := s.word()
	var ok bool
	if sample.Value, ok = parseFloat(value); !ok {
		return fmt.Sprintf("want a number as the value of %s, got %.40q", sample.Name, value)
	}
	if wrong = partOf(&sample, m); wrong != "" {
		return wrong
	}
	if rest := s.text; s.blanks() {
		if sample.Timed = s.timestamp(); !sample.Timed {
			return fmt.Sprintf("want a time stamp or the line's end after the value, got %.40q", rest)
		}
	}
	p.samples = append(p.samples, sample)
	return ""
}

// of returns the metric that a name belongs to. h_bucket belongs to a histogram
// h that was declared before it.
func (p *parser) of(name string) *metric {
	if m := p.metrics[name]; m != nil {
		return m
	}
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		base, ok := strings.CutSuffix(name, suffix)
		if m := p.metrics[base]; ok && m != nil && (m.typ == Histogram || m.typ == Summary && suffix != "_bucket") {
			return m
		}
	}
	m := &metric{name: name}
	p.metrics[name] = m
	return m
}

// partOf checks that a line of a histogram or summary is a valid part of it.
func partOf(sample *Sample, m *metric) (wrong string) {
	part := strings.TrimPrefix(sample.Name, m.name)
	var key string
	switch {
	case m.typ != Histogram && m.typ != Summary, part == "_sum", part == "_count":
		return ""
	case m.typ == Histogram && part == "_bucket":
		key = "le"
	case m.typ == Summary && part == "":
		key = "quantile"
	default:
		return sample.Name + " is no part of a " + m.typ.String()
	}
	for _, l := range sample.Labels {
		if v, ok := parseFloat(l.Value); l.Name == key && ok && !math.IsNaN(v) {
			return ""
		}
	}
	return sample.Name + " has no label " + key + " that is a number"
}
