package ship

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// partsBatch has ticks x series points, less some nulls; each value is unique.
func partsBatch(rng *rand.Rand, ticks, series int) *metric.Batch {
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

// points returns the values of a batch by series name and time.
func points(b *metric.Batch) map[string]int64 {
	found := make(map[string]int64)
	for _, c := range b.Series {
		for i, v := range c.Values {
			if !v.IsNull() {
				found[c.Name+"@"+strconv.FormatInt(b.Times[i], 10)] = v.Int64()
			}
		}
	}
	return found
}

// The halves of a part hold its points, each once, under the same time and
// series, and as many as the arithmetic says: down to single points.
func TestHalvesHoldThePointsOfTheWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		b := partsBatch(rng, 1+rng.IntN(7), 1+rng.IntN(9))
		items := b.Points()
		var check func(part uint16, want map[string]int64)
		check = func(part uint16, want map[string]int64) {
			got := carve(b, part)
			found := points(got)
			if int64(len(found)) != itemsOf(part, items) || len(found) != len(want) || got.Points() != int64(len(want)) {
				t.Fatalf("part %d of %d points: %d, want %d as the arithmetic says %d", part, items, len(found), len(want), itemsOf(part, items))
			}
			for name, v := range found {
				if want[name] != v {
					t.Fatalf("part %d: %s = %d, want %d", part, name, v, want[name])
				}
			}
			if got.ID() != (ID{Epoch: 1, Seq: 2, Part: part}).String() {
				t.Fatalf("part %d has the id %s", part, got.ID())
			}
			for _, c := range got.Series {
				if len(c.Values) != len(got.Times) {
					t.Fatalf("part %d: %d values for %d times", part, len(c.Values), len(got.Times))
				}
			}
			if len(found) > 1 {
				left := points(carve(b, 2*part))
				right := points(carve(b, 2*part+1))
				for name := range left {
					if _, both := right[name]; both {
						t.Fatalf("%s is in both halves of part %d", name, part)
					}
					right[name] = left[name]
				}
				if len(right) != len(want) {
					t.Fatalf("the halves of part %d hold %d points, want %d", part, len(right), len(want))
				}
				check(2*part, left)
				check(2*part+1, points(carve(b, 2*part+1)))
			}
		}
		if items > 0 {
			check(wholePart, points(b))
		}
	}
}

func TestPartsOfParts(t *testing.T) {
	for _, c := range []struct {
		id   ID
		part uint16
		want string
	}{
		{ID{Epoch: 1, Seq: 2}, 1, ""},
		{ID{Epoch: 1, Seq: 2}, 2, "/0"},
		{ID{Epoch: 1, Seq: 2}, 5, "/0/1"},
		{ID{Epoch: 1, Seq: 2, Part: 5}, 1, "/0/1"},
		{ID{Epoch: 1, Seq: 2, Part: 5}, 6, "/0/1/1/0"},
	} {
		if got := c.id.part(c.part).String(); got != metric.BatchID(1, 2)+c.want {
			t.Errorf("part %d of %v = %s, want %s", c.part, c.id, got, c.want)
		}
	}
}

func TestChosenSeries(t *testing.T) {
	b := partsBatch(rand.New(rand.NewPCG(2, 1)), 3, 5)
	got := choose(b, []int{4, 1, 4, 9, -1}, nil)
	if len(got.Series) != 2 || got.Series[0].Name != "s1" || got.Series[1].Name != "s4" {
		t.Errorf("chose %v, want s1 and s4", got.Series)
	}
}

