package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Value is one reading: an integer, a finite float, or null. The zero Value is
// null. Integers stay integers from the agent to the API.
type Value struct {
	bits uint64
	form form
}

type form uint8

const (
	formNull form = iota
	formInt
	formFloat
)

// Int returns an integer Value.
func Int(v int64) Value { return Value{bits: uint64(v), form: formInt} }

// Float returns a floating-point Value, or null for NaN and infinities.
func Float(v float64) Value {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return Value{}
	}
	return Value{bits: math.Float64bits(v), form: formFloat}
}

// IsNull reports whether there is no reading.
func (v Value) IsNull() bool { return v.form == formNull }

// Int64 returns the integer. The result is false for a float or null.
func (v Value) Int64() (int64, bool) { return int64(v.bits), v.form == formInt }

// Float64 returns the reading as a float. Null is 0, and integers beyond 2^53
// lose precision.
func (v Value) Float64() float64 {
	switch v.form {
	case formInt:
		return float64(int64(v.bits))
	case formFloat:
		return math.Float64frombits(v.bits)
	default:
		return 0
	}
}

// MarshalJSON returns a JSON number or null. It never fails.
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.form {
	case formInt:
		return strconv.AppendInt(nil, int64(v.bits), 10), nil
	case formFloat:
		return strconv.AppendFloat(nil, math.Float64frombits(v.bits), 'g', -1, 64), nil
	default:
		return []byte("null"), nil
	}
}

// UnmarshalJSON accepts a JSON number within the range of a float64, or null.
func (v *Value) UnmarshalJSON(text []byte) error {
	parsed, err := parseValue(text)
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}

// parseValue parses a JSON number or null. text is syntactically valid JSON, so
// numbers that only Go accepts ("0x1", "Inf") need no check.
func parseValue(text []byte) (Value, error) {
	s := string(text)
	if s == "null" {
		return Value{}, nil
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return Int(i), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case err == nil:
		return Float(f), nil
	case f != 0:
		return Value{}, fmt.Errorf("%.24s is beyond the range of a float64", s)
	default:
		return Value{}, fmt.Errorf("want a number or null, got %.24q", s)
	}
}

// Column holds the values of one series in a batch, one per tick.
type Column []Value

// UnmarshalJSON parses the whole array itself. Calling encoding/json for each
// element would take most of the time of decoding.
func (c *Column) UnmarshalJSON(text []byte) error {
	inner, ok := bytes.CutPrefix(text, []byte("["))
	if !ok {
		return errors.New("values: want an array of numbers and nulls")
	}
	inner = bytes.TrimSpace(bytes.TrimSuffix(inner, []byte("]")))
	n := bytes.Count(inner, []byte(",")) + 1
	switch {
	case len(inner) == 0:
		n = 0
	case n > MaxTicks:
		return fmt.Errorf("values: more than %d", MaxTicks)
	}
	*c = make(Column, 0, n)
	for i := range n {
		var element []byte
		element, inner, _ = bytes.Cut(inner, []byte(","))
		v, err := parseValue(bytes.TrimSpace(element))
		if err != nil {
			return fmt.Errorf("values[%d]: %w", i, err)
		}
		*c = append(*c, v)
	}
	return nil
}
