package metric_test

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

func TestValueAppend(t *testing.T) {
	for _, c := range []struct {
		v    metric.Value
		want string
	}{
		{metric.Value{}, "null"},
		{metric.Int(0), "0"},
		{metric.Int(math.MaxInt64), "9223372036854775807"},
		{metric.Int(math.MinInt64), "-9223372036854775808"},
		{metric.Float(0), "0"},
		{metric.Float(2), "2"},
		{metric.Float(0.1), "0.1"},
		{metric.Float(-12.5), "-12.5"},
		{metric.Float(1e-7), "1e-07"},
		{metric.Float(1e20), "100000000000000000000"},
		{metric.Float(1e21), "1e+21"},
		{metric.Float(math.MaxFloat64), "1.7976931348623157e+308"},
		{metric.Float(math.NaN()), "null"},
		{metric.Float(math.Inf(1)), "null"},
		{metric.Float(math.Inf(-1)), "null"},
	} {
		if got := string(c.v.Append([]byte("x"))); got != "x"+c.want {
			t.Errorf("Append of %+v = %s, want x%s", c.v, got, c.want)
		}
	}
}

// TestFloatsReadBack checks that floats of every size survive JSON unchanged.
func TestFloatsReadBack(t *testing.T) {
	for bits := uint64(1); bits < 1<<63; bits += 1<<55 + 12345678901 {
		for _, sign := range []uint64{0, 1 << 63} {
			f := math.Float64frombits(bits | sign)
			text := metric.Float(f).Append(nil)
			var back *float64
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatalf("%g is written as %s: %v", f, text, err)
			}
			if finite := !math.IsNaN(f) && !math.IsInf(f, 0); finite != (back != nil) || finite && *back != f {
				t.Errorf("%g is written as %s", f, text)
			}
		}
	}
}

func TestValueForms(t *testing.T) {
	for _, c := range []struct {
		v           metric.Value
		null, isInt bool
		i           int64
		f           float64
	}{
		{v: metric.Value{}, null: true},
		{v: metric.Float(math.NaN()), null: true},
		{v: metric.Int(-7), isInt: true, i: -7, f: -7},
		{v: metric.Float(-7.5), f: -7.5},
		{v: metric.Float(7), f: 7},
	} {
		if c.v.IsNull() != c.null || c.v.IsInt() != c.isInt || c.v.Int64() != c.i || c.v.Float64() != c.f {
			t.Errorf("%+v is null: %v, an integer: %v, %d, %g", c.v, c.v.IsNull(), c.v.IsInt(), c.v.Int64(), c.v.Float64())
		}
	}
}

func TestBatchID(t *testing.T) {
	b := metric.Batch{Agent: metric.Agent{Epoch: 0xfedcba9876543210, Seq: 42}}
	const want = "fedcba9876543210000000000000002a"
	if got := b.ID(); got != want {
		t.Errorf("ID() = %s, want %s", got, want)
	}
	b.Part = "/1/0"
	if got := b.ID(); got != want+"/1/0" {
		t.Errorf("ID() of a part = %s", got)
	}
}

func TestEpochReadsBack(t *testing.T) {
	for _, epoch := range []uint64{0, 1, 0xfedcba9876543210, math.MaxUint64} {
		text := metric.EpochString(epoch)
		if back, ok := metric.ParseEpoch(text); !ok || back != epoch || len(text) != 16 {
			t.Errorf("epoch %d is written as %q and read as %d, %v", epoch, text, back, ok)
		}
	}
	for _, text := range []string{"", "2a", "00000000000000000", "+00000000000002a", "0x0000000000002a", "000000000000_02a", "000000000000002g"} {
		if epoch, ok := metric.ParseEpoch(text); ok {
			t.Errorf("ParseEpoch(%q) = %d, want none", text, epoch)
		}
	}
}

func TestKindReadsBack(t *testing.T) {
	for i, name := range []string{"gauge", "counter", "updown"} {
		if k, ok := metric.ParseKind(name); !ok || k != metric.Kind(i) || k.String() != name {
			t.Errorf("ParseKind(%q) = %v, %v", name, k, ok)
		}
	}
	if k, ok := metric.ParseKind("Gauge"); ok {
		t.Errorf(`ParseKind("Gauge") = %v, want none`, k)
	}
	if got := metric.Kind(9).String(); got != "unknown" {
		t.Errorf("a kind that is none is called %s", strconv.Quote(got))
	}
}

func TestBatchPoints(t *testing.T) {
	b := metric.Batch{Series: []metric.Column{
		{Values: []metric.Value{metric.Int(0), {}, metric.Float(0)}},
		{Values: []metric.Value{{}, {}, {}}},
	}}
	if got := b.Points(); got != 2 {
		t.Errorf("Points() = %d, want 2: nulls do not count", got)
	}
}
