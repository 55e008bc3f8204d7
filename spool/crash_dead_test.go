package spool

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// setAside makes a dead letter of a record that waits.
func (p *process) setAside() effect {
	of := p.pick()
	if of == nil {
		return effect{}
	}
	before := p.s.Stats().Dead
	err := p.s.SetAside(of.ID, "refused")
	did := effect{dead: p.s.Stats().Dead - before}
	if err == nil && did.dead > 0 {
		of.letter = true
	}
	p.trimmed()
	return did
}

// trimmed ends the promise of letters that the cap took.
func (p *process) trimmed() {
	for _, of := range p.o.offered {
		if of.letter {
			dead, _ := p.letters(of)
			of.letter = dead != nil
		}
	}
}

// replay marks letters of records that do not expire, and has the spool look.
func (p *process) replay() effect {
	names := slices.Sorted(maps.Keys(p.disk.names))
	for _, name := range names {
		if !strings.HasSuffix(name, letterSuffix) || p.rng.IntN(2) == 0 {
			continue
		}
		for _, of := range p.o.offered {
			if of.TimeMS > time.Now().UnixMilli() && path.Base(name) == letterName(of.TimeMS, of.ID) {
				p.disk.change(p.disk.names[name], name, strings.TrimSuffix(name, letterSuffix)+replaySuffix)
				of.replayed, of.twice = true, true
			}
		}
	}
	time.Sleep(replayEvery)
	return p.tick()
}

// letters returns a record's letter, and the one to be replayed. There are both
// if it was set aside again before the latter could be removed.
func (p *process) letters(of *offer) (dead, again *inode) {
	name := deadDir + "/" + letterName(of.TimeMS, of.ID)
	return p.disk.names[name], p.disk.names[strings.TrimSuffix(name, letterSuffix)+replaySuffix]
}

// replays takes the records that came back from their letters as appended
// anew, and returns their points. Of one that was damaged on the disk the
// damaged entry is gone by then, and there is one in a segment since born.
func (o *oracle) replays(s *Spool, born uint64) (points int64, err error) {
	fresh := map[ID]bool{}
	left, err := o.pending(s, func(seg *segment, i int) bool {
		if seg.number >= born {
			fresh[seg.entries[i].id()] = true
		}
		return false
	})
	for id, n := range left {
		of := o.offered[id]
		if !of.replayed || n != of.entries+1 && (!of.rotten || !fresh[id]) {
			continue
		}
		of.entries, of.fates = n, nil
		of.durable, of.free, of.buried, of.doubtful, of.rotten = false, false, false, false, false
		o.waiting[id] = of
		points += of.Items
	}
	return points, err
}

// unreplayed adds up what replays may have left that were refused: one, and
// one for each truncate that failed or that a power cut undid.
func (o *oracle) unreplayed(how crash) (points int64) {
	for _, of := range o.offered {
		if of.replayed || of.twice && (how.cuts > 0 || how.power) {
			points += of.Items * int64(1+how.cuts)
		}
	}
	return points
}

// settleLetters ends the promise of a letter whose record is as good again.
func (p *process) settleLetters() error {
	for id, of := range p.o.offered {
		if !of.letter && !of.replayed && !of.twice {
			continue
		}
		dead, again := p.letters(of)
		if of.letter && dead == nil && again == nil && !of.durable && !of.doubtful && p.cfg.Fsync != FsyncNever {
			return fmt.Errorf("the letter of record %v is gone, and the record is not durable", id)
		}
		of.letter = of.letter && (dead != nil || again != nil)
		of.replayed = again != nil
		of.buried = of.buried && !of.replayed
	}
	return nil
}

// judgeLetters checks that each record that SetAside took, and that does not
// wait again, has a whole letter.
func (p *process) judgeLetters(disk *memFS) error {
	for id, of := range p.o.offered {
		of.letter = of.letter && (!p.how.power || p.cfg.Fsync != FsyncNever)
		if !of.letter || p.o.waiting[id] != nil {
			continue // a record that came back has its letter written anew
		}
		name := deadDir + "/" + letterName(of.TimeMS, of.ID)
		if dead, _ := p.letters(of); dead == nil {
			name = strings.TrimSuffix(name, letterSuffix) + replaySuffix
		}
		r, reason, err := readLetter(disk, name)
		if err == nil && reason == "refused" {
			err = sameRecord(r, of.Record)
		}
		if err != nil {
			return fmt.Errorf("the letter of record %v: %q, %w", id, reason, err)
		}
	}
	return nil
}
