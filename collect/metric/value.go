package metric

import (
	"math"
	"strconv"
)

// Value is an integer, a finite float, or null. The zero Value is null: the
// series had no reading in that tick.
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

// Float returns a floating-point Value. For NaN and infinities, which the wire
// format cannot express, it returns the null Value.
func Float(v float64) Value {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return Value{}
	}
	return Value{bits: math.Float64bits(v), form: formFloat}
}

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v.form == formNull }

// IsInt reports whether v was made by [Int].
func (v Value) IsInt() bool { return v.form == formInt }

// Int64 returns the integer, or 0 if v is not an integer.
func (v Value) Int64() int64 {
	if v.form != formInt {
		return 0
	}
	return int64(v.bits)
}

// Float64 returns the value as a float. The null Value is 0. Integers beyond
// 2^53 lose precision.
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

// Append appends v as a JSON value: an integer, the shortest decimal that
// parses to the same float, or null. A float that is whole is written without a
// fraction, so a server must use the metric's kind, not the spelling, to tell
// its type.
func (v Value) Append(dst []byte) []byte {
	switch v.form {
	case formInt:
		return strconv.AppendInt(dst, int64(v.bits), 10)
	case formFloat:
		return appendFloat(dst, math.Float64frombits(v.bits))
	default:
		return append(dst, "null"...)
	}
}

// appendFloat writes very small and very large numbers with an exponent, as
// encoding/json does, so that 1e300 does not take three hundred digits.
func appendFloat(dst []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64)
}
