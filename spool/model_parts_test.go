package spool

import (
	"errors"
	"fmt"
	"slices"

	"pgregory.net/rapid"
)

// What the model knows of parts is the fate of each single point, numbered from
// 0: the halves of a part are the halves of a slice.

// pointsIn returns a part of what is known of points.
func pointsIn[T any](part uint16, fates []T) []T {
	if part <= 1 {
		return fates
	}
	around := pointsIn(part/2, fates)
	middle := (len(around) + 1) / 2
	if part%2 == 0 {
		return around[:middle]
	}
	return around[middle:]
}

// settle gives those points of a part a fate that have none.
func settle(fates []PartFate, m Mark) {
	if m.Fate == PartCut {
		return
	}
	for i, f := range pointsIn(m.Part, fates) {
		if f == 0 {
			pointsIn(m.Part, fates)[i] = m.Fate
		}
	}
}

func fatesOf(r Record) []PartFate {
	fates := make([]PartFate, r.Items)
	for _, m := range r.Marks {
		settle(fates, m)
	}
	return fates
}

// fatesAt is what the spool knows of an entry.
func (m *model) fatesAt(seg *segment, i int) []PartFate {
	return fatesOf(Record{Items: int64(seg.entries[i].items), Marks: seg.marks(i)})
}

func drawMark(t *rapid.T) Mark {
	return Mark{
		Part: rapid.Uint16Range(0, 20).Draw(t, "part"),
		Fate: rapid.SampledFrom([]PartFate{PartCut, PartDelivered, PartDelivered}).Draw(t, "fate"),
	}
}

// drawMarks draws those of a record that was in memory for a while.
func drawMarks(t *rapid.T) (marks []Mark) {
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 3}).Draw(t, "marks") {
		m := drawMark(t)
		m.Fate = rapid.SampledFrom([]PartFate{m.Fate, m.Fate, PartDead}).Draw(t, "dead")
		marks = append(marks, m)
	}
	return marks
}

// each calls do for each entry that waits.
func (m *model) each(do func(seg *segment, i int, id ID)) {
	for _, seg := range m.s.segs {
		for i := range seg.entries {
			if seg.entries[i].fate == pending {
				do(seg, i, seg.entries[i].id())
			}
		}
	}
}

// left is how many points of a record wait.
func (m *model) left(id ID) (n int64) {
	for _, f := range m.fates[id] {
		if f == 0 {
			n++
		}
	}
	return n
}

// finished counts the records that wait for an Ack alone.
func (m *model) finished() (n int64) {
	m.each(func(seg *segment, i int, _ ID) {
		if seg.finished(i) {
			n++
		}
	})
	return n
}

func (m *model) mark(t *rapid.T) {
	if id, ok := m.draw(t); ok {
		mark := drawMark(t)
		if m.s.Mark(id, mark) {
			settle(m.fates[id], mark)
		}
	}
}

// setAsidePart makes a letter of a part, named so that each has one payload.
func (m *model) setAsidePart(t *rapid.T) {
	id, ok := m.draw(t)
	if !ok {
		return
	}
	p := Piece{Part: rapid.Uint16Range(0, 7).Draw(t, "part")}
	name, err := id.part(p.Part)
	if err != nil {
		return
	}
	if name == id {
		p.Payload = m.offered[id].Payload
	} else {
		p.Payload = fmt.Append(nil, name)
		m.offered[name] = Record{ID: name, Items: itemsOf(p.Part, m.offered[id].Items), Payload: p.Payload}
	}
	before := m.s.Stats().Dead
	switch err := m.s.SetAsidePart(id, p, "refused"); {
	case err == nil && m.s.Stats().Dead > before:
		settle(m.fates[id], Mark{p.Part, PartDead})
		if name == id {
			m.back[id] = m.waiting[id]
			delete(m.waiting, id)
		}
	case err != nil && (!errors.Is(err, ErrUnavailable) || m.s.Stats().Cause == nil):
		t.Fatal(err)
	}
}

// checkParts compares what is left of each record, unless it is there twice: of
// these nobody knows which one a mark meant.
func (m *model) checkParts(t *rapid.T) {
	n := map[ID]int{}
	m.each(func(_ *segment, _ int, id ID) { n[id]++ })
	m.each(func(seg *segment, i int, id ID) {
		if got, want := seg.left(i), m.left(id); n[id] == 1 && got != want {
			t.Fatalf("%d points of record %v are left, want %d: %v", got, id, want, seg.marks(i))
		}
	})
}

// remembers compares what the spool knows of parts after it was opened with
// what it knew before: all, or less if the disk had faults, but nothing else.
func (m *model) remembers(t *rapid.T, seg *segment, i int, id ID) {
	got, was := m.fatesAt(seg, i), m.fates[id]
	for k := range got {
		if got[k] != was[k] && (got[k] != 0 || !m.faulted) {
			t.Fatalf("record %v: fates of points were %v, and are %v", id, was, got)
		}
	}
	m.fates[id] = slices.Clone(got)
}
