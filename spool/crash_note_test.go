package spool

import (
	"fmt"
	"slices"
)

// noted is what was said in notes on a record.
type noted struct {
	note string          // the last one
	said map[string]bool // every one ever
	// unsure says that the process died in the midst of the last one.
	unsure bool
}

func (n *noted) say(note []byte) {
	if n.said == nil {
		n.said = map[string]bool{"": true}
	}
	n.note = string(note)
	n.said[n.note] = true
}

// someNote draws a note; most records have none.
func (p *process) someNote() []byte {
	if p.rng.IntN(3) > 0 {
		return nil
	}
	return slices.Repeat([]byte{byte(p.rng.Int())}, p.rng.IntN(60))
}

// note replaces the note of a record that waits.
func (p *process) note() effect {
	of := p.pick()
	if of == nil {
		return effect{}
	}
	note := p.someNote()
	if p.s.Note(of.ID, note) {
		of.say(note)
		of.unsure = p.disk.dead // it may have died before the note was written
	}
	return effect{}
}

// remembers checks that a spool that lives knows the last notes. Of a record
// that had several entries until now, the one that is left may be that which
// was not meant.
func (o *oracle) remembers(s *Spool, left map[ID]int) error {
	return o.each(s, left, func(of *offer, note string) error {
		if of.entries > 1 {
			of.say([]byte(note))
		}
		if note != of.note {
			return fmt.Errorf("record %v has note %x, want %x", of.ID, note, of.note)
		}
		return nil
	})
}

// reopens checks that a kill takes no note, on a disk that took it, that no crash
// makes one up, and makes what is there now what is to be known.
func (o *oracle) reopens(s *Spool, found map[ID]int, how crash) error {
	return o.each(s, found, func(of *offer, note string) error {
		exact := !how.power && how.marked && !of.unsure && !of.replayed && of.entries == 1
		if of.unsure = false; exact && note != of.note || note != "" && !of.said[note] {
			return fmt.Errorf("record %v has note %x after a crash; %x was the last", of.ID, note, of.note)
		}
		of.say([]byte(note))
		return nil
	})
}

// each calls do for the notes of records that have one entry alone in n.
func (o *oracle) each(s *Spool, n map[ID]int, do func(of *offer, note string) error) error {
	for _, seg := range s.segs {
		for i := range seg.entries {
			e := &seg.entries[i]
			if e.fate != pending || n[e.id()] != 1 {
				continue
			}
			if err := do(o.offered[e.id()], string(seg.notes[e.off])); err != nil {
				return err
			}
		}
	}
	return nil
}
