package spool

import (
	"errors"
	"slices"
)

// mount takes the directory, reads the ledger and indexes the segments. slow
// is held.
func (s *Spool) mount() error {
	if err := s.disk.Mkdir("."); err != nil {
		return err
	}
	l, err := s.disk.Lock()
	if err != nil {
		return err
	}
	if err := s.index(l); err != nil {
		_ = l.Close()
		return err
	}
	return nil
}

func (s *Spool) index(l lock) error {
	names, err := s.disk.List(".")
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(names, strange) {
		// Never a directory that holds anything else: it may be /tmp.
		_ = s.disk.Tighten()
	}
	led, err := readLedger(s.disk)
	if err != nil {
		return err
	}
	var segs []*segment
	for _, name := range names {
		id, sidecar, ok := parseName(name)
		switch {
		case ok && !sidecar:
			segs = append(segs, openSegment(s.disk, id, slices.Contains(led.retired, id)))
		case ok && !slices.Contains(names, id.name()), name == probeName:
			// Left by a crash; in the way of nothing if it stays.
			_ = s.disk.Remove(name)
		}
	}
	if err := s.syncAfterCrash(names, segs[max(0, len(segs)-maxUnsynced):]); err != nil {
		return err
	}
	s.forgive(segs)
	s.install(l, led, segs)
	s.survey(&s.dead)
	s.survey(&s.kept)
	return nil
}

// maxUnsynced is how many segments can hold what a process had not synced when
// it died: they share maxOwed, and any two neighbours have more than one takes; one is a draft.
const maxUnsynced = 2*maxOwed/minSegmentBytes + 3

// syncAfterCrash syncs what a process that died left to the kernel. An end
// record does not say that there is nothing: it may be the last thing that the
// process wrote. Where the fsync of a segment fails there is nothing better to
// do than to read what is there; the ledger is written again.
func (s *Spool) syncAfterCrash(names []string, segs []*segment) error {
	ledger := slices.Contains(names, ledgerName)
	if ledger && s.syncByName(ledgerName) != nil {
		s.mu.Lock()
		s.ledgerEdits++
		s.mu.Unlock()
	}
	for _, seg := range segs {
		_ = s.syncByName(seg.name())
	}
	if slices.Contains(names, quarantineDir) {
		// The other half of a rename.
		if err := s.syncDir(quarantineDir); err != nil {
			return err
		}
	}
	if ledger || len(segs) > 0 {
		return s.syncDir(".")
	}
	return nil
}

func (s *Spool) syncByName(name string) error {
	f, err := s.disk.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(s.sync(f), f.Close())
}

// strange says that a file is not of the spool's making.
func strange(name string) bool {
	_, _, ok := parseName(name)
	return !ok && !slices.Contains([]string{lockName, ledgerName, probeName, deadDir, quarantineDir}, name)
}

// openSegment indexes a segment. One that the ledger counts as gone is empty;
// one that cannot be read keeps what was found and stays in place.
func openSegment(disk fileSystem, id segmentID, gone bool) *segment {
	seg := &segment{segmentID: id, sealed: true}
	f, err := disk.Open(id.name())
	if err != nil {
		seg.unreadable = !gone
		return seg
	}
	defer f.Close() //nolint:errcheck // opened for reading
	if gone {
		seg.size, _ = f.Size()
		return seg // of its sidecar nothing is counted
	}
	if err := seg.load(f); err != nil {
		seg.unreadable = true
	}
	seg.entries = slices.Clone(seg.entries) // of the exact size
	if a, err := disk.Open(id.sidecar()); err == nil {
		seg.mark(a)
		_ = a.Close()
	}
	return seg
}

// install makes what was found the spool's own.
func (s *Spool) install(l lock, led ledger, segs []*segment) {
	s.mu.Lock()
	defer s.unlock()
	s.lock = l
	saved := led
	for reason, points := range s.ledger.losses {
		led.losses[reason] += points
	}
	led.direct += s.ledger.direct
	led.lettersLost += s.ledger.lettersLost
	s.ledger, s.saved = led, saved
	s.next = 1
	c := newChain(&led)
	for _, id := range led.retired {
		s.next = max(s.next, id.number+1)
	}
	var void []*segment
	for _, seg := range segs {
		if seg.isVoid(segs) {
			seg.tally = tally{}
			void = append(void, seg)
		}
	}
	gone := func(seg *segment) bool {
		return slices.Contains(led.retired, seg.segmentID) || slices.Contains(void, seg)
	}
	for _, seg := range segs {
		s.used += seg.size + seg.acksSize
		s.next = max(s.next, seg.number+1)
		s.segs = append(s.segs, seg)
		if !gone(seg) {
			c.add(seg)
		}
	}
	if n := c.missing(); n > 0 {
		s.ledger.totals.add(tally{appended: n, corrupt: n}, 1)
		s.ledgerEdits++
	}
	s.ledger.origin = c.origin
	for n, seg := range segs {
		if !seg.ofTicks {
			s.supersede(seg, segs[max(0, n-maxUnsynced):n])
		}
	}
	s.closeRead()
	s.readBuf = nil
	for _, seg := range segs {
		if gone(seg) || seg.done() {
			s.retire(seg)
		}
	}
	s.up()
	s.mounted = true
}

// supersede settles what waits in older segments and was written again to seg: a
// process that died in between had found that an fsync of theirs failed (see
// rehome), or had given up an append that was in the file all the same. Such
// records are the first of their new segment. Both copies are on the disk until
// their segments go, so each index must see to it. The older copy stays where the
// newer one is not sound; its note is the newer one's where that has none yet. mu
// is held.
func (s *Spool) supersede(seg *segment, older []*segment) {
	for j := range seg.entries {
		e := &seg.entries[j]
		found := false
		for _, o := range older {
			i := o.twin(e)
			if i < 0 {
				continue
			}
			found = true
			if o.entries[i].fate != pending || !s.sound(seg, j) {
				continue
			}
			if note := o.notes[o.entries[i].off]; e.fate == pending && seg.notes[e.off] == nil {
				seg.setNote(j, note)
			}
			o.settle(i, moved)
		}
		if !found {
			return
		}
	}
}

// twin returns the data record that may be the same as one of another segment, or -1.
func (seg *segment) twin(e *entry) int {
	if seg.ofTicks {
		return -1
	}
	return slices.IndexFunc(seg.entries, func(o entry) bool {
		return o.id() == e.id() && o.length == e.length && o.items == e.items
	})
}

// sound says that entry i was delivered, was too old, or can be delivered; mu is held.
func (s *Spool) sound(seg *segment, i int) bool {
	if f := seg.entries[i].fate; f != pending {
		return f == delivered || f == expired
	}
	_, err := s.read(seg, i)
	return err == nil
}
