package ship

import (
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// grid numbers the points of a batch, series by series and tick by tick within
// each; a null has no number. It is what parts of a batch are cut from.
type grid struct {
	batch  *metric.Batch
	series []int // of each point
	ticks  []int // of each point
	hashes []seriesHash
}

// seriesHash stands for a series in whatever batch it occurs.
type seriesHash uint64

func hashOf(s *metric.Series) seriesHash {
	h := fnv.New64a()
	h.Write([]byte(s.Name))
	for _, l := range s.Labels {
		h.Write([]byte{0})
		h.Write([]byte(l.Key))
		h.Write([]byte{0})
		h.Write([]byte(l.Value))
	}
	return seriesHash(h.Sum64())
}

func newGrid(b *metric.Batch) *grid {
	g := &grid{batch: b, hashes: make([]seriesHash, len(b.Series))}
	for i := range b.Series {
		g.hashes[i] = hashOf(b.Series[i].Series)
		for tick, v := range b.Series[i].Values {
			if !v.IsNull() {
				g.series, g.ticks = append(g.series, i), append(g.ticks, tick)
			}
		}
	}
	return g
}

func (g *grid) size() int { return len(g.series) }

// where returns the points for which is reports true.
func (g *grid) where(is func(series, tick int) bool) points {
	p := newPoints(g.size())
	for i := range g.series {
		if is(g.series[i], g.ticks[i]) {
			p.add(i)
		}
	}
	return p
}

func (g *grid) whole() points { return g.where(func(int, int) bool { return true }) }

// seriesOf returns the indexes of the series that have points in p, in order.
func (g *grid) seriesOf(p points) []int { return indexes(p, g.series) }

// ticksOf returns the indexes of the ticks that have points in p, in order.
func (g *grid) ticksOf(p points) []int { return indexes(p, g.ticks) }

func indexes(p points, of []int) []int {
	var found []int
	p.all(func(i int) { found = append(found, of[i]) })
	slices.Sort(found)
	return slices.Compact(found)
}

// part is a node of the fixed tree by which a batch is cut: the series from
// fromSeries up to toSeries, in the ticks from fromTick up to toTick. Series
// are halved down to one, then ticks; the first half of an odd number is the
// larger one. It depends on nothing but the batch.
type part struct {
	path                 string
	fromSeries, toSeries int
	fromTick, toTick     int
}

func (g *grid) root() part { return part{toSeries: len(g.batch.Series), toTick: len(g.batch.Times)} }

// halves returns none for a single point.
func (p part) halves() []part {
	a, b := p, p
	a.path, b.path = p.path+"/0", p.path+"/1"
	switch {
	case p.toSeries-p.fromSeries > 1:
		middle := p.fromSeries + (p.toSeries-p.fromSeries+1)/2
		a.toSeries, b.fromSeries = middle, middle
	case p.toTick-p.fromTick > 1:
		middle := p.fromTick + (p.toTick-p.fromTick+1)/2
		a.toTick, b.fromTick = middle, middle
	default:
		return nil
	}
	return []part{a, b}
}

// in returns the points of a part.
func (g *grid) in(p part) points {
	return g.where(func(series, tick int) bool {
		return series >= p.fromSeries && series < p.toSeries && tick >= p.fromTick && tick < p.toTick
	})
}

// name returns what the id of a batch gets for these of its points: the path of
// the smallest part that holds them all, and a hash of what is left out of that
// part, if anything is. It depends on the points alone, so that one id always
// names the same points.
func (g *grid) name(p points) string {
	node, inside := g.root(), g.whole()
	for {
		i := -1
		var child points
		halves := node.halves()
		if !p.covers(inside) {
			i = slices.IndexFunc(halves, func(half part) bool {
				child = g.in(half)
				return child.covers(p)
			})
		}
		if i < 0 {
			break
		}
		node, inside = halves[i], child
	}
	if out := inside.without(p); !out.empty() {
		return fmt.Sprintf("%s-%08x", node.path, out.hash32())
	}
	return node.path
}

// carve returns a batch of these points, and where in g.batch its series and
// ticks are. It shares the values' memory with no one.
func (g *grid) carve(p points) (b *metric.Batch, series, ticks []int) {
	series, ticks = g.seriesOf(p), g.ticksOf(p)
	row, column := make(map[int]int, len(series)), make(map[int]int, len(ticks))
	out := *g.batch
	out.Part = g.name(p)
	out.Times, out.Series = nil, make([]metric.Column, len(series))
	for at, tick := range ticks {
		column[tick] = at
		out.Times = append(out.Times, g.batch.Times[tick])
	}
	for at, i := range series {
		row[i] = at
		out.Series[at] = metric.Column{Series: g.batch.Series[i].Series, Values: make([]metric.Value, len(ticks))}
	}
	p.all(func(i int) {
		s, t := g.series[i], g.ticks[i]
		out.Series[row[s]].Values[column[t]] = g.batch.Series[s].Values[t]
	})
	return &out, series, ticks
}
