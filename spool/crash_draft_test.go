package spool

import (
	"errors"
	"fmt"
	"math"
)

// draft adds a record to the draft, or begins one. Its larger record is the next
// that is appended: it has a higher seq.
func (p *process) draft() effect {
	if p.drafts > 0 && p.o.drafted[0].free {
		return p.discard() // it is void, and another one begins
	}
	if p.drafts == 0 {
		p.endDraft()
	}
	p.seq++
	of := &offer{Record: p.record(), before: math.MaxUint64, ofDraft: true}
	of.Note = nil
	p.o.offered[of.ID] = of
	err := p.s.Draft(of.Record, p.drafts)
	of.unsure = p.disk.dead
	if err != nil {
		p.log("draft %d, record %d: %v", p.drafts, of.Seq, err)
		of.free = true // it may be there
		p.o.extra += of.Items
	}
	switch {
	case errors.Is(err, ErrDraftLost):
		p.endDraft()
	case err == nil:
		p.drafts++
		of.durable = p.cfg.Fsync == FsyncAlways
		p.o.drafted = append(p.o.drafted, of)
	default:
		p.o.failed = append(p.o.failed, of)
	}
	return effect{}
}

// discard ends the draft.
func (p *process) discard() effect {
	there := p.s.draft != nil
	err := p.s.Discard()
	p.log("discard: %v", err)
	p.endDraft()
	return effect{flushed: there && err == nil}
}

// endDraft takes back what the draft promises. A crash may bring its records
// back, or not.
func (p *process) endDraft() {
	for _, of := range p.o.drafted {
		of.free, of.before = true, p.s.next
		p.o.extra += of.Items
	}
	p.o.drafted, p.o.failed, p.drafts = nil, nil, 0
}

// supersede is called when a record was appended: the draft is void if it is
// there.
func (o *oracle) supersede() {
	for _, of := range o.drafted {
		of.free = true
	}
}

// adopt has what a crash left of the draft wait for the next process.
func (o *oracle) adopt() {
	o.halves = nil
	for _, of := range append(o.drafted, o.failed...) {
		of.entries = 1
		o.waiting[of.ID] = of
		o.extra += of.Items
		o.halves = append(o.halves, of)
	}
	o.drafted, o.failed = nil, nil
}

// void checks that no record of the draft comes back beside one that is larger.
func (o *oracle) void(drained map[ID]int) error {
	if len(o.halves) == 0 {
		return nil
	}
	first := o.halves[0].ID
	var whole ID
	for id, of := range o.offered {
		if drained[id] > 0 && id.Epoch == first.Epoch && id.Seq > first.Seq && !of.ofDraft {
			whole = id
		}
	}
	for _, of := range o.halves {
		if whole.Seq > 0 && drained[of.ID] > 0 {
			return fmt.Errorf("record %v of a draft comes back, and %v too", of.ID, whole)
		}
		of.before = 0
	}
	return nil
}
