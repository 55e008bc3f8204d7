package spool

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

const (
	// A letter is written when so much has gathered, or so long after its first
	// entry.
	letterBytes = 64 << 10
	letterWait  = 10 * time.Minute
	// letterRetry is the wait after one that could not be written.
	letterRetry = time.Minute
	// maxGathered bounds what gathers while letters can be written; else it is
	// letterBytes. The newest entry comes on top.
	maxGathered = 1 << 20
)

// gathered is an entry of the letter that is written next.
type gathered struct {
	Letter
	at time.Time // when it came
}

// SetAside gathers a copy of points that were refused for good, for a person
// to look at and to have sent again. It does not wait for the disk and does not
// fail: the spool writes one letter of all that has gathered, when that is
// 64 KiB, 10 minutes after the first, and in Sync and Close. What is of a record
// that waits stays in memory until that is settled: a letter on the disk is
// always of points that are counted as dead, as durably as Fsync says. Until it
// is written a crash of the process forgets it.
//
// Letters take at most a 16th of MaxBytes, and one fits always: the oldest goes
// first. What had to go, or could not be written, is counted in
// Stats.LettersLost.
func (s *Spool) SetAside(l Letter) {
	l.Reason = strings.ToValidUTF8(l.Reason[:min(len(l.Reason), maxReasonBytes)], "")
	l.Payload, l.Note = slices.Clone(l.Payload), nil
	l.Items = min(max(l.Items, 0), maxItems)
	s.mu.Lock()
	defer s.unlock()
	if s.closed {
		s.loseLetters(l.Items)
		return
	}
	s.gather = append(s.gather, gathered{l, time.Now()})
	s.gatheredBytes += l.bytes()
	s.boundGathered()
	if s.gatheredBytes >= letterBytes {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// Refuse counts points that were refused for good and whose record never was
// in the spool: as appended and as dead. It does not wait for the disk: the next
// write of the ledger, which this does not cause, makes the count durable. A
// letter is one, and Sync and Close.
func (s *Spool) Refuse(points int64) {
	s.mu.Lock()
	defer s.unlock()
	s.ledger.direct += min(max(points, 0), maxLoss)
}

// LoseLetters counts points that were refused for good and of which the owner
// kept no copy. Like Refuse it does not cause a write.
func (s *Spool) LoseLetters(points int64) {
	s.mu.Lock()
	defer s.unlock()
	s.loseLetters(points)
}

// loseLetters counts points that no letter has any more; mu is held.
func (s *Spool) loseLetters(points int64) { s.ledger.lettersLost += min(max(points, 0), maxLoss) }

// boundGathered drops the oldest entries if there are too many; mu is held.
func (s *Spool) boundGathered() {
	limit := int64(maxGathered)
	if s.cause != nil || time.Now().Before(s.lettersAt) {
		limit = letterBytes
	}
	for n := len(s.gather); n > 1 && s.gatheredBytes-s.gather[n-1].bytes() > limit; n-- {
		s.loseLetters(s.gather[0].Items)
		s.gatheredBytes -= s.gather[0].bytes()
		s.gather[0] = gathered{}
		s.gather = s.gather[1:]
	}
}

// bury writes a letter if it is due, or, with all set, whatever has gathered
// and each count that no ledger has. It does not make the spool unusable: that
// is for what records need. What could not be written stays gathered; the error
// is of a spool that is unusable.
func (s *Spool) bury(all bool) error {
	s.slow.Lock()
	defer s.slow.Unlock()
	letters := s.takeGathered(all)
	if letters == nil && !all {
		return nil
	}
	err := s.writeLetters(letters)
	s.mu.Lock()
	defer s.unlock()
	if err != nil && letters != nil {
		for _, g := range letters {
			s.gatheredBytes += g.bytes()
		}
		s.gather = append(letters, s.gather...)
		s.lettersAt = time.Now().Add(letterRetry)
		s.boundGathered()
	}
	if s.cause == nil {
		return nil
	}
	return err
}

// takeGathered returns the entries that are to be written now, nil for none.
func (s *Spool) takeGathered(all bool) []gathered {
	s.mu.Lock()
	defer s.mu.Unlock()
	ready := s.cause == nil && s.mounted && (all || !time.Now().Before(s.lettersAt))
	if !ready || !all && !letterDue(s.gather, s.gatheredBytes) {
		return nil
	}
	waits := s.waiting()
	var letters, kept []gathered
	var size int64
	for _, g := range s.gather {
		if waits[g.Of] {
			kept = append(kept, g)
		} else {
			letters = append(letters, g)
			size += g.bytes()
		}
	}
	if !all && !letterDue(letters, size) {
		return nil // those that are due are of records that wait
	}
	s.gather, s.gatheredBytes = kept, s.gatheredBytes-size
	return letters
}

// letterDue says that so many bytes of entries are to be written.
func letterDue(g []gathered, size int64) bool {
	return len(g) > 0 && (size >= letterBytes || time.Since(g[0].at) >= letterWait)
}

// waiting returns which of the records that letters are of still wait; mu is
// held.
func (s *Spool) waiting() map[ID]bool {
	of := map[ID]bool{}
	for _, g := range s.gather {
		of[g.Of] = false
	}
	for _, seg := range s.segs {
		for i := seg.head; i < len(seg.entries); i++ {
			e := &seg.entries[i]
			if e.fate != pending {
				continue
			}
			if _, asked := of[e.id()]; asked {
				of[e.id()] = true
			}
		}
	}
	return of
}

// writeLetters makes durable what settled the points in the letters, and then
// writes them. slow is held.
func (s *Spool) writeLetters(letters []gathered) error {
	var trimErr error
	if len(letters) > 0 {
		if err := s.flush(); err != nil {
			return err
		}
		var size int64
		for _, g := range letters {
			size += g.bytes()
		}
		trimErr = s.trimLetters(s.cfg.MaxBytes/asideShare - blocks(size))
	}
	s.mu.Lock()
	if s.ledger.direct != s.saved.direct || s.ledger.lettersLost != s.saved.lettersLost {
		s.ledgerEdits++
	}
	s.unlock()
	switch {
	case s.lock == nil:
		return nil // nothing was appended
	case len(letters) == 0 || trimErr != nil:
		return errors.Join(s.sweep(), trimErr)
	}
	if err := s.syncMarks(); err != nil {
		return err
	}
	return s.writeLetter(letters)
}

// blocks is what so many bytes take on a disk.
func blocks(size int64) int64 { return (size + diskBlock - 1) / diskBlock * diskBlock }

// writeLetter writes the file.
func (s *Spool) writeLetter(gathered []gathered) error {
	if !s.lock.Held() {
		return errLost
	}
	letters := make([]Letter, len(gathered))
	id := letterID{timeMS: uint64(max(gathered[0].at.UnixMilli(), 0)), salt: rand.Uint32()}
	for i, g := range gathered {
		letters[i] = g.Letter
		id.points += uint64(g.Items)
	}
	if n := len(s.dead.files); n > 0 {
		// By age, whatever the clock does.
		last, _ := parseLetterName(s.dead.files[n-1].name)
		id.timeMS = max(id.timeMS, min(last.timeMS+1, id.timeMS+maxAhead))
	}
	b := encodeLetters(letters, id.salt)
	if err := s.checkFree(int64(len(b))); err != nil {
		return err
	}
	if err := s.disk.Mkdir(deadDir); err != nil {
		return err
	}
	path := deadDir + "/" + id.name()
	f, err := s.disk.Create(path)
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
		_ = s.disk.Remove(path)
		return err
	}
	s.add(&s.dead, s.weigh(deadDir, id.name()))
	return nil
}

// maxAhead bounds, in ms, how far the name of a letter is ahead of the clock.
const maxAhead = 10 * 365 * 24 * 3600 * 1000

// trimLetters removes the oldest letters until the rest takes at most limit. It
// spares those that somebody wants sent again. slow is held.
func (s *Spool) trimLetters(limit int64) error {
	var left []asideFile
	var err error
	total, lost := s.dead.bytes, int64(0)
	for _, f := range s.dead.files {
		if err != nil || total <= limit || strings.HasSuffix(f.name, replaySuffix) {
			left = append(left, f)
			continue
		}
		switch err = s.disk.Remove(deadDir + "/" + f.name); {
		case err == nil:
			lost += f.points
		case errors.Is(err, fs.ErrNotExist): // by somebody else
			err = nil
		default:
			left = append(left, f)
			continue
		}
		total -= f.bytes
	}
	s.mu.Lock()
	defer s.unlock()
	s.loseLetters(lost)
	s.dead.set(left)
	return err
}

// syncMarks makes durable what settled records: the ledger's counts of segments
// that are gone, and the entries in the sidecars of the others. slow is held.
func (s *Spool) syncMarks() error {
	todo, err := s.unsyncedMarks()
	if err != nil || len(todo) == 0 {
		return err
	}
	for _, seg := range todo {
		err = errors.Join(err, s.sync(seg.acks))
	}
	if err = errors.Join(err, s.syncDir(".")); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, seg := range todo {
			seg.repeatMarks() // the kernel may have dropped them
		}
	}
	return err
}

// unsyncedMarks sweeps until no segment is still to be counted as gone, and
// returns those whose sidecars are to be synced.
func (s *Spool) unsyncedMarks() (todo []*segment, err error) {
	for {
		if err := s.sweep(); err != nil {
			return nil, err
		}
		s.mu.Lock()
		if len(s.retired) == 0 {
			break
		}
		s.mu.Unlock() // one more is gone since
	}
	defer s.mu.Unlock()
	for _, seg := range s.segs {
		if seg.marksOwed {
			todo = append(todo, seg)
			err = errors.Join(err, s.flushMarks(seg))
		}
	}
	if err != nil {
		return nil, err
	}
	for _, seg := range todo {
		seg.marksOwed = false // one that comes meanwhile is the next call's
	}
	return todo, nil
}
