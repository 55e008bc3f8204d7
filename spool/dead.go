package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"
)

const (
	deadDir       = "dead"
	quarantineDir = "quarantine"

	// asideShare is the part of MaxBytes that each of the two may take.
	asideShare = 16

	// replayEvery is how often dead/ is looked at while it holds anything.
	replayEvery = 10 * time.Second
)

// SetAside moves a record that waits to dead/, with the reason in a few words:
// the way out for what can never be delivered. It waits for the device, and
// when it returns nil the dead letter is as durable as Fsync says. A record
// that does not wait any more is no error. After ErrUnavailable it still waits.
//
// Dead letters take at most a 16th of MaxBytes, and one fits always: the oldest
// goes first, and stays counted as dead. A letter whose file somebody renames
// from .dead to .replay is appended again by Run.
//
// Of a record that was delivered in parts only what is left counts as dead, but
// the letter has all of it, and so will a replay.
func (s *Spool) SetAside(id ID, reason string) error { return s.bury(id, nil, id, reason) }

// SetAsidePart makes a dead letter of a part of a record that waits, and marks
// the part PartDead: in this order, and a crash in between leaves the part to be
// sent, and the letter to be replaced by the next call. In all else it does what
// SetAside does; a part of which nothing is left is no error. The record waits
// until Ack, even if no part is left, but not after part 1, all of it, which has
// the letter of the whole record. Any other letter is of a record of its own, named
// by the part, with as many points as a Mark of the part means. An error other
// than ErrUnavailable says that the part is too deep to have a name.
func (s *Spool) SetAsidePart(id ID, p Piece, reason string) error {
	p.Part = max(p.Part, 1)
	name, err := id.part(p.Part)
	if err != nil {
		return fmt.Errorf("part %d of part %d: %w", p.Part, id.Part, err)
	}
	return s.bury(id, &p, name, reason)
}

// bury writes the letter of a record that waits, or of a part of it, and then
// settles what is in it.
func (s *Spool) bury(id ID, p *Piece, name ID, reason string) error {
	s.slow.Lock()
	defer s.slow.Unlock()
	h, record, err := s.buried(id, p, name)
	if err != nil || record == nil {
		return err
	}
	err = s.writeLetter(letterName(h.timeMS, name), encodeLetter(h, record, reason))
	s.mu.Lock()
	defer s.unlock()
	if err != nil {
		s.down(err)
		return s.unavailable()
	}
	switch seg, i := s.findOldest(id); {
	case seg == nil:
	case p == nil || p.Part == 1:
		s.settleEntry(seg, i, dead)
	default:
		s.markPart(seg, i, Mark{p.Part, PartDead})
	}
	return nil
}

// buried returns what is to be set aside, header and payload, nil if it does
// not wait.
func (s *Spool) buried(id ID, p *Piece, name ID) (h header, record []byte, err error) {
	s.mu.Lock()
	defer s.unlock()
	seg, i := s.findOldest(id)
	if seg == nil {
		if !s.mounted {
			err = s.unavailable()
		}
		return h, nil, err
	}
	if p != nil {
		h, record = seg.carve(i, *p, name)
	} else if record, err = s.readWhole(seg, i); err == nil {
		h, err = parseHeader(record, seg.salt)
	}
	if errors.Is(err, errDamaged) {
		s.settleEntry(seg, i, corrupt)
		return h, nil, nil
	}
	if err == nil {
		err = s.checkFree(int64(len(record)))
	}
	if err != nil {
		s.down(err)
	}
	return h, record, s.unavailable()
}

// readWhole is read without the buffer that Oldest lends out; mu is held.
func (s *Spool) readWhole(seg *segment, i int) ([]byte, error) {
	lent := s.readBuf
	s.readBuf = nil
	defer func() { s.readBuf = lent }()
	return s.read(seg, i)
}

// carve makes a record of a part of entry i, nil if nothing of the part is left.
// The header is still to be written.
func (seg *segment) carve(i int, p Piece, name ID) (header, []byte) {
	e := &seg.entries[i]
	if seg.leftOf(i, p.Part) == 0 {
		return header{}, nil
	}
	h := header{
		kind: typeData, payloadLen: uint32(len(p.Payload)), ID: name, timeMS: e.timeMS,
		items: uint32(itemsOf(p.Part, int64(e.items))), payloadCRC: crc32.Checksum(p.Payload, castagnoli),
	}
	return h, append(make([]byte, headerBytes, headerBytes+len(p.Payload)), p.Payload...)
}

// writeLetter makes room for a letter and writes it. Writing it again after a
// crash writes the same file.
func (s *Spool) writeLetter(name string, b []byte) error {
	if !s.lock.Held() {
		return errLost
	}
	if err := s.disk.Mkdir(deadDir); err != nil {
		return err
	}
	if err := s.trimLetters(s.cfg.MaxBytes/asideShare - int64(len(b))); err != nil {
		return err
	}
	f, err := s.disk.Create(deadDir + "/" + name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = s.sync(f)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = errors.Join(s.syncDir(deadDir), s.syncDir("."))
	}
	if err != nil {
		_ = s.disk.Remove(deadDir + "/" + name) // the record still waits
	}
	s.countAside()
	return err
}

