package spool

import (
	"errors"
	"fmt"
	"slices"
)

// partly is what became of single points of a record, numbered from 0. Both
// are nil as long as nothing was said of any.
type partly struct {
	// fates are those that a record with one entry has in a spool that lives.
	fates []PartFate
	// ever has a bit for each fate that a point was ever given.
	ever []uint8
	// unsure says that the process died in the midst of the last mark.
	unsure bool
}

// take notes marks and returns what they settle.
func (of *offer) take(marks []Mark) (did effect) {
	for _, m := range marks {
		if of.fates == nil {
			of.fates = make([]PartFate, of.Items)
		}
		if of.ever == nil {
			of.ever = make([]uint8, of.Items)
		}
		fates, ever := pointsIn(m.Part, of.fates), pointsIn(m.Part, of.ever)
		for i := range fates {
			if m.Fate == PartCut {
				continue
			}
			if ever[i] |= 1 << m.Fate; fates[i] == 0 {
				fates[i] = m.Fate
				if m.Fate == PartDead {
					did.dead++
				} else {
					did.delivered++
				}
			}
		}
	}
	return did
}

// left is how many points of a part wait.
func (of *offer) left(part uint16) (n int64) {
	if of.fates == nil {
		return itemsOf(part, of.Items)
	}
	for _, f := range pointsIn(part, of.fates) {
		if f == 0 {
			n++
		}
	}
	return n
}

// expect is how many points of a part an operation settles: got, if the record
// has several entries and nobody knows which one it meant.
func (of *offer) expect(part uint16, got int64) int64 {
	if of.entries == 1 {
		return of.left(part)
	}
	return got
}

// mayBeDone says that every point may be known to be settled.
func (of *offer) mayBeDone() bool { return of.ever != nil && !slices.Contains(of.ever, 0) }

// allows checks that an entry knows nothing of its points that was never said.
func (of *offer) allows(seg *segment, i int) error {
	marks := seg.marks(i)
	if marks == nil {
		return nil
	}
	for k, f := range fatesOf(Record{Items: of.Items, Marks: marks}) {
		if f != 0 && (of.ever == nil || of.ever[k]&(1<<f) == 0) {
			return fmt.Errorf("point %d of record %v is %s, which nobody said: %v", k, of.ID, f, marks)
		}
	}
	return nil
}

// remembers checks that a spool that lives knows all that was said. Of a record
// that had several entries until now, the one that is left may be that which
// was not meant.
func (o *oracle) remembers(s *Spool, left map[ID]int) error {
	return o.each(s, left, func(of *offer, seg *segment, i int) error {
		if of.entries > 1 {
			of.adopt(seg, i)
		}
		if got := seg.left(i); got != of.left(1) {
			return fmt.Errorf("%d points of record %v are left, want %d", got, of.ID, of.left(1))
		}
		return nil
	})
}

// reopens checks that a kill takes nothing of what was said of parts, on a disk
// that took it, and makes what is known now what is to be known.
func (o *oracle) reopens(s *Spool, found map[ID]int, how crash) error {
	return o.each(s, found, func(of *offer, seg *segment, i int) error {
		known := of.fates
		exact := !how.power && how.marked && !of.unsure && !of.replayed && of.entries <= 1 && known != nil
		of.adopt(seg, i)
		if of.unsure = false; exact && !slices.Equal(of.fates, known) {
			return fmt.Errorf("record %v has parts %v after a kill; known were %v", of.ID, seg.marks(i), known)
		}
		return nil
	})
}

// adopt makes what an entry knows of its points what is to be known.
func (of *offer) adopt(seg *segment, i int) {
	if of.fates == nil && seg.marks(i) == nil {
		return
	}
	of.fates = fatesOf(Record{Items: of.Items, Marks: seg.marks(i)})
	if of.ever == nil {
		of.ever = make([]uint8, of.Items)
	}
}

