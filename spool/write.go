package spool

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"syscall"
)

// Append adds a record. When it returns nil the record outlives the process
// and, with FsyncAlways, the machine; the payload is the caller's again. A
// record that would take the spool over MaxBytes evicts the oldest segment. The
// note is kept as if Note had set it.
//
// ErrUnavailable and ErrTooLarge mean that the caller still has the only copy.
// Append waits for the device with FsyncAlways, when it evicts, and when more
// than 1 MiB waits for an fsync; otherwise only for the page cache.
func (s *Spool) Append(r Record) error {
	if err := s.fits(r); err != nil {
		return err
	}
	h, b, err := s.admitted(r, typeData)
	if err != nil {
		return err
	}
	if err := s.put(&h, b); err != nil {
		defer s.unlock()
		s.down(err)
		s.refused = max(s.refused, int64(len(b)))
		return s.unavailable()
	}
	s.note(s.active, len(s.active.entries)-1, r.Note)
	owed := s.owed
	s.unlock()
	if s.cfg.Fsync == FsyncAlways {
		return s.commit(r)
	}
	if owed > maxOwed {
		// A failed fsync loses nothing here: the copies stay.
		_ = s.settle()
	}
	return nil
}

// admitted makes room for a record, and returns its header and its bytes, in
// which the header is still to be filled in. Without an error mu is held.
func (s *Spool) admitted(r Record, kind byte) (h header, b []byte, err error) {
	need := headerBytes + int64(len(r.Payload))
	for {
		s.mu.Lock()
		if err := s.admit(need); err != nil {
			s.unlock()
			return h, nil, err
		}
		if s.used+need+headerBytes <= s.room() {
			break
		}
		if len(s.retired) == 0 && !s.evict() {
			s.down(errUnknown)
			defer s.unlock()
			return h, nil, s.unavailable()
		}
		s.unlock()
		// What settle could not do shows in admit.
		_ = s.settle()
	}
	h = header{
		kind: kind, payloadLen: uint32(len(r.Payload)), ID: r.ID,
		items: uint32(r.Items), timeMS: r.TimeMS, payloadCRC: crc32.Checksum(r.Payload, castagnoli),
	}
	b = s.buffer(int(need), kind)
	copy(b[headerBytes:], r.Payload)
	return h, b, nil
}

// maxItems is how many points a record can have.
const maxItems = math.MaxUint32

// fits is an error if a record can never be appended.
func (s *Spool) fits(r Record) error {
	most := min(s.cfg.MaxBytes-2*(s.cfg.MaxBytes/asideShare), maxFileBytes-s.segmentBytes)
	if 2*headerBytes+int64(len(r.Payload)) > most || r.Items < 0 || r.Items > maxItems {
		return fmt.Errorf("%w: %d bytes, %d points", ErrTooLarge, len(r.Payload), r.Items)
	}
	return nil
}

// commit syncs what Append just wrote; if that cannot be done the record is
// the caller's again.
func (s *Spool) commit(r Record) error {
	err := s.settle()
	s.mu.Lock()
	defer s.unlock()
	seg, i := s.find(r.ID)
	// Without an error it may still be in a segment that another call gave up.
	if seg == nil || seg.copyOf(i) == nil || err == nil && !seg.bad {
		return nil
	}
	s.owed -= int64(len(seg.copyOf(i)))
	// The ledger, or a segment's name, may count it already.
	s.ledger.origin += uint64(seg.entries[i].items)
	s.ledgerEdits++
	seg.withdraw(i)
	return fmt.Errorf("%w: %w", ErrUnavailable, cmp.Or(err, s.cause))
}

// admit says whether need bytes may be written now; mu is held.
func (s *Spool) admit(need int64) error {
	if s.cause == nil {
		if err := s.checkFree(need); err != nil {
			s.down(err)
		}
	}
	if s.cause != nil {
		s.refused = max(s.refused, need)
	}
	return s.unavailable()
}

// checkFree says whether need bytes leave MinFree free. Without that guard it
// does not ask: some file systems without a limit say that nothing is free.
func (s *Spool) checkFree(need int64) error {
	if s.cfg.MinFree <= 0 {
		return nil
	}
	free, err := s.disk.Free()
	if err != nil {
		return err
	}
	if free-need < s.cfg.MinFree {
		return fmt.Errorf("%w: %d of %d bytes", errLowSpace, free, s.cfg.MinFree)
	}
	return nil
}

// unavailable is the cause as callers see it; mu is held.
func (s *Spool) unavailable() error {
	if s.cause == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, s.cause)
}

// buffer returns n bytes for a record; mu is held.
func (s *Spool) buffer(n int, kind byte) []byte {
	keeps := kind == typeData && s.cfg.Fsync != FsyncNever
	if keeps || n > 64<<10 {
		return make([]byte, n)
	}
	s.writeBuf = slices.Grow(s.writeBuf[:0], n)[:n]
	return s.writeBuf
}

