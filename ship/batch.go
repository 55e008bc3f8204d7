package ship

import (
	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// Upper bounds on what the parts of a batch take in a native body, beside their
// own text: field names, punctuation, and the longest number there is.
const (
	bodyHeadBytes   = 1 << 10
	bodySeriesBytes = 96
	bodyLabelBytes  = 6
	bodyTimeBytes   = 21
	bodyValueBytes  = 25
)

// builder turns ticks into columns. It reuses its memory from batch to batch;
// what columns returns is valid until reset. Owned by Shipper.Run.
type builder struct {
	maxPoints int
	maxBytes  int64
	headBytes int64

	index   map[*metric.Series]int
	times   []int64
	series  []metric.Column
	points  int
	textual int64 // bytes of the series' text in a body
}

func newBuilder(maxPoints int, maxBytes int64, resource []metric.Label) *builder {
	head := bodyHeadBytes + labelBytes(resource)
	return &builder{maxPoints: maxPoints, maxBytes: maxBytes, headBytes: head, index: make(map[*metric.Series]int)}
}

// add takes the points of t from index from on, and returns the index of the
// first point that must go into the next batch: from itself when the tick
// does not fit, len(t.points) when all of it does. A tick is only ever divided
// when it alone exceeds a batch. An older time than the last one (the wall
// clock was set back) does not fit either, so that times strictly increase.
func (b *builder) add(t tick, from int) (next int) {
	first := len(b.times) == 0
	if !first && (t.timeMS <= b.times[len(b.times)-1] || !b.fits(t.points[from:])) {
		return from
	}
	b.times = append(b.times, t.timeMS)
	for next = from; next < len(t.points); next++ {
		if p := t.points[next]; !first || b.points == 0 || b.fits(t.points[next:next+1]) {
			b.put(p)
		} else {
			break
		}
	}
	b.pad(len(b.times))
	return next
}

// fits bounds what the batch would be with these points from above, so that
// it never has to be encoded to be found too large.
func (b *builder) fits(points []metric.Point) bool {
	if b.points+len(points) > b.maxPoints {
		return false
	}
	columns, textual := len(b.series), b.textual
	for _, p := range points {
		if _, known := b.index[p.Series]; !known {
			columns++
			textual += seriesBytes(p.Series)
		}
	}
	return b.bound(textual, columns, len(b.times)+1) <= b.maxBytes
}

// bound is more than a body takes with so much text, so many columns and ticks.
func (b *builder) bound(textual int64, columns, ticks int) int64 {
	return b.headBytes + textual + int64(ticks)*(bodyTimeBytes+int64(columns)*bodyValueBytes)
}

// looseness is how many times a body of so many bytes is smaller than the bound
// on it.
func (b *builder) looseness(bytes int) float64 {
	return float64(b.bound(b.textual, len(b.series), len(b.times))) / float64(bytes)
}

func (b *builder) put(p metric.Point) {
	i, known := b.index[p.Series]
	if !known {
		i = len(b.series)
		b.index[p.Series] = i
		b.textual += seriesBytes(p.Series)
		b.extend(p.Series)
	}
	column := &b.series[i]
	for len(column.Values) < len(b.times)-1 {
		column.Values = append(column.Values, metric.Value{})
	}
	column.Values = append(column.Values, p.Value)
	b.points++
}

// extend adds a column, reusing the values of one from an earlier batch.
func (b *builder) extend(s *metric.Series) {
	if n := len(b.series); n < cap(b.series) {
		b.series = b.series[:n+1]
		b.series[n] = metric.Column{Series: s, Values: b.series[n].Values[:0]}
		return
	}
	b.series = append(b.series, metric.Column{Series: s})
}

// pad brings every column to the given length with nulls.
func (b *builder) pad(ticks int) {
	for i := range b.series {
		for len(b.series[i].Values) < ticks {
			b.series[i].Values = append(b.series[i].Values, metric.Value{})
		}
	}
}

func (b *builder) reset() {
	clear(b.index)
	b.times, b.series = b.times[:0], b.series[:0]
	b.points, b.textual = 0, 0
}

// newestMS is the time of the last tick; the batch must not be empty.
func (b *builder) newestMS() int64 { return b.times[len(b.times)-1] }

func seriesBytes(s *metric.Series) int64 {
	return int64(bodySeriesBytes+len(s.Name)+len(s.Unit)) + labelBytes(s.Labels)
}

func labelBytes(labels []metric.Label) int64 {
	n := 0
	for _, l := range labels {
		n += bodyLabelBytes + len(l.Key) + len(l.Value)
	}
	return int64(n)
}
