package agent

import (
	"cmp"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

type (
	// durationVar takes Go syntax or bare seconds. Tags min and max bound it.
	durationVar struct{ textVar[time.Duration] }
	// sizeVar takes bytes or KiB, MiB, GiB, and "auto" (kept as -1) where the
	// default says so. Tags min and max bound it.
	sizeVar struct{ textVar[int64] }
	// integerVar takes a decimal integer. Tags min and max bound it.
	integerVar struct{ textVar[int] }
	// floatVar takes a finite decimal number. Tags min and max bound it.
	floatVar struct{ textVar[float64] }
	// booleanVar takes true or false and their usual spellings.
	booleanVar struct{ textVar[bool] }
)

// automatic is a size that is left to the part which uses it.
const automatic int64 = -1

func (s *durationVar) resolve(tag reflect.StructTag) *fault {
	return readBounded(&s.textVar, tag, parseDuration)
}
func (s *durationVar) kind(reflect.StructTag) string { return "duration" }
func (s *durationVar) show() string                  { return formatDuration(s.Value) }

func (s *sizeVar) resolve(tag reflect.StructTag) *fault {
	if tag.Get("default") == "auto" && (isBlank(s.text) || strings.TrimSpace(s.text) == "auto") {
		s.Value = automatic
		return nil
	}
	f := readBounded(&s.textVar, tag, parseSize)
	if f != nil && tag.Get("default") == "auto" {
		s.Value = automatic
	}
	return f
}
func (s *sizeVar) kind(reflect.StructTag) string { return "size" }
func (s *sizeVar) show() string                  { return formatSize(s.Value) }

func (s *integerVar) resolve(tag reflect.StructTag) *fault {
	return readBounded(&s.textVar, tag, parseInteger)
}
func (s *integerVar) kind(reflect.StructTag) string { return "integer" }
func (s *integerVar) show() string                  { return strconv.Itoa(s.Value) }

func (s *floatVar) resolve(tag reflect.StructTag) *fault {
	return readBounded(&s.textVar, tag, parseFloat)
}
func (s *floatVar) kind(reflect.StructTag) string { return "number" }
func (s *floatVar) show() string                  { return strconv.FormatFloat(s.Value, 'g', -1, 64) }

func (s *booleanVar) resolve(tag reflect.StructTag) *fault { return s.read(tag, parseBoolean) }
func (s *booleanVar) kind(reflect.StructTag) string        { return "boolean" }
func (s *booleanVar) show() string                         { return strconv.FormatBool(s.Value) }

// readBounded is read with the bounds of the tags min and max.
func readBounded[T cmp.Ordered](v *textVar[T], tag reflect.StructTag, parse func(string) (T, *fault)) *fault {
	return v.read(tag, func(text string) (T, *fault) {
		parsed, f := parse(text)
		if f != nil {
			return parsed, f
		}
		if low := tag.Get("min"); low != "" {
			if bound, _ := parse(low); parsed < bound {
				return parsed, &fault{"is too small", "use " + low + " or more"}
			}
		}
		if high := tag.Get("max"); high != "" {
			if bound, _ := parse(high); parsed > bound {
				return parsed, &fault{"is too large", "use " + high + " or less"}
			}
		}
		return parsed, nil
	})
}

func parseDuration(text string) (time.Duration, *fault) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if math.Abs(seconds) < math.MaxInt64/float64(time.Second) {
			return time.Duration(seconds * float64(time.Second)), nil
		}
	} else if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	return 0, &fault{"is not a duration", "use Go syntax (10s, 1m30s) or bare seconds (10)"}
}

// formatDuration drops the zero minutes and seconds of time.Duration.String.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// sizeUnits are in falling order, for formatSize.
var sizeUnits = [...]struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func parseSize(text string) (int64, *fault) {
	number, factor := text, int64(1)
	for _, u := range sizeUnits {
		if n := len(text) - len(u.name); n > 0 && strings.EqualFold(text[n:], u.name) {
			number, factor = strings.TrimSpace(text[:n]), u.bytes
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor {
		return 0, &fault{"is not a size", "use bytes (1048576) or KiB, MiB, GiB (1MiB)"}
	}
	return n * factor, nil
}

func formatSize(n int64) string {
	if n == automatic {
		return "auto"
	}
	for _, u := range sizeUnits {
		if n > 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func parseInteger(text string) (int, *fault) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, &fault{"is not an integer", "use digits only, such as 20000"}
	}
	return n, nil
}

func parseFloat(text string) (float64, *fault) {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, &fault{"is not a number", "use a decimal number, such as 4 or 1.5"}
	}
	return x, nil
}

func parseBoolean(text string) (bool, *fault) {
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, &fault{"is neither true nor false", "use true or false"}
}
