package ship

import (
	"fmt"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// ticksOf makes ticks of the given series, one point each, valued by tick.
func ticksOf(series []*metric.Series, timesMS ...int64) []tick {
	var out []tick
	for n, at := range timesMS {
		t := tick{timeMS: at}
		for _, s := range series {
			t.points = append(t.points, metric.Point{Series: s, Value: metric.Int(int64(n))})
		}
		out = append(out, t)
	}
	return out
}

func manySeries(n int) []*metric.Series {
	desc := &metric.Desc{Name: "test.series", Unit: "1"}
	out := make([]*metric.Series, n)
	for i := range out {
		out[i] = &metric.Series{Desc: desc, Labels: []metric.Label{metric.L("n", fmt.Sprint(i))}}
	}
	return out
}

// columns renders the builder's content: "times series=values …".
func columns(b *builder) string {
	out := fmt.Sprint(b.times)
	for _, c := range b.series {
		var values []byte
		for _, v := range c.Values {
			values = append(v.Append(values), ' ')
		}
		out += fmt.Sprintf(" %s=%s", c.Series.Labels[0].Value, values)
	}
	return out
}

func TestBuilderPadsWithNulls(t *testing.T) {
	b := newBuilder(1000, 1<<20, nil)
	series := manySeries(2)
	for round := range 2 { // the second round runs on reused memory
		for _, tk := range []tick{
			ticksOf(series[:1], 10)[0], ticksOf(series[1:], 20)[0], ticksOf(series, 30)[0],
		} {
			if next := b.add(tk, 0); next != len(tk.points) {
				t.Fatalf("add took %d of %d points", next, len(tk.points))
			}
		}
		if got, want := columns(b), "[10 20 30] 0=0 null 0  1=null 0 0 "; got != want {
			t.Errorf("round %d: %q, want %q", round, got, want)
		}
		b.reset()
	}
}

func TestBuilderCutsWhenTheClockGoesBack(t *testing.T) {
	b := newBuilder(1000, 1<<20, nil)
	ticks := ticksOf(manySeries(1), 100, 90, 100)
	b.add(ticks[0], 0)
	for _, late := range ticks[1:] {
		if next := b.add(late, 0); next != 0 {
			t.Errorf("a tick at %d was added after one at 100", late.timeMS)
		}
	}
}

func TestBuilderHoldsItsBounds(t *testing.T) {
	series := manySeries(50)
	for _, c := range []struct {
		points int
		bytes  int64
	}{{120, 1 << 20}, {7, 1 << 20}, {100000, 16 << 10}, {100000, 4 << 10}} {
		b := newBuilder(c.points, c.bytes, nil)
		var sent, batches int
		seal := func() {
			batch := metric.Batch{Times: b.times, Series: b.series}
			body := encode.Native{}.Append(nil, &batch)
			if b.points > c.points || int64(len(body)) > c.bytes {
				t.Errorf("%v: a batch of %d points, %d bytes", c, b.points, len(body))
			}
			sent += int(batch.Points())
			batches++
			b.reset()
		}
		for _, tk := range ticksOf(series, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10) {
			for from := 0; from < len(tk.points); {
				if from = b.add(tk, from); from < len(tk.points) {
					seal()
				}
			}
		}
		seal()
		if sent != 500 || batches < 2 {
			t.Errorf("%v: %d points in %d batches, want all 500 in several", c, sent, batches)
		}
	}
}

func TestQueueDropsTheOldestAtItsBound(t *testing.T) {
	snapshot := metric.NewSnapshot(3)
	desc := &metric.Desc{Name: "test"}
	one := tick{points: make([]metric.Point, 1)}.sizeBytes()
	q := NewQueue(3 * one)
	put := func(at int64) {
		snapshot.Reset(at)
		snapshot.Int(desc, at)
		q.Put(snapshot)
	}
	for at := range int64(5) {
		put(at)
	}
	q.hold(one) // a batch in memory takes the place of a tick
	put(5)
	ticks, lost := q.take(), q.takeLost()
	if len(ticks) != 2 || ticks[0].timeMS != 4 || ticks[1].timeMS != 5 {
		t.Errorf("kept %v, want the ticks at 4 and 5", ticks)
	}
	if lost[LostQueueFull] != 4 {
		t.Errorf("lost %v, want 4 points of a full queue", lost)
	}
	if lost := q.takeLost(); len(lost) != 0 {
		t.Errorf("losses %v told twice", lost)
	}
	q.Close()
	put(6)
	if s := q.state(); s.ticks != 0 || !s.closed {
		t.Errorf("a closed queue took a tick: %+v", s)
	}
}

func TestQueueCountsWhatTheSeriesLimitDropped(t *testing.T) {
	snapshot := metric.NewSnapshot(1)
	q := NewQueue(1 << 20)
	snapshot.Reset(1)
	snapshot.Int(&metric.Desc{Name: "a"}, 1)
	snapshot.Int(&metric.Desc{Name: "b"}, 1)
	q.Put(snapshot)
	if lost := q.takeLost(); lost[LostSeriesLimit] != 1 {
		t.Errorf("lost %v, want 1 point over the limit", lost)
	}
}

func TestCompressionIsToldByTheBody(t *testing.T) {
	plain := encode.Native{}.Append(nil, &metric.Batch{})
	for _, kind := range []Compression{CompressionNone, CompressionGzip, CompressionZstd} {
		c, err := newCompressor(kind)
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.compress(plain)
		if err != nil {
			t.Fatal(err)
		}
		if got := CompressionOf(first); got != kind {
			t.Errorf("CompressionOf(a %s body) = %s", kind, got)
		}
		copied := string(first)
		if _, err := c.compress([]byte("something else")); err != nil || string(first) != copied {
			t.Errorf("%s: a body changed with the next one (%v)", kind, err)
		}
	}
	if _, err := newCompressor("brotli"); err == nil {
		t.Error("newCompressor(brotli) = nil error")
	}
}

// BenchmarkCompress compresses a batch of a typical host: 80 series, 3 ticks.
func BenchmarkCompress(b *testing.B) {
	builder := newBuilder(1000, 1<<20, nil)
	for _, t := range ticksOf(manySeries(80), 1763801234567, 1763801239567, 1763801244567) {
		builder.add(t, 0)
	}
	body := encode.Native{}.Append(nil, &metric.Batch{Times: builder.times, Series: builder.series})
	for _, kind := range []Compression{CompressionGzip, CompressionZstd} {
		c, err := newCompressor(kind)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(kind), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.compress(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
