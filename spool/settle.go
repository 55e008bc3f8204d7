package spool

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// maxOwed bounds the copies in memory that wait for an fsync.
	maxOwed = 1 << 20

	// The wait before a probe; it starts anew once the disk has been usable for
	// longer than steady.
	probeMin = 5 * time.Second
	probeMax = 60 * time.Second
	steady   = 2 * probeMax

	// A probe writes as much as was refused, within these bounds: a page may
	// fit where a record does not.
	probeBytes    = 4 << 10
	maxProbeBytes = 1 << 20
)

// Everything in this file may wait for the device. It runs with slow held and
// takes mu only around what it reads and changes. Segment files are closed,
// cut and removed here alone, so that a file in use here stays open.

// settle makes what was appended durable and removes what is no longer needed.
// If an fsync fails, the file is given up and its records are rewritten at once.
func (s *Spool) settle() error {
	s.slow.Lock()
	defer s.slow.Unlock()
	if s.lock == nil {
		s.mu.Lock()
		defer s.unlock()
		if s.closed {
			return s.unavailable()
		}
		return nil // nothing was appended
	}
	if err := s.flush(); err != nil {
		return s.repair()
	}
	return s.sweep()
}

// retry tries an unusable disk again.
func (s *Spool) retry() {
	s.slow.Lock()
	defer s.slow.Unlock()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return
	}
	var err error
	if s.lock == nil {
		err = s.mount()
	} else {
		// Removing files first may be what makes the disk usable; if it fails,
		// so will the probe.
		_ = s.sweep()
		err = s.repair()
	}
	s.mu.Lock()
	defer s.unlock()
	switch {
	case err == nil:
	case s.cause == nil:
		s.down(err)
	default:
		s.cause = err
		s.postpone()
	}
}

// sync makes a file durable, as far as the mode wants that.
func (s *Spool) sync(f file) error {
	if s.cfg.Fsync == FsyncNever {
		return nil
	}
	s.fsyncs.Add(1)
	return f.Sync()
}

func (s *Spool) syncDir(dir string) error {
	if s.cfg.Fsync == FsyncNever {
		return nil
	}
	s.fsyncs.Add(1)
	return s.disk.SyncDir(dir)
}

// unsynced is a segment and how much of it an fsync that starts now covers.
type unsynced struct {
	seg  *segment
	f    file
	size int64
	err  error
}

// flush fsyncs what was written, then the directory if it has new names. Where
// that fails the segment becomes bad and its copies stay.
func (s *Spool) flush() error {
	s.mu.Lock()
	var todo []unsynced
	segs := s.segs
	if s.draft != nil {
		segs = append(slices.Clip(segs), s.draft)
	}
	for _, seg := range segs {
		// One that was sealed with all of it synced is still to be closed.
		// Without fsyncs this still finds out that a file was removed.
		if seg.f != nil && !seg.bad && (seg.synced < seg.size || seg.sealed || s.cfg.Fsync == FsyncNever) {
			todo = append(todo, unsynced{seg: seg, f: seg.f, size: seg.size})
		}
	}
	s.mu.Unlock()
	var dirErr error
	for i := range todo {
		t := &todo[i]
		if t.err = s.sync(t.f); t.err == nil {
			// An fsync of a file that was removed succeeds too.
			t.err = s.disk.Exists(t.seg.name())
		}
	}
	// One call serves all new names: most often there is one at most.
	if slices.ContainsFunc(todo, func(t unsynced) bool { return !t.seg.named }) {
		dirErr = s.syncDir(".")
	}
	s.mu.Lock()
	defer s.unlock()
	var first error
	for _, t := range todo {
		if err := errors.Join(t.err, dirErr); err != nil {
			first = cmp.Or(first, err)
			s.giveUp(t.seg)
			continue
		}
		t.seg.named = true
		s.cover(t.seg, t.size)
	}
	if first != nil {
		s.down(first)
	}
	return first
}

// cover drops the copies of what an fsync up to size covers; mu is held.
func (s *Spool) cover(seg *segment, size int64) {
	seg.synced = max(seg.synced, size)
	for len(seg.copies) > 0 && int64(seg.entries[seg.covered].off)+int64(seg.entries[seg.covered].length) <= size {
		s.owed -= int64(len(seg.copies[0]))
		seg.copies[0] = nil
		seg.copies = seg.copies[1:]
		seg.covered++
	}
	if seg.sealed && seg.synced == seg.size {
		_ = seg.f.Close()
		seg.f = nil
	}
}

// repair probes the disk, rewrites the records of bad segments to a new one
// and makes them durable; then the spool is usable.
func (s *Spool) repair() error {
	err := s.probe()
	if err == nil {
		// What the last try rewrote, or each would leave a file.
		s.cutBad()
		err = s.rehome()
	}
	if err == nil {
		err = s.flush()
	}
	if err == nil {
		// Before the ledger is written: cutting moves counts to it.
		s.cutBad()
		err = s.sweep()
	}
	s.mu.Lock()
	defer s.unlock()
	if err != nil {
		s.down(err)
		return err
	}
	s.up()
	return nil
}

