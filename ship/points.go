package ship

import (
	"encoding/binary"
	"hash/fnv"
	"math/bits"
	"slices"
)

// points is a set of the points of a batch, by the numbers that its grid gives
// them. Sets of one batch have the same length.
type points []uint64

func newPoints(n int) points { return make(points, (n+63)/64) }

func (p points) has(i int) bool { return p[i/64]>>(i%64)&1 != 0 }
func (p points) add(i int)      { p[i/64] |= 1 << (i % 64) }

// count returns how many points are in the set.
func (p points) count() int64 {
	n := 0
	for _, word := range p {
		n += bits.OnesCount64(word)
	}
	return int64(n)
}

func (p points) empty() bool {
	return !slices.ContainsFunc(p, func(word uint64) bool { return word != 0 })
}

func (p points) clone() points { return slices.Clone(p) }

// with adds q to p, and returns p.
func (p points) with(q points) points {
	for i := range p {
		p[i] |= q[i]
	}
	return p
}

// without takes q out of p, and returns p.
func (p points) without(q points) points {
	for i := range p {
		p[i] &^= q[i]
	}
	return p
}

// and returns the points that are in both sets.
func (p points) and(q points) points {
	out := p.clone()
	for i := range out {
		out[i] &= q[i]
	}
	return out
}

// covers reports whether every point of q is in p.
func (p points) covers(q points) bool {
	for i := range p {
		if q[i]&^p[i] != 0 {
			return false
		}
	}
	return true
}

// all calls do with the number of each point, in order.
func (p points) all(do func(i int)) {
	for at, word := range p {
		for ; word != 0; word &= word - 1 {
			do(at*64 + bits.TrailingZeros64(word))
		}
	}
}

// hash32 is the FNV-1a hash of the numbers in the set.
func (p points) hash32() uint32 {
	h := fnv.New32a()
	var number [4]byte
	p.all(func(i int) {
		binary.LittleEndian.PutUint32(number[:], uint32(i))
		h.Write(number[:])
	})
	return h.Sum32()
}

// appendRuns appends the set as the lengths of its runs, absent and present by
// turns, and how many there are.
func (p points) appendRuns(dst []byte, n int) []byte {
	var runs []uint64
	present, from := false, 0
	for i := range n {
		if p.has(i) != present {
			runs = append(runs, uint64(i-from))
			present, from = !present, i
		}
	}
	runs = append(runs, uint64(n-from))
	dst = binary.AppendUvarint(dst, uint64(len(runs)))
	for _, run := range runs {
		dst = binary.AppendUvarint(dst, run)
	}
	return dst
}

// readRuns reads what appendRuns wrote for a batch of n points, and returns
// what follows it. ok is false for anything else.
func readRuns(b []byte, n int) (p points, rest []byte, ok bool) {
	count, size := binary.Uvarint(b)
	if size <= 0 || count > uint64(n)+2 {
		return nil, nil, false
	}
	b, p = b[size:], newPoints(n)
	at := uint64(0)
	for i := range count {
		run, size := binary.Uvarint(b)
		if size <= 0 || run > uint64(n)-at {
			return nil, nil, false
		}
		for ; run > 0; run-- {
			if i%2 == 1 {
				p.add(int(at))
			}
			at++
		}
		b = b[size:]
	}
	return p, b, at == uint64(n)
}
