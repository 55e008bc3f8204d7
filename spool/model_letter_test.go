package spool

import (
	"os"
	"time"

	"pgregory.net/rapid"
)

// ack settles a record with some of its points dead, and reports how many.
func (m *model) ack(t *rapid.T, id ID) (dead int64) {
	dead = rapid.Int64Range(0, m.waiting[id].Items).Draw(t, "dead")
	if !m.s.Ack(id, dead) {
		return 0
	}
	m.dead += dead
	return dead
}

func drawNote(t *rapid.T) []byte {
	return make([]byte, rapid.SampledFrom([]int{0, 0, 0, 1, 20, 300}).Draw(t, "note"))
}

func (m *model) note(t *rapid.T) {
	if id, ok := m.draw(t); ok {
		if note := drawNote(t); m.s.Note(id, note) {
			m.notes[id] = string(note)
		}
	}
}

func (m *model) refuse(t *rapid.T) {
	n := rapid.Int64Range(1, 9).Draw(t, "points")
	m.s.Refuse(n)
	m.dead += n
}

// setAside settles a record and makes a letter of its dead points.
func (m *model) setAside(t *rapid.T) {
	id, ok := m.draw(t)
	if !ok {
		return
	}
	dead := m.ack(t, id)
	m.back[id] = m.waiting[id]
	delete(m.waiting, id)
	if dead > 0 {
		m.seq++
		r := rec(m.seq, 100)
		r.Epoch, r.Items = 8, dead
		m.offered[r.ID] = r
		m.s.SetAside(Letter{Of: id, Reason: "refused", Record: r})
	}
}

// replay has all letters appended again; each must be what was set aside, and
// of a record that does not wait.
func (m *model) replay(t *rapid.T) {
	m.noFault(t)
	must(t, m.s.Sync(background))
	if n := len(m.s.gather); n > 0 {
		t.Fatalf("%d letters are not written", n)
	}
	names, _ := m.disk.List(deadDir)
	for _, path := range letterPaths(names) {
		damaged, err := readLetter(m.disk, path, func(e letterEntry) error {
			if m.waits(e.Of) && !m.faulted && !m.brought[e.Of] {
				t.Fatalf("letter %v is of %v, which waits", e.ID, e.Of)
			}
			m.replayed[e.ID] = true
			delete(m.notes, e.ID)
			if e.Reason != "refused" {
				t.Fatalf("letter %s: %q", path, e.Reason)
			}
			return sameRecord(e.Record, m.offered[e.ID])
		})
		if m.faulted && damaged {
			// Neither written nor removed, on a disk that did neither.
			must(t, os.Remove(m.disk.path(path)))
			continue
		}
		must(t, err)
		must(t, os.Rename(m.disk.path(path), m.disk.path(stem(path)+replaySuffix)))
	}
	type place struct{ segment, offset uint64 }
	at := func(seg *segment, i int) place { return place{seg.number, uint64(seg.entries[i].off)} }
	waited := map[place]bool{}
	m.each(func(seg *segment, i int, _ ID) { waited[at(seg, i)] = true })
	m.s.survey(&m.s.dead)
	m.s.replayAt = time.Time{}
	m.s.tick()
	m.each(func(seg *segment, i int, id ID) {
		if !waited[at(seg, i)] {
			m.waiting[id] = m.offered[id]
		}
	})
	if left, _ := m.disk.List(deadDir); len(left) != 0 {
		t.Fatalf("%v are left in %s", left, deadDir)
	}
}

func (m *model) waits(id ID) (waits bool) {
	m.each(func(_ *segment, _ int, other ID) { waits = waits || other == id })
	return waits
}