// find plays a backend that refuses any part with a bad point in it, or with
// more points than limit, and returns how many requests it took to be done, and what was given up.
func find(items int64, bad map[int64]bool, limit int64) (requests int, dead, delivered int64) {
	p := newPieces(Entry{Items: items}, maxCuts)
	p.refuse(wholePart, "bad", items > limit) // the fresh batch
	requests = 1
	inARow := 0
	for len(p.todo) > 0 {
		if inARow == refusalsDoubt { // a live batch is accepted
			p.vouch()
			inARow = 0
		}
		if q, ok := p.bad(); ok {
			dead += itemsOf(q.part, items)
			p.settled(Mark{q.part, PartDead})
			continue
		}
		part, ok := p.next()
		if !ok {
			if _, ok := p.cut(); ok {
				continue
			}
			if p.stuck() {
				inARow = refusalsDoubt
				continue
			}
			p.again()
			continue
		}
		requests++
		from, to := rangeOf(part, items)
		if to-from > limit {
			p.refuse(part, "too large", true)
			continue
		}
		refused := false
		for i := from; i < to; i++ {
			refused = refused || bad[i]
		}
		if refused {
			p.refuse(part, "bad", false)
			inARow++
			continue
		}
		inARow = 0
		delivered += to - from
		p.settled(Mark{part, PartDelivered})
	}
	return requests, dead, delivered
}

// One bad point in 5,000, wherever it is, is found in 28 requests.
func TestOneBadPointIsFoundInFewRequests(t *testing.T) {
	const items = 5000
	for at := range int64(items) {
		requests, dead, delivered := find(items, map[int64]bool{at: true}, items)
		if requests > 28 || dead != 1 || delivered != items-1 {
			t.Fatalf("bad point %d: %d requests, %d dead, %d delivered; want at most 28, 1, %d", at, requests, dead, delivered, items-1)
		}
	}
}

func TestFewBadPointsCostOnlyThemselves(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	for n := 1; n <= 8; n++ {
		for range 50 {
			items := 100 + rng.Int64N(20000)
			bad := make(map[int64]bool)
			for len(bad) < n {
				bad[rng.Int64N(items)] = true
			}
			requests, dead, delivered := find(items, bad, items)
			if dead != int64(n) || delivered != items-dead {
				t.Errorf("%d of %d points bad: %d dead, %d delivered", n, items, dead, delivered)
			}
			if most := 2 + n*(2*14+1); requests > most {
				t.Errorf("%d of %d points bad: %d requests, want at most %d", n, items, requests, most)
			}
		}
	}
}

// A batch that is bad all over does not cost a request a point: its search ends.
func TestABatchOfBadPointsEndsItsSearch(t *testing.T) {
	for _, every := range []int64{1, 2, 3, 7} {
		bad := make(map[int64]bool)
		for i := int64(0); i < 20000; i += every {
			bad[i] = true
		}
		requests, dead, delivered := find(20000, bad, 20000)
		most := 3 * exhaustedAfter
		if every == 1 { // no part is accepted
			most = 3 * hopelessAfter
		}
		if requests > most || dead+delivered != 20000 {
			t.Errorf("every %dth point bad: %d requests, %d dead + %d delivered of 20000", every, requests, dead, delivered)
		}
	}
}

// A part that was only too large is halved until it fits, however bad the rest
// of its batch is: nobody has refused its points.
func TestATooLargePartIsNotGivenUpWithTheRest(t *testing.T) {
	bad := make(map[int64]bool)
	for i := range int64(32) {
		bad[i] = true
	}
	if _, dead, delivered := find(64, bad, 8); dead != 32 || delivered != 32 {
		t.Errorf("of 32 bad and 32 good points %d are dead and %d delivered", dead, delivered)
	}
}

// What the marks say is not sent again, and what they say to be cut is not sent
// as a whole.
func TestMarksLeaveTheRest(t *testing.T) {
	e := Entry{Items: 100, Marks: []Mark{{1, PartCut}, {5, PartDelivered}, {3, PartCut}, {9, PartDead}}}
	var got []uint16
	for _, q := range newPieces(e, maxCuts).todo {
		got = append(got, q.part)
	}
	if want := []uint16{8, 6, 7}; !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	if left := (&held{Entry: e}).left(); left != 100-25-12 {
		t.Errorf("%d points are left, want 63", left)
	}
}
