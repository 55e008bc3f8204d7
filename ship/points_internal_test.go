package ship

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomPoints returns a random set of n points, from sparse to dense.
func randomPoints(rng *rand.Rand, n int) points {
	p, share := newPoints(n), rng.Float64()
	for i := range n {
		if rng.Float64() < share {
			p.add(i)
		}
	}
	return p
}

func numbersOf(p points) (numbers []int) {
	p.all(func(i int) { numbers = append(numbers, i) })
	return numbers
}

// The operations on sets say the same as those on lists of numbers.
func TestPointsAreSets(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		n := rng.IntN(200)
		a, b := randomPoints(rng, n), randomPoints(rng, n)
		var both, either, only []int
		for i := range n {
			if a.has(i) && b.has(i) {
				both = append(both, i)
			}
			if a.has(i) || b.has(i) {
				either = append(either, i)
			}
			if a.has(i) && !b.has(i) {
				only = append(only, i)
			}
		}
		before, other := numbersOf(a), numbersOf(b)
		for name, c := range map[string]struct {
			got  points
			want []int
		}{
			"and":     {a.and(b), both},
			"with":    {a.clone().with(b), either},
			"without": {a.clone().without(b), only},
		} {
			if got := numbersOf(c.got); !slices.Equal(got, c.want) {
				t.Fatalf("%v %s %v = %v, want %v", before, name, other, got, c.want)
			}
			if c.got.count() != int64(len(c.want)) || c.got.empty() != (len(c.want) == 0) {
				t.Fatalf("%s: count %d, empty %v of %v", name, c.got.count(), c.got.empty(), c.want)
			}
		}
		if got, want := a.covers(b), len(both) == len(other); got != want {
			t.Fatalf("%v covers %v = %v, want %v", before, other, got, want)
		}
		if !slices.Equal(numbersOf(a), before) || !slices.Equal(numbersOf(b), other) {
			t.Fatal("a set changed that was only read")
		}
	}
}

// What appendRuns writes readRuns reads, and leaves what follows it.
func TestRunsReadBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for range 500 {
		n := rng.IntN(300)
		p, tail := randomPoints(rng, n), []byte("tail")[:rng.IntN(5)]
		got, rest, ok := readRuns(append(p.appendRuns(nil, n), tail...), n)
		if !ok || !slices.Equal(got, p) || !bytes.Equal(rest, tail) {
			t.Fatalf("%v of %d read back as %v, %q, %v", numbersOf(p), n, numbersOf(got), rest, ok)
		}
	}
}

// A set of another batch is not taken for one of this: the runs must add up.
func TestRunsOfAnotherBatchAreRefused(t *testing.T) {
	p := newPoints(10)
	p.add(3)
	runs := p.appendRuns(nil, 10)
	for _, n := range []int{0, 4, 9, 11, 64} {
		if _, _, ok := readRuns(runs, n); ok {
			t.Errorf("runs over 10 points are taken for %d", n)
		}
	}
	for cut := range runs {
		if _, _, ok := readRuns(runs[:cut], 10); ok {
			t.Errorf("runs that end after %d of %d bytes are taken for whole", cut, len(runs))
		}
	}
}

// Whatever the bytes, reading neither panics nor makes more of them than a set
// of the batch's size, and what it accepts it can write again.
func FuzzReadRuns(f *testing.F) {
	f.Add([]byte{1, 10}, 10)
	f.Add([]byte{3, 0, 10, 0}, 10)
	f.Add(binary.AppendUvarint(nil, 1<<63), 10)
	f.Add(append([]byte{2}, binary.AppendUvarint(nil, 1<<63)...), 10)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 0 || n > 1<<20 {
			return
		}
		p, rest, ok := readRuns(b, n)
		if !ok {
			return
		}
		if len(p) != (n+63)/64 || p.count() > int64(n) || len(rest) > len(b) {
			t.Fatalf("%d words, %d points of %d", len(p), p.count(), n)
		}
		p.all(func(i int) {
			if i >= n {
				t.Fatalf("point %d of %d", i, n)
			}
		})
		if again, _, ok := readRuns(p.appendRuns(nil, n), n); !ok || !slices.Equal(again, p) {
			t.Fatalf("%v does not survive being written", numbersOf(p))
		}
	})
}

// A note is read as it was written; of one that is damaged at its end what
// comes before is kept.
func TestNotesReadBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	for range 200 {
		d := &delivery{n: 1 + rng.IntN(200)}
		for range 1 + rng.IntN(4) {
			d.portions = append(d.portions, portion{points: randomPoints(rng, d.n), parts: rng.IntN(2) == 0})
		}
		split := rng.IntN(len(d.portions))
		d.portions, d.noted = d.portions[:split], d.portions[split:]
		want := append(slices.Clone(d.portions), d.noted...)
		note := d.note()
		got := readNote(note, d.n)
		same := func(a, b portion) bool { return a.parts == b.parts && slices.Equal(a.points, b.points) }
		if !slices.EqualFunc(got, want, same) {
			t.Fatalf("read %v, want %v", got, want)
		}
		cut := readNote(note[:rng.IntN(len(note))], d.n)
		if len(cut) > len(want) || !slices.EqualFunc(cut, want[:len(cut)], same) {
			t.Fatalf("of a note that is cut off %v was read, of %v", cut, want)
		}
	}
}

func FuzzReadNote(f *testing.F) {
	p := newPoints(10)
	p.add(3)
	d := &delivery{n: 10, portions: []portion{{points: p, parts: true}}}
	f.Add(d.note(), 10)
	f.Add([]byte{noteVersion}, 1)
	f.Add([]byte{noteVersion + 1, 0, 1, 10}, 10)
	f.Add(append([]byte{noteVersion, 0}, binary.AppendUvarint(nil, 1<<62)...), 10)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 0 || n > 1<<20 {
			return
		}
		bytesOf := 0
		for _, p := range readNote(b, n) {
			bytesOf += 8 * len(p.points)
			if len(p.points) != (n+63)/64 || p.points.count() > int64(n) {
				t.Fatalf("a portion of %d words for %d points", len(p.points), n)
			}
		}
		// A portion takes three bytes at least: a flag, a count, a run.
		if most := (len(b)/3 + 1) * 8 * ((n + 63) / 64); bytesOf > most {
			t.Fatalf("%d bytes of portions out of a note of %d", bytesOf, len(b))
		}
	})
}
