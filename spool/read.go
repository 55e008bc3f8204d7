package spool

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io/fs"
	"slices"
	"time"
)

// Ack settles a record that waits, as one, and reports whether it was waiting:
// dead of its points, at most all, were refused by the backend for good, the
// others were delivered. It may be any record, not only the oldest; one that is
// unknown, or gone meanwhile, is ignored. The disk is told without waiting for
// it: after a crash of the machine an acknowledged record may be returned again.
func (s *Spool) Ack(id ID, dead int64) bool {
	s.mu.Lock()
	defer s.unlock()
	seg, i := s.findOldest(id)
	if seg == nil {
		return false
	}
	seg.acknowledge(i, dead)
	s.settled(seg, i)
	return true
}

// Note replaces the owner's note on a record that waits, any bytes, and reports
// whether it waits. Oldest returns the note with the record. The disk is told
// without waiting for it: a crash of the machine, not of the process alone, may
// bring back the note before. One of more than 65,535 bytes, or that cannot be
// written, is in memory alone: after a crash of the process there is none, or,
// if nothing could be written, the one before.
func (s *Spool) Note(id ID, note []byte) bool {
	s.mu.Lock()
	defer s.unlock()
	seg, i := s.findOldest(id)
	if seg == nil {
		return false
	}
	s.note(seg, i, note)
	return true
}

// note sets the note of entry i, which waits; mu is held.
func (s *Spool) note(seg *segment, i int, note []byte) {
	off := seg.entries[i].off
	if bytes.Equal(seg.notes[off], note) {
		return
	}
	seg.setNote(i, note)
	if len(note) > maxNote {
		note = nil // rather than the one before
	}
	if len(seg.unmarked) < maxNote { // else the disk takes nothing
		s.writeMark(seg, mark{off: off, note: note})
	}
}

// findOldest is find for what Oldest returned, as a rule; mu is held.
func (s *Spool) findOldest(id ID) (*segment, int) {
	if seg, i := s.head(0, nil); seg != nil && seg.entries[i].id() == id {
		return seg, i
	}
	return s.find(id)
}

// find returns a pending entry by name, or nil; mu is held.
func (s *Spool) find(id ID) (*segment, int) {
	// It is nearly always the newest or the oldest.
	if n := len(s.segs); n > 0 {
		if i := s.segs[n-1].find(id); i >= 0 {
			return s.segs[n-1], i
		}
		for _, seg := range s.segs[:n-1] {
			if i := seg.find(id); i >= 0 {
				return seg, i
			}
		}
	}
	return nil, 0
}

// settleEntry gives entry i its fate and notes it in the sidecar, unless the
// whole segment goes; mu is held.
func (s *Spool) settleEntry(seg *segment, i int, f fate) {
	seg.settle(i, f)
	s.settled(seg, i)
}

func (s *Spool) settled(seg *segment, i int) {
	if seg.done() {
		s.retire(seg)
		return
	}
	e := &seg.entries[i]
	s.writeMark(seg, mark{off: e.off, fate: e.fate, dead: seg.dead[e.off]})
}

// writeMark writes to a segment's sidecar; mu is held.
func (s *Spool) writeMark(seg *segment, m mark) {
	seg.unmarked = m.append(seg.unmarked, seg.salt)
	seg.marksOwed = seg.marksOwed || m.fate != pending
	_ = s.flushMarks(seg) // costs a re-send at worst
}

// flushMarks writes what is not yet in the sidecar, in order; mu is held.
func (s *Spool) flushMarks(seg *segment) error {
	if seg.acks == nil {
		a, err := s.disk.Create(seg.sidecar())
		if err != nil {
			return err
		}
		seg.acks = a
	}
	_, err := seg.acks.WriteAt(seg.unmarked, seg.acksSize)
	if err == nil {
		seg.acksSize += int64(len(seg.unmarked))
		s.used += int64(len(seg.unmarked))
		seg.unmarked = seg.unmarked[:0]
	}
	return err
}

