package spool

import (
	"errors"
	"hash/crc32"
	"io/fs"
	"slices"
	"time"
)

// Ack says that a record was delivered, and reports whether it was waiting. It
// may be any record, not only the oldest; one that is unknown, or gone
// meanwhile, is ignored. The disk is told without waiting for it: after a crash
// an acknowledged record may be returned again.
func (s *Spool) Ack(id ID) bool {
	s.mu.Lock()
	defer s.unlock()
	seg, i := s.findOldest(id)
	if seg == nil {
		return false
	}
	s.settleEntry(seg, i, delivered)
	return true
}

// Mark says what became of a part of a record, m.Fate being PartCut or
// PartDelivered, and reports whether the record was waiting. It goes on doing
// so until Ack, even if no part is left. The disk is told without waiting for
// it: after a crash of the machine, not of the process alone, the mark may be
// forgotten.
func (s *Spool) Mark(id ID, m Mark) bool {
	s.mu.Lock()
	defer s.unlock()
	seg, i := s.findOldest(id)
	if seg == nil {
		return false
	}
	if m.Fate != PartDead { // SetAsidePart has the letter to that
		s.markPart(seg, i, m)
	}
	return true
}

// findOldest is find for what Oldest returned, as a rule; mu is held.
func (s *Spool) findOldest(id ID) (*segment, int) {
	if seg, i := s.head(); seg != nil && seg.entries[i].id() == id {
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
	m := sidecarMark{off: seg.entries[i].off, fate: f}
	finished := seg.finished(i)
	seg.settle(i, f)
	switch {
	case seg.done():
		s.retire(seg)
	case !finished: // else its parts say it all, each for itself
		s.note(seg, m)
	}
}

// markPart notes what became of a part of entry i, which waits; mu is held.
func (s *Spool) markPart(seg *segment, i int, m Mark) {
	m.Part = max(m.Part, 1)
	if seg.markPart(i, m) {
		s.note(seg, sidecarMark{seg.entries[i].off, m.Fate.fate(), m.Part})
	}
}

// markLast does so for the record that put wrote last.
func (s *Spool) markLast(marks []Mark) {
	for _, m := range marks {
		s.markPart(s.active, len(s.active.entries)-1, m)
	}
}

// note writes to a segment's sidecar; mu is held. Entries get there in order:
// what is left of a record is not settled before its parts are.
func (s *Spool) note(seg *segment, m sidecarMark) {
	b := m.encode(seg.salt)
	seg.unmarked = append(seg.unmarked, b[:]...)
	if seg.acks == nil {
		a, err := s.disk.Create(seg.sidecar())
		if err != nil {
			return // costs a re-send at worst
		}
		// A whole number of entries, so that a torn one is written over.
		size, _ := a.Size()
		seg.acks, seg.acksSize = a, size/markBytes*markBytes
	}
	if _, err := seg.acks.WriteAt(seg.unmarked, seg.acksSize); err == nil {
		seg.acksSize += int64(len(seg.unmarked))
		seg.unmarked = seg.unmarked[:0]
	}
}

// Oldest returns the oldest record that waits, checked against its CRC. It
// stays until Ack, so that calling again returns the same. The payload is
// valid until the next call; the marks are the caller's. Records that are damaged or too old are counted
// and passed over. ErrEmpty says that there is none, ErrUnavailable that there
// may be, but that they cannot be read now.
func (s *Spool) Oldest() (Record, error) {
	s.mu.Lock()
	defer s.unlock()
	for {
		seg, i := s.head()
		if seg == nil {
			s.closeRead()
			s.readBuf = nil
			if s.blind || !s.mounted {
				return Record{}, s.unavailable()
			}
			return Record{}, ErrEmpty
		}
		e := &seg.entries[i]
		if seg.finished(i) {
			s.settleEntry(seg, i, delivered) // its Ack got lost
			continue
		}
		if s.tooOld(e.timeMS) {
			s.settleEntry(seg, i, expired)
			continue
		}
		b, err := s.read(seg, i)
		switch {
		case err == nil:
			return Record{e.id(), int64(e.items), e.timeMS, b[headerBytes:], seg.marks(i)}, nil
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

// head returns the oldest pending entry that can be had, or nil; mu is held.
func (s *Spool) head() (*segment, int) {
	for _, seg := range s.segs {
		for i := seg.head; i < len(seg.entries); i++ {
			if seg.entries[i].fate == pending && (!s.blind || seg.copyOf(i) != nil) {
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
