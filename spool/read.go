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
func (s *Spool) Ack(epoch, seq uint64) bool {
	s.mu.Lock()
	defer s.unlock()
	// What Oldest returned, as a rule.
	seg, i := s.head()
	if seg == nil || seg.entries[i].epoch != epoch || seg.entries[i].seq != seq {
		seg, i = s.find(epoch, seq)
	}
	if seg == nil {
		return false
	}
	s.settleEntry(seg, i, delivered)
	return true
}

// find returns a pending entry by name, or nil; mu is held.
func (s *Spool) find(epoch, seq uint64) (*segment, int) {
	// It is nearly always the newest or the oldest.
	if n := len(s.segs); n > 0 {
		if i := s.segs[n-1].find(epoch, seq); i >= 0 {
			return s.segs[n-1], i
		}
		for _, seg := range s.segs[:n-1] {
			if i := seg.find(epoch, seq); i >= 0 {
				return seg, i
			}
		}
	}
	return nil, 0
}

// settleEntry gives entry i its fate and notes it in the sidecar, unless the
// whole segment goes; mu is held.
func (s *Spool) settleEntry(seg *segment, i int, f fate) {
	off := seg.entries[i].off
	seg.settle(i, f)
	if seg.done() {
		s.retire(seg)
		return
	}
	if seg.acks == nil {
		a, err := s.disk.Create(seg.sidecar())
		if err != nil {
			return // costs a re-send at worst
		}
		// A whole number of entries, so that a torn one is written over.
		size, _ := a.Size()
		seg.acks, seg.acksSize = a, size/markBytes*markBytes
	}
	b := encodeMark(seg.salt, off, f)
	if _, err := seg.acks.WriteAt(b[:], seg.acksSize); err == nil {
		seg.acksSize += markBytes
	}
}

// Oldest returns the oldest record that waits, checked against its CRC. It
// stays until Ack, so that calling again returns the same. The payload is
// valid until the next call. Records that are damaged or too old are counted
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
		if s.tooOld(e.timeMS) {
			s.settleEntry(seg, i, expired)
			continue
		}
		b, err := s.read(seg, i)
		switch {
		case err == nil:
			return Record{e.epoch, e.seq, int64(e.items), e.timeMS, b[headerBytes:]}, nil
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
	if err != nil || h.length != int64(e.length) || h.epoch != e.epoch || h.seq != e.seq ||
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