// each calls do for the entries of records that have one alone in n.
func (o *oracle) each(s *Spool, n map[ID]int, do func(of *offer, seg *segment, i int) error) error {
	for _, seg := range s.segs {
		for i := range seg.entries {
			e := &seg.entries[i]
			if e.fate != pending || n[e.id()] != 1 {
				continue
			}
			if err := do(o.offered[e.id()], seg, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// vague is how many points may count under a fate that is not theirs: after a
// power cut the entry of a part may be missing where a later one for the whole
// record is not; a record that was refused may be there, with its parts; and
// one that was being written again for a failed fsync may be there twice.
func (o *oracle) vague(how crash) (n int64) {
	for _, of := range o.offered {
		times := int64(0)
		if how.power || len(of.Marks) > 0 && of.free {
			times++
		}
		if how.syncs > 0 {
			times++
		}
		for _, f := range of.ever {
			if f != 0 {
				n += times
			}
		}
	}
	return n
}

func (p *process) marks() (marks []Mark) {
	for range []int{0, 0, 0, 2}[p.rng.IntN(4)] {
		marks = append(marks, p.drawMark())
	}
	return marks
}

func (p *process) drawMark() Mark {
	return Mark{1 + uint16(p.rng.IntN(9)), []PartFate{PartCut, PartDelivered, PartDelivered}[p.rng.IntN(3)]}
}

func (p *process) mark() effect {
	of := p.pick()
	if of == nil {
		return effect{}
	}
	m := p.drawMark()
	before := p.s.Stats().Delivered
	if !p.s.Mark(of.ID, m) {
		return effect{}
	}
	of.unsure = p.disk.dead // it may have died before the mark was written
	got := p.s.Stats().Delivered - before
	did := of.take([]Mark{m})
	if of.entries != 1 {
		did.delivered = got
	}
	return did
}

// setAsidePart makes a letter of a part of a record that waits: the letter of a
// record of its own.
func (p *process) setAsidePart() effect {
	of := p.pick()
	if of == nil {
		return effect{}
	}
	piece := Piece{Part: 2 + uint16(p.rng.IntN(6))}
	name, err := of.ID.part(piece.Part)
	if err != nil {
		return effect{}
	}
	piece.Payload = fmt.Append(nil, "part ", name)
	letter := p.o.offered[name]
	if letter == nil {
		letter = &offer{Record: Record{ID: name, Items: itemsOf(piece.Part, of.Items), TimeMS: of.TimeMS, Payload: piece.Payload}}
		p.o.offered[name] = letter
	}
	before, had := p.s.Stats().Dead, letter.letter
	letter.letter = false // until it is written again
	p.burying = &burial{of, piece.Part, letter, slices.Clone(of.fates)}
	err = p.s.SetAsidePart(of.ID, piece, "refused")
	if !p.disk.dead {
		p.burying = nil
	}
	did := effect{dead: p.s.Stats().Dead - before}
	if letter.letter = err == nil && (had || did.dead > 0); did.dead > 0 {
		of.unsure = p.disk.dead
		if said := of.take([]Mark{{piece.Part, PartDead}}); of.entries == 1 {
			did.dead = said.dead
		}
	}
	p.trimmed()
	return did
}

// burial is a SetAsidePart during which a process died.
type burial struct {
	of     *offer
	part   uint16
	letter *offer
	fates  []PartFate // before it
}

// judgeBurial checks that a part is not dead before its letter is durable.
func (p *process) judgeBurial(disk *memFS) error {
	b := p.burying
	p.burying = nil
	if b == nil || b.of.entries != 1 || p.how.power && p.cfg.Fsync == FsyncNever {
		return nil
	}
	for i, f := range pointsIn(b.part, b.of.fates) {
		if f != PartDead || b.fates != nil && pointsIn(b.part, b.fates)[i] != 0 {
			continue
		}
		r, _, err := readLetter(disk, deadDir+"/"+letterName(b.letter.TimeMS, b.letter.ID))
		if err = errors.Join(err, sameRecord(r, b.letter.Record)); err != nil {
			return fmt.Errorf("part %d of record %v is dead, and its letter: %w", b.part, b.of.ID, err)
		}
	}
	return nil
}
