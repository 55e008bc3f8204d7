package agent

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect"
)

// A setting is one variable of the environment struct. envconfig stops at the
// first error and prints the value, which may be a secret, so Decode only
// keeps the text; resolve reads it later, with the field's tags in hand.
type setting interface {
	// Decode keeps the variable's text. It never fails.
	Decode(text string) error
	// resolve parses the text, or the default when there is none. A faulty
	// text leaves the default in place, so that later checks can go on.
	resolve(tag reflect.StructTag) *fault
	// kind names the type for the documentation.
	kind(tag reflect.StructTag) string
	// show prints the resolved value as an operator would write it; secrets
	// are redacted.
	show() string
	origin() *Source
}

// fault is what is wrong with a text and what would be right. Neither half
// repeats the text, whatever its variable is: people paste a secret into the
// wrong one.
type fault struct{ wrong, right string }

// Source says where a setting's value came from.
type Source uint8

// The sources of a setting. The zero Source is SourceDefault.
const (
	// SourceDefault is a value nobody set, or one set to a blank text.
	SourceDefault Source = iota
	// SourceEnvironment is the process environment.
	SourceEnvironment
	// SourceEnvFile is the file given with --env-file.
	SourceEnvFile
	// SourceOtel is one of OpenTelemetry's variables.
	SourceOtel
	// SourcePython is a variable of the Python agent.
	SourcePython
)

// String returns "default", "environment", "env file", "OpenTelemetry's
// variable" or "Python agent's variable".
func (s Source) String() string {
	switch s {
	case SourceEnvironment:
		return "environment"
	case SourceEnvFile:
		return "env file"
	case SourceOtel:
		return "OpenTelemetry's variable"
	case SourcePython:
		return "Python agent's variable"
	default:
		return "default"
	}
}

// textVar is what every kind of setting embeds.
type textVar[T any] struct {
	// Value is the parsed text, valid after resolve.
	Value  T
	text   string
	source Source
}

// Decode implements envconfig.Decoder.
func (v *textVar[T]) Decode(text string) error {
	v.text = text
	return nil
}

func (v *textVar[T]) origin() *Source { return &v.source }

// isSet reports whether somebody set the variable, rightly or wrongly.
func (v *textVar[T]) isSet() bool { return v.source != SourceDefault }

// read parses the text, or the default tag when the text is empty.
func (v *textVar[T]) read(tag reflect.StructTag, parse func(string) (T, *fault)) *fault {
	if fallback := tag.Get("default"); fallback != "" {
		v.Value, _ = parse(fallback)
	}
	text := strings.TrimSpace(v.text)
	if text == "" {
		return nil
	}
	parsed, f := parse(text)
	if f == nil {
		v.Value = parsed
	}
	return f
}

// variable is one leaf of the environment struct.
type variable struct {
	name    string
	tag     reflect.StructTag
	setting setting
}

// variables lists the leaves of an environment struct in order of declaration.
func variables(env *environment) []variable {
	return appendVariables(nil, "", reflect.ValueOf(env).Elem())
}

func appendVariables(list []variable, prefix string, group reflect.Value) []variable {
	for i := range group.NumField() {
		field := group.Type().Field(i)
		name := prefix + screamingSnake(field.Name)
		if s, ok := group.Field(i).Addr().Interface().(setting); ok {
			list = append(list, variable{name: name, tag: withInherited(name, field.Tag), setting: s})
			continue
		}
		list = appendVariables(list, name+"_", group.Field(i))
	}
	return list
}

// withInherited adds the default that belongs to another package, which no
// struct tag can name.
func withInherited(name string, tag reflect.StructTag) reflect.StructTag {
	if name != "HEKA_FILESYSTEM_TYPES_EXCLUDE" {
		return tag
	}
	return tag + reflect.StructTag(" default:"+strconv.Quote(collect.DefaultFilesystemTypesExclude))
}

// screamingSnake names a field as envconfig's split_words does, for the names
// in use here: "APIKeyFile" is API_KEY_FILE.
func screamingSnake(name string) string {
	var out strings.Builder
	upper := func(i int) bool { return i >= 0 && i < len(name) && name[i] >= 'A' && name[i] <= 'Z' }
	for i := range len(name) {
		startsWord := upper(i) && (!upper(i-1) || i+1 < len(name) && !upper(i+1))
		if i > 0 && startsWord {
			out.WriteByte('_')
		}
		out.WriteByte(name[i])
	}
	return strings.ToUpper(out.String())
}