// put writes the record in b, whose header it fills in, to the active segment
// and keeps b until an fsync covers it; mu is held.
func (s *Spool) put(h *header, b []byte) error {
	if s.active != nil && s.active.size+int64(len(b))+headerBytes > s.segmentBytes {
		s.seal()
	}
	if s.active == nil {
		seg, err := s.newSegment()
		if err != nil {
			return err
		}
		s.segs, s.active = append(s.segs, seg), seg
	}
	seg := s.active
	if err := s.write(seg, h, b); err != nil {
		seg.sealed, s.active = true, nil
		if errors.Is(err, syscall.EFBIG) && seg.size > 0 {
			// A limit below the size of a segment: a new one has room.
			return s.put(h, b)
		}
		return err
	}
	seg.add(h, seg.size-h.length)
	seg.items += uint64(h.items)
	if s.cfg.Fsync == FsyncNever {
		seg.covered = len(seg.entries)
		return nil
	}
	seg.copies = append(seg.copies, b)
	s.owed += int64(len(b))
	return nil
}

// write writes a record behind those of a segment; mu is held.
func (s *Spool) write(seg *segment, h *header, b []byte) error {
	h.salt, h.before, h.length = seg.salt, seg.items, int64(len(b))
	h.encode(b)
	if _, err := seg.f.WriteAt(b, seg.size); err != nil {
		// What did get written must not be taken for a record; should this
		// fail as well, its header shows that it is torn.
		_ = seg.f.Truncate(seg.size)
		return err
	}
	s.grow(seg, h.length)
	return nil
}

func (s *Spool) grow(seg *segment, n int64) {
	seg.size += n
	s.used += n
	if s.cfg.Fsync == FsyncNever {
		seg.synced = seg.size
	}
}

// newSegment makes a segment; mu is held.
func (s *Spool) newSegment() (*segment, error) {
	if !s.lock.Held() {
		return nil, errLost
	}
	seg := &segment{segmentID: segmentID{s.next, s.ever(), rand.Uint32()}}
	f, err := s.disk.Create(seg.name())
	if err != nil {
		return nil, err
	}
	s.next++
	seg.f = f
	// The ledger is made together with the first segment, while there is room.
	if s.ledger.generation == 0 {
		s.ledgerEdits++
	}
	return seg, nil
}

// seal ends the active segment with a record that says what it held, so that
// a loss at its end can be counted; mu is held.
func (s *Spool) seal() {
	seg := s.active
	if seg == nil {
		return
	}
	s.active, seg.sealed = nil, true
	var b [headerBytes]byte
	h := header{kind: typeEnd, salt: seg.salt, before: seg.items}
	h.encode(b[:])
	if _, err := seg.f.WriteAt(b[:], seg.size); err == nil {
		s.grow(seg, headerBytes)
	} else {
		// A segment is whole without it.
		_ = seg.f.Truncate(seg.size)
	}
}

// giveUp stops trusting a segment beyond what earlier fsyncs covered; mu is
// held.
func (s *Spool) giveUp(seg *segment) {
	if seg == s.draft {
		s.discard() // its owner has what is in it
		return
	}
	seg.bad, seg.sealed = true, true
	if s.active == seg {
		s.active = nil
	}
}

// retire takes a segment out of use; sweep removes its file. mu is held.
func (s *Spool) retire(seg *segment) {
	if seg == s.active {
		s.active = nil
	}
	if seg == s.readSeg {
		s.closeRead()
	}
	for _, c := range seg.copies {
		s.owed -= int64(len(c))
	}
	seg.copies, seg.entries, seg.notes, seg.dead, seg.unmarked = nil, nil, nil, nil, nil
	seg.head, seg.sealed = 0, true
	s.segs = slices.DeleteFunc(s.segs, func(o *segment) bool { return o == seg })
	s.retired = append(s.retired, seg)
}

// evict gives up the oldest segment and reports whether there was one. A loss
// that cannot be counted is no way to make room: what another version wrote, or
// cannot be read, stays. Where there is none, the draft makes room. mu is held.
func (s *Spool) evict() bool {
	i := slices.IndexFunc(s.segs, func(seg *segment) bool { return seg.foreign == 0 && !seg.unreadable })
	if i < 0 {
		drafted := s.draft != nil // its owner has what is in it
		s.discard()
		return drafted
	}
	seg := s.segs[i]
	seg.settleAll(evicted, true)
	s.retire(seg)
	return true
}

// MakeRoom tries an unusable disk at once and, if it is still full, gives up
// the oldest segment and tries again. It is for an owner whose memory is full
// too: newer data is worth more. It returns nil if the spool is usable.
func (s *Spool) MakeRoom() error {
	err := s.tryNow()
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) && !errors.Is(err, errLowSpace) {
		return err
	}
	s.mu.Lock()
	s.evict()
	s.unlock()
	return s.tryNow()
}

// tryNow probes a disk that is unusable and returns the cause if it stays so.
func (s *Spool) tryNow() error {
	s.mu.Lock()
	usable := s.cause == nil
	s.unlock()
	if usable {
		return nil
	}
	s.retry()
	s.mu.Lock()
	defer s.unlock()
	return s.unavailable()
}
