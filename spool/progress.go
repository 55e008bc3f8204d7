package spool

import (
	"cmp"
	"slices"
)

// partMark is a mark of the record at off, and the items that it settled: those
// of its part that no mark before it had.
type partMark struct {
	off, items uint32
	Mark
}

// progress is what became of parts of a record, in the order in which that was
// said. An item counts with the first mark that covers it, so that marks which
// contradict one another count none twice.
type progress []partMark

// left is how many of a part's items nothing is known of; n is how many the
// record has.
func (p progress) left(part uint16, n int64) int64 {
	left := itemsOf(part, n)
	for _, m := range p {
		switch {
		case within(m.Part, part):
			left -= int64(m.items)
		case m.Fate != PartCut && within(part, m.Part):
			return 0
		}
	}
	return left
}

// settles is how many of a record's n items a mark settles that comes next, and
// whether it says anything new at all.
func (p progress) settles(m Mark, n int64) (items int64, news bool) {
	left := p.left(m.Part, n)
	if left == 0 || m.Fate < PartCut || m.Fate > PartDead {
		return 0, false
	}
	if m.Fate == PartCut {
		return 0, !slices.ContainsFunc(p, func(known partMark) bool { return known.Mark == m })
	}
	return left, true
}

// count adds what is settled to t and returns how many items that is.
func (p progress) count(t *tally) (items int64) {
	for _, m := range p {
		items += m.count(t)
	}
	return items
}

func (m partMark) count(t *tally) (items int64) {
	switch m.Fate {
	case PartDelivered:
		t.delivered += int64(m.items)
	case PartDead:
		t.dead += int64(m.items)
	case PartCut:
	}
	return int64(m.items)
}

// progress returns the marks of the record at off, and where in seg.parts they
// end.
func (seg *segment) progress(off uint32) (p progress, end int) {
	from, _ := slices.BinarySearchFunc(seg.parts, off, func(m partMark, off uint32) int { return cmp.Compare(m.off, off) })
	end = from
	for end < len(seg.parts) && seg.parts[end].off == off {
		end++
	}
	return seg.parts[from:end], end
}

// marks returns a copy of what is known of entry i, for callers to keep.
func (seg *segment) marks(i int) []Mark {
	var marks []Mark
	p, _ := seg.progress(seg.entries[i].off)
	for _, m := range p {
		marks = append(marks, m.Mark)
	}
	return marks
}

// left is how many points of entry i wait.
func (seg *segment) left(i int) int64 { return seg.leftOf(i, 1) }

// leftOf is how many of a part of it do.
func (seg *segment) leftOf(i int, part uint16) int64 {
	e := &seg.entries[i]
	if e.fate != pending {
		return 0
	}
	p, _ := seg.progress(e.off)
	return p.left(part, int64(e.items))
}

// finished says that every part of entry i is settled.
func (seg *segment) finished(i int) bool { return seg.entries[i].items > 0 && seg.left(i) == 0 }

// markPart notes what became of a part of entry i, which waits, and reports
// whether that is news.
func (seg *segment) markPart(i int, m Mark) bool {
	e := &seg.entries[i]
	p, end := seg.progress(e.off)
	items, news := p.settles(m, int64(e.items))
	if !news {
		return false
	}
	if len(seg.parts) == cap(seg.parts) {
		seg.parts = append(make([]partMark, 0, max(2*len(seg.parts)+1, len(seg.entries))), seg.parts...)
	}
	mark := partMark{e.off, uint32(items), m}
	seg.parts = append(seg.parts, mark)
	copy(seg.parts[end+1:], seg.parts[end:])
	seg.parts[end] = mark
	seg.points -= mark.count(&seg.tally)
	return true
}

// tallyOf is entry i's share of the segment's tally.
func (seg *segment) tallyOf(i int) tally {
	e := &seg.entries[i]
	t := tally{appended: int64(e.items)}
	p, _ := seg.progress(e.off)
	settled := p.count(&t)
	t.settle(e.fate, t.appended-settled)
	return t
}
