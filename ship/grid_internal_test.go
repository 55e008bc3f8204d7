package ship

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// gridBatch has ticks x series points, less some nulls; each value is unique.
func gridBatch(rng *rand.Rand, ticks, series int) *metric.Batch {
	b := &metric.Batch{Agent: metric.Agent{Epoch: 1, Seq: 2}}
	for i := range ticks {
		b.Times = append(b.Times, int64(1000+i))
	}
	var n int64
	for i := range series {
		s := &metric.Series{Desc: &metric.Desc{Name: "s" + strconv.Itoa(i)}}
		values := make([]metric.Value, ticks)
		for t := range values {
			if rng.IntN(4) > 0 {
				n++
				values[t] = metric.Int(n)
			}
		}
		b.Series = append(b.Series, metric.Column{Series: s, Values: values})
	}
	return b
}

// full has ticks x series points and no null.
func full(ticks, series int) *metric.Batch {
	b := &metric.Batch{Agent: metric.Agent{Epoch: 1, Seq: 2}, Times: make([]int64, ticks)}
	for i := range series {
		s := &metric.Series{Desc: &metric.Desc{Name: "s" + strconv.Itoa(i)}}
		b.Series = append(b.Series, metric.Column{Series: s, Values: slices.Repeat([]metric.Value{metric.Int(1)}, ticks)})
	}
	return b
}

// each calls do with every part of the tree of a batch.
func (g *grid) each(do func(p part)) {
	var down func(p part)
	down = func(p part) {
		do(p)
		for _, half := range p.halves() {
			down(half)
		}
	}
	down(g.root())
}

// The points of a batch are numbered series by series, and tick by tick within
// each; nulls have no number.
func TestPointsAreNumberedBySeriesThenTick(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		b := gridBatch(rng, 1+rng.IntN(7), 1+rng.IntN(9))
		g, n := newGrid(b), 0
		for i, c := range b.Series {
			for tick, v := range c.Values {
				if v.IsNull() {
					continue
				}
				if g.series[n] != i || g.ticks[n] != tick {
					t.Fatalf("point %d is of series %d at %d, want %d at %d", n, g.series[n], g.ticks[n], i, tick)
				}
				n++
			}
		}
		if g.size() != n || g.whole().count() != int64(n) || int64(n) != b.Points() {
			t.Fatalf("%d points numbered, %d in the whole, want %d", g.size(), g.whole().count(), b.Points())
		}
	}
}

// A series is the same in any batch, and no other is.
func TestHashOfASeries(t *testing.T) {
	series := func(name string, labels ...metric.Label) *metric.Series {
		return &metric.Series{Desc: &metric.Desc{Name: name}, Labels: labels}
	}
	different := []*metric.Series{
		series("a"), series("b"), series("a", metric.L("k", "v")), series("a", metric.L("kv", "")),
		series("a", metric.L("", "kv")), series("a", metric.L("k", "v"), metric.L("l", "w")), series("ak", metric.L("v", "")),
	}
	seen := make(map[seriesHash]int)
	for i, s := range different {
		if other, is := seen[hashOf(s)]; is {
			t.Errorf("series %d and %d have one hash", other, i)
		}
		seen[hashOf(s)] = i
	}
	first, again := series("a", metric.L("k", "v")), series("a", metric.L("k", "v"))
	if hashOf(first) != hashOf(again) {
		t.Error("the hash of a series changes")
	}
}

// At each level of the tree every point is in one part, and the halves of a
// part hold its points, each once, down to single points.
func TestTheTreeCoversAllPointsOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for range 50 {
		g := newGrid(gridBatch(rng, 1+rng.IntN(9), 1+rng.IntN(12)))
		paths := make(map[string]bool)
		leaves := newPoints(g.size())
		g.each(func(p part) {
			if paths[p.path] {
				t.Fatalf("two parts are called %q", p.path)
			}
			paths[p.path] = true
			halves := p.halves()
			if halves == nil {
				if g.in(p).count() > 1 || p.toSeries-p.fromSeries != 1 || p.toTick-p.fromTick != 1 {
					t.Fatalf("%+v has no halves", p)
				}
				leaves.with(g.in(p))
				return
			}
			a, b := g.in(halves[0]), g.in(halves[1])
			if len(halves) != 2 || !a.and(b).empty() || !slices.Equal(a.clone().with(b), g.in(p)) {
				t.Fatalf("the halves of %+v are not its points, each once", p)
			}
		})
		if !slices.Equal(leaves, g.whole()) {
			t.Fatal("not every point is in a leaf")
		}
	}
}

// Series are halved down to one, then ticks, and the first half is the larger.
func TestHalves(t *testing.T) {
	for _, c := range []struct {
		part part
		want []part
	}{
		{part{toSeries: 5, toTick: 3}, []part{{"/0", 0, 3, 0, 3}, {"/1", 3, 5, 0, 3}}},
		{part{"/1", 3, 5, 0, 3}, []part{{"/1/0", 3, 4, 0, 3}, {"/1/1", 4, 5, 0, 3}}},
		{part{"/1/1", 4, 5, 0, 3}, []part{{"/1/1/0", 4, 5, 0, 2}, {"/1/1/1", 4, 5, 2, 3}}},
		{part{"/0/0/1", 1, 2, 2, 3}, nil},
	} {
		if got := c.part.halves(); !slices.Equal(got, c.want) {
			t.Errorf("halves of %+v = %+v, want %+v", c.part, got, c.want)
		}
	}
}

