package store

import (
	"math"
	"slices"
	"testing"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

func TestChunkRoundTrip(t *testing.T) {
	values := []wire.Value{
		wire.Int(math.MaxInt64), wire.Int(math.MinInt64),
		{},
		wire.Float(0.1), wire.Int(0),
		wire.Float(-math.MaxFloat64), wire.Float(math.SmallestNonzeroFloat64), wire.Int(-1),
	}
	times := []int64{1, 2, 1 << 40, 1<<40 + 1, 1<<40 + 5000, 1<<40 + 10000, 1 << 42, 253_402_300_799_999}
	data := appendValues(appendTimes(nil, times), values)
	gotTimes, rest, err := readTimes(data)
	if err != nil || !slices.Equal(gotTimes, times) {
		t.Fatalf("times %v, %v, want %v", gotTimes, err, times)
	}
	if got, err := readValues(rest, len(times)); err != nil || !slices.Equal(got, values) {
		t.Fatalf("values %v, %v, want %v", got, err, values)
	}
	for n := range len(data) {
		if times, rest, err := readTimes(data[:n]); err == nil {
			if _, err := readValues(rest, len(times)); err == nil {
				t.Errorf("cut to %d of %d bytes it still reads", n, len(data))
			}
		}
	}
}

// Damaged bytes on disk yield an error or some points, never a panic or a huge
// allocation.
func FuzzChunk(f *testing.F) {
	f.Add(appendValues(appendTimes(nil, []int64{1, 5}), []wire.Value{wire.Int(3), wire.Float(.5)}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(_ *testing.T, data []byte) {
		if times, rest, err := readTimes(data); err == nil {
			_, _ = readValues(rest, len(times))
		}
	})
}

func TestCountTicks(t *testing.T) {
	for _, c := range []struct {
		name  string
		times []int64
		want  tally
	}{
		{"none", nil, tally{}},
		{"one", []int64{100}, tally{ticks: 1}},
		{"regular", []int64{100, 110, 120}, tally{ticks: 3}},
		{"jitter up to half an interval", []int64{100, 115, 120}, tally{ticks: 3}},
		{"one missing", []int64{100, 116}, tally{ticks: 2, missing: 1}},
		{"one missing, late", []int64{100, 124}, tally{ticks: 2, missing: 1}},
		{"two missing", []int64{100, 125}, tally{ticks: 2, missing: 2}},
		{"many", []int64{100, 200, 300}, tally{ticks: 3, missing: 18}},
	} {
		if got := count(c.times, 10); got != c.want {
			t.Errorf("%s: count(%v) = %+v, want %+v", c.name, c.times, got, c.want)
		}
	}
}
