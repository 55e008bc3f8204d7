package metric

import (
	"math"
	"strconv"
)

// Value is an integer, a finite float, or nothing. The zero Value is Null:
// a tick in which a series had no reading.
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

// Float returns a floating-point Value, or the null Value for NaN and
// infinities, which the wire format does not have.
func Float(v float64) Value {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return Value{}
	}
	return Value{bits: math.Float64bits(v), form: formFloat}
}

// IsNull reports whether there is no value.
func (v Value) IsNull() bool { return v.form == formNull }

// IsInt reports whether v was made by Int.
func (v Value) IsInt() bool { return v.form == formInt }

// Int64 returns an integer Value; for any other form it returns 0.
func (v Value) Int64() int64 {
	if v.form != formInt {
		return 0
	}
	return int64(v.bits)
}

// Float64 returns the value as a float; the null Value is 0. Integers beyond
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
// reads back as the same float, or null. A float that happens to be whole is
// written without a fraction; kinds, not spelling, tell a server what it is.
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

// appendFloat writes small and large magnitudes with an exponent, as
// encoding/json does, so that 1e300 is not three hundred digits.
func appendFloat(dst []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64)
}