// Of the 2^n sets of points of a small batch no two have one name: one id
// always names the same points.
func TestNamesOfAllSubsetsAreUnique(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	batches := []*metric.Batch{full(1, 1), full(1, 12), full(12, 1), full(3, 4), full(4, 3), full(2, 6)}
	for range 8 {
		batches = append(batches, gridBatch(rng, 1+rng.IntN(4), 1+rng.IntN(4)))
	}
	for _, b := range batches {
		g := newGrid(b)
		names := make(map[string]uint64)
		for set := uint64(1); set < 1<<g.size(); set++ {
			name := g.name(points{set})
			if other, is := names[name]; is {
				t.Fatalf("%b and %b of %d ticks and %d series are both called %q", other, set, len(b.Times), len(b.Series), name)
			}
			names[name] = set
		}
	}
}

// partForm is what docs/wire.md allows.
var partForm = regexp.MustCompile(`^(/[0-9]{1,6}){0,40}(-[0-9a-f]{8})?$`)

// The same in a batch of a usual size, for the sets that are sent: parts of the
// tree, with any of a few series left out, and single points.
func TestNamesOfPartsAreUnique(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	g := newGrid(gridBatch(rng, 5, 98))
	names := make(map[string]points)
	check := func(p points) {
		if p.empty() {
			return
		}
		name := g.name(p)
		if other, is := names[name]; is && !slices.Equal(other, p) {
			t.Fatalf("%d and %d points are both called %q", other.count(), p.count(), name)
		}
		names[name] = p
		if !partForm.MatchString(name) {
			t.Fatalf("%q is no name of a part", name)
		}
	}
	left := []points{g.whole()}
	for range 20 {
		out := make(map[int]bool)
		for range 1 + rng.IntN(5) {
			out[rng.IntN(98)] = true
		}
		left = append(left, g.where(func(series, _ int) bool { return !out[series] }))
	}
	g.each(func(p part) {
		for _, l := range left {
			check(g.in(p).and(l))
		}
	})
	for i := range g.size() {
		one := newPoints(g.size())
		one.add(i)
		check(one)
	}
	if len(names) < 500 {
		t.Errorf("%d names: this test shows little", len(names))
	}
}

// A name depends on the points alone, not on the way to them: the whole has
// none, and a part from which nothing is left out is called by its path.
func TestANameDependsOnThePointsAlone(t *testing.T) {
	g := newGrid(full(3, 5))
	if name := g.name(g.whole()); name != "" {
		t.Errorf("the whole is called %q", name)
	}
	g.each(func(p part) {
		if name := g.name(g.in(p)); name != p.path {
			t.Errorf("the points of %q are called %q", p.path, name)
		}
	})
	// In a batch with nulls the smallest part that holds the points counts.
	b := full(2, 2)
	b.Series[1].Values[0], b.Series[1].Values[1] = metric.Value{}, metric.Value{}
	g = newGrid(b)
	if name := g.name(g.whole()); name != "" {
		t.Errorf("all points there are are called %q, want the whole's name", name)
	}
	out := newPoints(2)
	out.add(1)
	if name := g.name(out); name != "/0/1" {
		t.Errorf("the last point is called %q, want /0/1", name)
	}
	// Values and times do not matter, nor does which batch object it is.
	one, two := newGrid(full(4, 7)), newGrid(full(4, 7))
	two.batch.Series[3].Values[2] = metric.Int(99)
	p := one.where(func(series, tick int) bool { return series%2 == 0 && tick > 1 })
	if a, b := one.name(p), two.name(p.clone()); a != b || !strings.Contains(a, "-") {
		t.Errorf("one set of points is called %q and %q", a, b)
	}
}

// carve keeps every value and nothing else, and says where it was.
func TestCarveKeepsItsPointsAndNothingElse(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	for range 200 {
		b := gridBatch(rng, 1+rng.IntN(7), 1+rng.IntN(9))
		b.Resource, b.StartMS, b.IntervalMS = []metric.Label{metric.L("k", "v")}, 5, 6
		g := newGrid(b)
		p := randomPoints(rng, g.size())
		if p.empty() {
			continue
		}
		got, series, ticks := g.carve(p)
		if got.ID() != b.ID()+g.name(p) || got.StartMS != 5 || got.IntervalMS != 6 || len(got.Resource) != 1 {
			t.Fatalf("carved %+v", got)
		}
		if len(series) != len(got.Series) || len(ticks) != len(got.Times) {
			t.Fatalf("%d series and %d ticks, with %d and %d places", len(got.Series), len(got.Times), len(series), len(ticks))
		}
		if got.Points() != p.count() {
			t.Fatalf("%d points carved, want %d", got.Points(), p.count())
		}
		found := newPoints(g.size())
		for i, c := range got.Series {
			from := b.Series[series[i]]
			if c.Series != from.Series || len(c.Values) != len(got.Times) {
				t.Fatalf("series %d is %s with %d values, want %s with %d", i, c.Name, len(c.Values), from.Name, len(got.Times))
			}
			some := false
			for at, v := range c.Values {
				if got.Times[at] != b.Times[ticks[at]] {
					t.Fatalf("tick %d is at %d, want %d", at, got.Times[at], b.Times[ticks[at]])
				}
				if v.IsNull() {
					continue
				}
				some = true
				if v != from.Values[ticks[at]] {
					t.Fatalf("%s at %d is %v, want %v", c.Name, got.Times[at], v, from.Values[ticks[at]])
				}
				for n := range g.size() {
					if g.series[n] == series[i] && g.ticks[n] == ticks[at] {
						found.add(n)
					}
				}
			}
			if !some {
				t.Fatalf("series %s is there without a point", c.Name)
			}
		}
		if !slices.Equal(found, p) {
			t.Fatalf("carved %v, want %v", numbersOf(found), numbersOf(p))
		}
		before := b.Points()
		for _, c := range got.Series {
			clear(c.Values)
		}
		if b.Points() != before {
			t.Fatal("the carved batch shares the memory of its values")
		}
	}
}
