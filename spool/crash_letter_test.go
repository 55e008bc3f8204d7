package spool

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Epochs of the records that a test makes letters of.
const (
	letterEpoch = 8 // entries
	directEpoch = 5 // records that never were in the spool
)

// setAside gathers a letter of points of a record. Some letters come twice, as
// after a search that was repeated.
func (p *process) setAside(of ID, points, direct int64) {
	p.seq++
	r := Record{ID: named(letterEpoch, p.seq), Items: points, TimeMS: time.Now().AddDate(10, 0, 0).UnixMilli(), Payload: fmt.Append(nil, "of ", of, p.seq)}
	entry := &offer{Record: r, of: of, direct: direct}
	entry.say(nil)
	p.o.offered[r.ID] = entry
	for range 1 + p.rng.IntN(8)/7 {
		p.s.SetAside(Letter{Of: of, Reason: "refused", Record: r})
	}
}

// setAsideFirst gathers a letter of a record that still waits.
func (p *process) setAsideFirst() effect {
	if of := p.pick(); of != nil {
		p.setAside(of.ID, 1, 0)
	}
	return effect{}
}

// refuse counts points that never were in the spool.
func (p *process) refuse() effect {
	n := 1 + p.rng.Int64N(9)
	p.s.Refuse(n)
	if p.rng.IntN(2) == 0 {
		p.seq++
		p.setAside(named(directEpoch, p.seq), n, p.s.ledger.direct)
	}
	return effect{direct: n}
}

// replay marks letters, and has the spool look.
func (p *process) replay() effect {
	for _, name := range slices.Sorted(maps.Keys(p.disk.names)) {
		if path.Dir(name) != deadDir || !strings.HasSuffix(name, letterSuffix) || p.rng.IntN(2) == 0 {
			continue
		}
		for _, e := range p.parse(name) {
			of := p.o.offered[e.ID]
			of.replayed, of.twice = true, true
		}
		p.disk.change(p.disk.names[name], name, stem(name)+replaySuffix)
	}
	time.Sleep(replayEvery)
	return p.tick()
}

// parsedLetter is what a file held when it had that many bytes.
type parsedLetter struct {
	size    int
	entries []letterEntry
}

// parse reads a letter as the cache has it.
func (p *process) parse(name string) []letterEntry {
	n := p.disk.names[name]
	if known, ok := p.parsed[n]; ok && known.size == len(n.cache) {
		return known.entries
	}
	var entries []letterEntry
	_, _ = readLetter(newRAMFS(map[string][]byte{name: n.cache}), name, func(e letterEntry) error {
		entries = append(entries, e)
		return nil
	})
	p.parsed[n] = parsedLetter{len(n.cache), entries}
	return entries
}

// lettered says where entries are: in letters, and in those to be replayed.
func (p *process) lettered() (dead, again map[ID][]string) {
	dead, again = map[ID][]string{}, map[ID][]string{}
	for name := range p.disk.names {
		if path.Dir(name) != deadDir {
			continue
		}
		for _, e := range p.parse(name) {
			if isReplay(name) {
				again[e.ID] = append(again[e.ID], name)
			} else {
				dead[e.ID] = append(dead[e.ID], name)
			}
		}
	}
	return dead, again
}

// replays takes the records that came from letters as appended, and returns
// their points. Of one that was damaged on the disk the damaged entry is gone by
// then, and there is one in a segment since born.
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
		of.entries = n
		of.say(nil)
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

// settleLetters notes the promise of each letter that the spool has written,
// and ends it where the cap took it or its record is as good.
func (p *process) settleLetters() error {
	for _, f := range p.s.dead.files {
		if !p.there[stem(f.name)] {
			p.there[stem(f.name)], p.written[stem(f.name)] = true, true
		}
	}
	dead, again := p.lettered()
	for id, of := range p.o.offered {
		if id.Epoch != letterEpoch {
			continue
		}
		inAgain := again[id] != nil
		if of.letter && of.replayed && dead[id] == nil && !inAgain && !of.durable && !of.doubtful && p.cfg.Fsync != FsyncNever {
			return fmt.Errorf("the letter of record %v is gone, and the record is not durable", id)
		}
		of.letter = slices.ContainsFunc(slices.Concat(dead[id], again[id]), func(name string) bool { return p.written[stem(path.Base(name))] })
		of.replayed = inAgain
		of.buried = of.buried && !of.replayed
	}
	return nil
}

// found notes which letters there are when a process starts: only after a power
// cut are they known to be durable.
func (p *process) found() {
	p.there = map[string]bool{}
	for name := range p.disk.names {
		if path.Dir(name) == deadDir {
			p.there[stem(path.Base(name))] = true
		}
	}
	if p.how.power {
		p.written = maps.Clone(p.there)
	}
}

// judgeLetters checks that each letter that was written is there, unless its
// record waits, and that no letter is of points that are not dead for good: of a
// record that waits, or that Refuse counted and the ledger does not know.
func (p *process) judgeLetters(disk *memFS) error {
	dead, again := p.lettered()
	void := p.how.power && (p.cfg.Fsync == FsyncNever || p.o.shaken)
	for id, of := range p.o.offered {
		of.letter = of.letter && !void
		if of.letter && p.o.waiting[id] == nil && dead[id] == nil && again[id] == nil {
			return fmt.Errorf("the letter of record %v is gone", id)
		}
	}
	p.o.loose = p.o.loose || void || p.how.syncs > 0
	if p.o.loose {
		return nil
	}
	s := open(p.cfg, disk)
	waits, err := p.o.pending(s, func(*segment, int) bool { return false })
	if err != nil {
		return err
	}
	for _, where := range []map[ID][]string{dead, again} {
		for id := range where {
			of := p.o.offered[id]
			if waits[of.of] > 0 {
				return fmt.Errorf("record %v waits, and has the letter %v", of.of, id)
			}
			if s.ledger.direct < of.direct {
				return fmt.Errorf("letter %v is of points that Refuse counted: %d, the ledger knows %d", id, of.direct, s.ledger.direct)
			}
		}
	}
	return nil
}