// probe finds out whether the disk takes writes and the directory is ours.
func (s *Spool) probe() error {
	if !s.lock.Held() {
		// Somebody removed the directory; another process may have made it anew.
		if err := s.disk.Mkdir("."); err != nil {
			return err
		}
		l, err := s.disk.Lock()
		if err != nil {
			return err
		}
		s.mu.Lock()
		_ = s.lock.Close()
		s.lock = l
		s.ledgerEdits++
		s.mu.Unlock()
	}
	s.mu.Lock()
	b := make([]byte, min(max(s.refused, probeBytes), maxProbeBytes))
	s.mu.Unlock()
	if err := s.checkFree(int64(len(b))); err != nil {
		return err
	}
	f, err := s.disk.Create(probeName)
	if err != nil {
		return err
	}
	// Not zeros, which some file systems keep without taking any space.
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = s.sync(f)
	}
	return errors.Join(err, f.Close(), s.disk.Remove(probeName))
}

// rehome writes the copies of bad segments to good ones.
func (s *Spool) rehome() error {
	s.mu.Lock()
	defer s.unlock()
	bad := slices.Clone(s.segs)
	bad = slices.DeleteFunc(bad, func(seg *segment) bool { return !seg.bad })
	if len(bad) > 0 {
		s.seal() // the name of the active segment counts what is written again
	}
	for _, seg := range bad {
		for k, b := range seg.copies {
			i := seg.covered + k
			if seg.entries[i].fate != pending {
				continue
			}
			e := &seg.entries[i]
			h := header{
				kind: typeData, payloadLen: uint32(len(b) - headerBytes), ID: e.id(),
				items: e.items, timeMS: e.timeMS, payloadCRC: binary.LittleEndian.Uint32(b[offPayloadCRC:]),
			}
			if err := s.put(&h, b); err != nil {
				return err
			}
			s.note(s.active, len(s.active.entries)-1, seg.notes[e.off])
			seg.settle(i, moved)
		}
	}
	return nil
}

// cutBad cuts the bad segments that have nothing left to rewrite.
func (s *Spool) cutBad() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segs {
		if seg.bad && !slices.ContainsFunc(seg.entries[seg.covered:], func(e entry) bool { return e.fate == pending }) {
			s.cut(seg)
		}
	}
}

// cut takes from a bad segment what was rewritten; mu is held.
func (s *Spool) cut(seg *segment) {
	for i := range seg.copies {
		s.owed -= int64(len(seg.copies[i]))
		if seg.entries[seg.covered+i].fate == moved {
			continue
		}
		// Settled here, but not in the file any more: it counts as gone.
		t := seg.tallyOf(seg.covered + i)
		seg.tally.add(t, -1)
		s.ledger.totals.add(t, 1)
		s.ledgerEdits++
	}
	seg.entries, seg.copies = seg.entries[:seg.covered], nil
	seg.head = min(seg.head, seg.covered)
	// If this fails, opening again finds the records twice: see supersede.
	if err := seg.f.Truncate(seg.synced); err == nil {
		s.used -= seg.size - seg.synced
		seg.size = seg.synced
	}
	_ = seg.f.Close()
	seg.f, seg.bad = nil, false
}

// sweep writes the ledger if it changed and then removes the segments that it
// counts as gone: in this order, so that no crash can lose the count.
func (s *Spool) sweep() error {
	for {
		more, err := s.sweepSome()
		if err != nil {
			s.mu.Lock()
			s.down(err)
			s.unlock()
		}
		if err != nil || !more {
			return err
		}
	}
}

func (s *Spool) sweepSome() (more bool, err error) {
	s.mu.Lock()
	for _, seg := range slices.Clone(s.segs) {
		if seg.done() {
			s.retire(seg)
		}
	}
	gone := slices.Clone(s.retired[:min(len(s.retired), maxRetired)])
	edits := s.ledgerEdits
	if len(gone) == 0 && edits == s.ledgerSaved {
		s.mu.Unlock()
		return false, nil
	}
	l := s.ledger
	l.generation++
	l.ever, l.losses, l.retired = s.ever(), maps.Clone(s.ledger.losses), nil
	for _, seg := range gone {
		l.totals.add(seg.tally, 1)
		l.retired = append(l.retired, seg.segmentID)
	}
	s.mu.Unlock()

	if err := s.writeLedger(&l); err != nil {
		return false, fmt.Errorf("write ledger: %w", err)
	}
	s.mu.Lock()
	// Whatever comes next, the next write must spare this slot.
	s.ledger.generation, s.saved = l.generation, l
	s.mu.Unlock()
	if err := s.remove(gone); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.unlock()
	for _, seg := range gone {
		s.ledger.totals.add(seg.tally, 1)
		s.used -= seg.size + seg.acksSize
	}
	s.retired = slices.Delete(s.retired, 0, len(gone))
	s.ledgerSaved = edits
	return len(s.retired) > 0, nil
}

// remove removes segments and their sidecars, durably.
func (s *Spool) remove(gone []*segment) error {
	for _, seg := range gone {
		for _, f := range []file{seg.f, seg.acks} {
			if f != nil {
				_ = f.Close()
			}
		}
		seg.f, seg.acks = nil, nil
		if err := s.disk.Remove(seg.sidecar()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if s.quarantine(seg) {
			continue
		}
		if err := s.disk.Remove(seg.name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(gone) == 0 {
		return nil
	}
	s.mu.Lock()
	kept := len(s.kept.files) > 0
	s.mu.Unlock()
	if kept {
		// Half a rename would bring the segment back.
		if err := s.syncDir(quarantineDir); err != nil {
			return err
		}
	}
	return s.syncDir(".")
}