// Oldest returns the oldest record that waits, checked against its CRC, of
// those whose TimeMS is not before sinceMS and whose ID is not in except; 0 and
// nil mean any. It stays until Ack, so that calling again returns the same. The
// payload is valid until the next call; the note must not be changed. Records that
// come up and are damaged or too old are counted and passed over; what sinceMS
// and except leave out is not read. ErrEmpty says that there is none,
// ErrUnavailable that there may be, but that they cannot be read now.
func (s *Spool) Oldest(sinceMS int64, except []ID) (Record, error) {
	s.mu.Lock()
	defer s.unlock()
	for {
		seg, i := s.head(sinceMS, except)
		if seg == nil {
			s.closeRead()
			s.readBuf = nil
			if s.blind || !s.mounted {
				return Record{}, s.unavailable()
			}
			return Record{}, ErrEmpty
		}
		e := &seg.entries[i]
		if s.tooOld(e.timeMS) {
			s.settleEntry(seg, i, expired)
			continue
		}
		b, err := s.read(seg, i)
		switch {
		case err == nil:
			return Record{e.id(), int64(e.items), e.timeMS, b[headerBytes:], seg.notes[e.off]}, nil
		case errors.Is(err, errDamaged) || s.suspect == suspect{seg, i}:
			s.suspect = suspect{}
			s.settleEntry(seg, i, corrupt)
		case errors.Is(err, fs.ErrNotExist):
			seg.settleAll(corrupt, false)
		default:
			// Once may be the disk; again, after a probe that passed, is this
			// record.
			s.suspect, s.blind = suspect{seg, i}, true
			s.down(err)
			return Record{}, s.unavailable()
		}
	}
}

// head returns the oldest pending entry that can be had, of those that Oldest
// may return, or nil; mu is held.
func (s *Spool) head(sinceMS int64, except []ID) (*segment, int) {
	for _, seg := range s.segs {
		if sinceMS != 0 && seg.newestMS < sinceMS {
			continue
		}
		for i := seg.head; i < len(seg.entries); i++ {
			e := &seg.entries[i]
			if e.fate == pending && (sinceMS == 0 || e.timeMS >= sinceMS) &&
				(!s.blind || seg.copyOf(i) != nil) && !slices.Contains(except, e.id()) {
				return seg, i
			}
		}
	}
	return nil, 0
}

// read returns a record, header and payload, from memory or from the disk; mu
// is held.
func (s *Spool) read(seg *segment, i int) ([]byte, error) {
	if b := seg.copyOf(i); b != nil {
		return b, nil
	}
	e := &seg.entries[i]
	f := seg.f
	if f == nil {
		if s.readSeg != seg {
			s.closeRead()
			opened, err := s.disk.Open(seg.name())
			if err != nil {
				return nil, err
			}
			s.readSeg, s.readFile = seg, opened
		}
		f = s.readFile
	}
	if err := proveRecord(f, int64(e.off), int64(e.length), seg.salt); err != nil {
		return nil, err
	}
	s.readBuf = slices.Grow(s.readBuf[:0], int(e.length))[:e.length]
	b := s.readBuf
	if err := readFull(f, b, int64(e.off)); err != nil {
		return nil, err
	}
	return b, e.check(b, seg.salt)
}

// check says whether b is the whole of the record that the index means.
func (e *entry) check(b []byte, salt uint32) error {
	h, err := parseHeader(b, salt)
	if err != nil || h.length != int64(e.length) || h.ID != e.id() ||
		h.payloadCRC != crc32.Checksum(b[headerBytes:], castagnoli) {
		return errDamaged
	}
	return nil
}

func (s *Spool) closeRead() {
	if s.readFile != nil {
		_ = s.readFile.Close()
	}
	s.readSeg, s.readFile = nil, nil
}

func (s *Spool) tooOld(timeMS int64) bool {
	return s.cfg.MaxAge > 0 && timeMS < time.Now().Add(-s.cfg.MaxAge).UnixMilli()
}
