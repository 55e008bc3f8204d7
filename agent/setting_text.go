package agent

import (
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type (
	// lineVar takes any printable text of one line.
	lineVar struct{ textVar[string] }
	// identifierVar takes a short text that can stand in a header.
	identifierVar struct{ textVar[string] }
	// prefixVar takes what can stand before a metric's name; dots around it do
	// not count.
	prefixVar struct{ textVar[string] }
	// choiceVar takes one of the tag choices, in any case.
	choiceVar struct{ textVar[string] }
	// listVar takes a comma-separated list of the tag choices, or of changes to
	// the default: +name, -name.
	listVar struct {
		textVar[[]string]
		changed []string // the default, if the text changes it
	}
	// patternVar takes an RE2 pattern; its Value is nil when there is none.
	patternVar struct{ textVar[*regexp.Regexp] }
	// pathVar takes the name of a file or directory. The tag absolute:"true"
	// refuses a relative one; whether it exists is checked where it is used.
	pathVar struct{ textVar[string] }
)

func (s *lineVar) resolve(tag reflect.StructTag) *fault { return s.read(tag, parseLine) }
func (s *lineVar) kind(reflect.StructTag) string        { return "text" }
func (s *lineVar) show() string                         { return s.Value }

func (s *identifierVar) resolve(tag reflect.StructTag) *fault { return s.read(tag, parseIdentifier) }
func (s *identifierVar) kind(reflect.StructTag) string        { return "text" }
func (s *identifierVar) show() string                         { return s.Value }

func (s *prefixVar) resolve(tag reflect.StructTag) *fault { return s.read(tag, parsePrefix) }
func (s *prefixVar) kind(reflect.StructTag) string        { return "text" }
func (s *prefixVar) show() string                         { return s.Value }

func (s *choiceVar) resolve(tag reflect.StructTag) *fault {
	return s.read(tag, func(text string) (string, *fault) { return parseChoice(text, tag.Get("choices")) })
}

func (s *choiceVar) kind(tag reflect.StructTag) string {
	return strings.ReplaceAll(tag.Get("choices"), ",", " \\| ")
}
func (s *choiceVar) show() string { return s.Value }

func (s *listVar) resolve(tag reflect.StructTag) *fault {
	return s.read(tag, func(text string) ([]string, *fault) {
		if !isChange(text) {
			return parseChoices(text, tag.Get("choices"))
		}
		s.changed = strings.Split(tag.Get("default"), ",")
		return changeChoices(text, s.changed, tag.Get("choices"))
	})
}

// settles reports whether somebody has decided about name: in a list of
// changes, only what it names.
func (s *listVar) settles(name string) bool {
	return s.isSet() && (s.changed == nil || slices.Contains(s.Value, name) || strings.Contains(strings.ToLower(s.text), "-"+name))
}

func (s *listVar) kind(reflect.StructTag) string { return "list" }
func (s *listVar) show() string                  { return strings.Join(s.Value, ",") }

func (s *patternVar) resolve(tag reflect.StructTag) *fault { return s.read(tag, parsePattern) }
func (s *patternVar) kind(reflect.StructTag) string        { return "RE2 pattern" }
func (s *patternVar) show() string {
	if s.Value == nil {
		return ""
	}
	return s.Value.String()
}

func (s *pathVar) resolve(tag reflect.StructTag) *fault {
	return s.read(tag, func(text string) (string, *fault) {
		if tag.Get("absolute") == "true" && !strings.HasPrefix(text, "/") {
			return "", &fault{"is a relative path", "use an absolute path, which begins with /"}
		}
		return parsePath(text)
	})
}
func (s *pathVar) kind(reflect.StructTag) string { return "path" }
func (s *pathVar) show() string                  { return s.Value }

// The limits of the wire format on a resource attribute (docs/wire.md). A few
// attributes are detected, and are not counted here.
const (
	maxKeyBytes   = 255
	maxLineBytes  = 4096
	maxAttributes = 200
)

func parseLine(text string) (string, *fault) {
	if len(text) > maxLineBytes {
		return "", &fault{"is too long", "use at most 4096 bytes, the wire format's limit on a value"}
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return "", &fault{"is not one line of text", "use printable UTF-8"}
	}
	return text, nil
}

func parseIdentifier(text string) (string, *fault) {
	if len(text) > 128 || !isAlphanumeric(text, "._:-") {
		return "", &fault{"is not an identifier", "use at most 128 letters, digits and . _ : -"}
	}
	return text, nil
}

func parsePrefix(text string) (string, *fault) {
	prefix := strings.Trim(text, ".")
	if prefix == "" || len(prefix) > 64 || !isAlphanumeric(prefix, "._") || prefix[0] >= '0' && prefix[0] <= '9' {
		return "", &fault{"cannot begin a metric's name", "use at most 64 letters, digits and . _ that begin with a letter, such as heka"}
	}
	return prefix, nil
}

// isAlphanumeric reports whether text holds ASCII letters, digits and the
// characters of also, and nothing else.
func isAlphanumeric(text, also string) bool {
	for _, r := range text {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		digit := r >= '0' && r <= '9'
		if !letter && !digit && !strings.ContainsRune(also, r) {
			return false
		}
	}
	return true
}

func parseChoice(text, allowed string) (string, *fault) {
	all := strings.Split(allowed, ",")
	if lower := strings.ToLower(text); slices.Contains(all, lower) {
		return lower, nil
	}
	return "", &fault{"is not available", "use " + orList(all)}
}

// parseChoices keeps the order given and drops repetitions.
func parseChoices(text, allowed string) ([]string, *fault) {
	all := strings.Split(allowed, ",")
	var picked, wrong []string
	number := 0
	for item := range strings.SplitSeq(text, ",") {
		number++
		item = strings.ToLower(strings.TrimSpace(item))
		switch {
		case item == "" || slices.Contains(picked, item):
		case slices.Contains(all, item):
			picked = append(picked, item)
		default:
			wrong = append(wrong, strconv.Itoa(number))
		}
	}
	right := "use a comma-separated list of " + strings.Join(all, ", ")
	switch {
	case len(wrong) > 0:
		return nil, &fault{"names what is not available, at place " + strings.Join(wrong, " and "), right}
	case len(picked) == 0:
		return nil, &fault{"names nothing", right}
	}
	return picked, nil
}

// isChange reports whether a list begins with a change to the default.
func isChange(text string) bool {
	text = strings.TrimLeft(text, ", \t")
	return text != "" && (text[0] == '+' || text[0] == '-')
}

// changeChoices adds to the list from and takes from it: "+textfile,-load".
func changeChoices(text string, from []string, allowed string) ([]string, *fault) {
	all := strings.Split(allowed, ",")
	picked := slices.Clone(from)
	var wrong []string
	number := 0
	for item := range strings.SplitSeq(text, ",") {
		number++
		item = strings.ToLower(strings.TrimSpace(item))
		if item == "" {
			continue
		}
		name := strings.TrimSpace(item[1:])
		switch {
		case item[0] != '+' && item[0] != '-' || !slices.Contains(all, name):
			wrong = append(wrong, strconv.Itoa(number))
		case item[0] == '-':
			picked = slices.DeleteFunc(picked, func(p string) bool { return p == name })
		case !slices.Contains(picked, name):
			picked = append(picked, name)
		}
	}
	right := "use +name and -name alone, of " + strings.Join(all, ", ")
	switch {
	case len(wrong) > 0:
		return nil, &fault{"holds what is no change to the default list, at place " + strings.Join(wrong, " and "), right}
	case len(picked) == 0:
		return nil, &fault{"leaves nothing of the default list", right}
	}
	return picked, nil
}

func parsePath(text string) (string, *fault) {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "", &fault{"holds a control character", "use the name of a file or directory"}
	}
	return text, nil
}

// orList renders "a, b or c".
func orList(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	last := len(items) - 1
	return strings.Join(items[:last], ", ") + " or " + items[last]
}
