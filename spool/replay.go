package spool

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// replayEvery is how often dead/ is looked at while it holds anything.
const replayEvery = 10 * time.Second

// replay appends the letters that are to be sent again, and finds out what
// somebody removed. Where nothing changed it asks for a time, no more.
func (s *Spool) replay() {
	s.slow.Lock()
	for _, a := range []*aside{&s.dead, &s.kept} {
		if s.stale(a) {
			s.survey(a)
		}
	}
	names := make([]string, len(s.dead.files))
	for i, f := range s.dead.files {
		names[i] = f.name
	}
	s.slow.Unlock()
	if !slices.ContainsFunc(names, isReplay) {
		return
	}
	paths := letterPaths(names)
	last := lastPlaces(s.disk, paths)
	for _, path := range paths {
		if isReplay(path) && errors.Is(s.replayOne(path, last), ErrUnavailable) {
			break
		}
	}
	s.slow.Lock()
	defer s.slow.Unlock()
	s.survey(&s.dead)
}

func isReplay(name string) bool { return strings.HasSuffix(name, replaySuffix) }

// replayOne appends the entries of a letter that count, and removes it once
// they are durable. One of which nothing can ever be appended is a dead letter
// again; else it is tried again later.
func (s *Spool) replayOne(path string, last map[ID]place) error {
	var records []Record
	var points int64
	fits := true
	_, err := readLetter(s.disk, path, func(e letterEntry) error {
		points += e.Items
		fits = fits && s.fits(e.Record) == nil
		if e.counts(last) {
			records = append(records, e.Record)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if points == 0 || !fits {
		return s.disk.Rename(path, stem(path)+letterSuffix)
	}
	for _, r := range records {
		if err := s.replayRecord(r); err != nil {
			return err
		}
	}
	if err := s.settle(); err != nil {
		return err
	}
	if err := s.disk.Remove(path); err != nil {
		return err
	}
	id, _ := parseLetterName(strings.TrimPrefix(path, deadDir+"/"))
	s.mu.Lock()
	defer s.unlock()
	s.loseLetters(int64(min(id.points, maxLoss)) - points) // what was not sound
	return nil
}

// replayRecord appends a record, with the time of now: else an old one would
// expire at once.
func (s *Spool) replayRecord(r Record) error {
	waits, err := s.waits(r.ID)
	if err != nil || waits {
		return err
	}
	r.TimeMS = max(r.TimeMS, time.Now().UnixMilli())
	return s.Append(r)
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

// readWhole is read without the buffer that Oldest lends out; mu is held.
func (s *Spool) readWhole(seg *segment, i int) ([]byte, error) {
	lent := s.readBuf
	s.readBuf = nil
	defer func() { s.readBuf = lent }()
	return s.read(seg, i)
}