// trimLetters removes the oldest letters until the rest takes at most limit. It
// spares those that somebody wants sent again.
func (s *Spool) trimLetters(limit int64) error {
	names, sizes, total := s.sizes(deadDir)
	for i, name := range names {
		if total <= limit || strings.HasSuffix(name, replaySuffix) {
			continue
		}
		if err := s.disk.Remove(deadDir + "/" + name); err != nil {
			return err
		}
		total -= sizes[i]
	}
	return nil
}

// own lists what the spool put into dead/ or quarantine/: whatever else is there
// is somebody's. One that does not exist is empty.
func (s *Spool) own(dir string) []string {
	names, _ := s.disk.List(dir)
	return slices.DeleteFunc(names, func(name string) bool { return !discardable(dir + "/" + name) })
}

func (s *Spool) sizes(dir string) (names []string, sizes []int64, total int64) {
	names = s.own(dir)
	sizes = make([]int64, len(names))
	for i, name := range names {
		if f, err := s.disk.Open(dir + "/" + name); err == nil {
			sizes[i], _ = f.Size()
			_ = f.Close()
		}
		total += sizes[i]
	}
	return names, sizes, total
}

// countAside finds out what dead/ and quarantine/ hold. slow is held.
func (s *Spool) countAside() {
	letters, _, deadBytes := s.sizes(deadDir)
	kept, _, keptBytes := s.sizes(quarantineDir)
	s.mu.Lock()
	defer s.unlock()
	s.letters, s.kept, s.aside = len(letters), len(kept), deadBytes+keptBytes
}

// room is what segments may take; mu is held.
func (s *Spool) room() int64 {
	return s.cfg.MaxBytes - min(s.aside, 2*(s.cfg.MaxBytes/asideShare))
}

// quarantine moves the file of a segment in which something was damaged out of
// the way, and reports whether it did. What does not fit is not kept: the
// oldest evidence is the nearest to the cause. The directories are still to be
// synced. slow is held.
func (s *Spool) quarantine(seg *segment) bool {
	s.mu.Lock()
	wanted := seg.tally.corrupt > 0 && seg.tally.evicted == 0 && s.cause == nil
	s.mu.Unlock()
	if !wanted {
		return false
	}
	if _, _, total := s.sizes(quarantineDir); total+seg.size > s.cfg.MaxBytes/asideShare {
		return false
	}
	if s.disk.Mkdir(quarantineDir) != nil || s.disk.Rename(seg.name(), quarantineDir+"/"+seg.name()) != nil {
		return false
	}
	s.countAside()
	return true
}

// replay appends the letters that are to be sent again, and finds out what
// somebody removed.
func (s *Spool) replay() {
	names := s.own(deadDir)
	kept := len(s.own(quarantineDir))
	s.mu.Lock()
	changed := len(names) != s.letters || kept != s.kept
	s.mu.Unlock()
	for _, name := range names {
		if strings.HasSuffix(name, replaySuffix) {
			changed = true
			if errors.Is(s.replayOne(deadDir+"/"+name), ErrUnavailable) {
				break
			}
		}
	}
	if changed {
		s.slow.Lock()
		defer s.slow.Unlock()
		s.countAside()
	}
}

// replayOne appends a letter, with the time of now: else an old one would
// expire at once. One that can never be appended is a dead letter again; else
// it is tried again later.
func (s *Spool) replayOne(path string) error {
	r, _, err := readLetter(s.disk, path)
	waits := false
	if err == nil {
		waits, err = s.waits(r.ID)
	}
	if err == nil && !waits {
		r.TimeMS = max(r.TimeMS, time.Now().UnixMilli())
		err = s.Append(r)
	}
	switch {
	case errors.Is(err, errDamaged), errors.Is(err, ErrTooLarge):
		_ = s.disk.Rename(path, strings.TrimSuffix(path, replaySuffix)+letterSuffix)
	case err == nil && s.settle() == nil:
		return s.disk.Remove(path)
	}
	return err
}

// waits says that a record waits and can be read: one that the disk has
// damaged is no reason to remove a letter, and is counted as corrupt. The error
// is ErrUnavailable.
func (s *Spool) waits(id ID) (bool, error) {
	s.mu.Lock()
	defer s.unlock()
	for {
		seg, i := s.find(id)
		if seg == nil {
			return false, nil
		}
		_, err := s.readWhole(seg, i)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, errDamaged) {
			s.down(err)
			return false, s.unavailable()
		}
		s.settleEntry(seg, i, corrupt)
	}
}
