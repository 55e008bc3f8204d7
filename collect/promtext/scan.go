package promtext

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scanner consumes a line from left to right.
type scanner struct{ text string }

// blanks skips spaces and tabs and reports whether there were any.
func (s *scanner) blanks() bool {
	before := len(s.text)
	s.text = strings.TrimLeft(s.text, " \t")
	return len(s.text) < before
}

// take consumes c if it is next, and reports whether it was.
func (s *scanner) take(c byte) bool {
	if s.text == "" || s.text[0] != c {
		return false
	}
	s.text = s.text[1:]
	return true
}

// word consumes everything up to the next space or tab.
func (s *scanner) word() string {
	n := strings.IndexAny(s.text, " \t")
	if n < 0 {
		n = len(s.text)
	}
	word := s.text[:n]
	s.text = s.text[n:]
	return word
}

// name consumes a name and returns it, or "" if there is none. With colons it
// accepts the colons of a metric name.
func (s *scanner) name(colons bool) string {
	n := 0
	for n < len(s.text) && isNameByte(s.text[n], n, colons) {
		n++
	}
	name := s.text[:n]
	s.text = s.text[n:]
	return name
}

func isNameByte(c byte, at int, colons bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':' && colons || c >= '0' && c <= '9' && at > 0
}

// labels consumes the labels after an opening brace, including the closing
// brace.
func (s *scanner) labels() (labels []Label, wrong string) {
	for s.blanks(); !s.take('}'); s.blanks() {
		name := s.name(false)
		s.blanks()
		if name == "" || !s.take('=') {
			return nil, fmt.Sprintf("want name=\"value\" or a closing brace, got %.40q", name+s.text)
		}
		s.blanks()
		value, wrong := s.quoted(name)
		switch {
		case wrong != "":
			return nil, wrong
		case name == "__name__":
			return nil, "the label name __name__ is reserved"
		case slices.ContainsFunc(labels, func(l Label) bool { return l.Name == name }):
			return nil, "the label " + name + " comes twice"
		}
		labels = append(labels, Label{name, value})
		if s.blanks(); s.take(',') {
			continue
		}
		if !strings.HasPrefix(s.text, "}") {
			return nil, fmt.Sprintf("want a comma or a closing brace after the label %s, got %.40q", name, s.text)
		}
	}
	return labels, ""
}

// quoted consumes the value of a label.
func (s *scanner) quoted(name string) (value, wrong string) {
	if !s.take('"') {
		return "", fmt.Sprintf("want a quoted value of the label %s, got %.40q", name, s.text)
	}
	end := 0
	for end < len(s.text) && s.text[end] != '"' {
		if s.text[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(s.text) {
		return "", "the value of the label " + name + " has no closing quote"
	}
	value, ok := unescape(s.text[:end], true)
	s.text = s.text[end+1:]
	switch {
	case !ok:
		return "", "a backslash in the label " + name + " that escapes nothing"
	case !utf8.ValidString(value):
		return "", "the label " + name + " is not UTF-8"
	}
	return value, ""
}

// timestamp consumes a time stamp at the end of the line.
func (s *scanner) timestamp() bool {
	_, err := strconv.ParseInt(s.word(), 10, 64)
	return err == nil && s.text == ""
}

// unescape replaces \\ and \n, and with quotes also \".
func unescape(text string, quotes bool) (plain string, ok bool) {
	if !strings.Contains(text, `\`) {
		return text, true
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' {
			if i++; i == len(text) {
				return "", false
			}
			switch c = text[i]; {
			case c == 'n':
				c = '\n'
			case c == '\\' || c == '"' && quotes:
			default:
				return "", false
			}
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

// parseFloat parses what [strconv.ParseFloat] accepts, except hexadecimal
// numbers and underscores.
func parseFloat(text string) (float64, bool) {
	if strings.ContainsAny(text, "pP_xX") {
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil
}
