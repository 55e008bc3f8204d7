package spool

import (
	"errors"
	"fmt"
	"slices"
)

// ErrDraftLost says that the draft does not hold what it should: begin it anew.
var ErrDraftLost = errors.New("the draft is gone")

// Draft stores a record that is to be part of a larger one, which is not appended
// yet. The nth record (from 0) begins or continues the draft; the seqs of its
// records follow each other, and the larger record will have the epoch and the
// seq of the first. When Draft returns nil the record outlives the process and,
// with FsyncAlways, the machine; the payload is the caller's again. Its note is
// not used.
//
// In this process a draft is neither returned nor counted. After a kill the next
// one finds its records waiting like any others, unless the larger record is
// there: then the draft is void. End a draft with Discard.
//
// ErrDraftLost says that other than n records are there; ErrUnavailable and
// ErrTooLarge are as in Append. With the first there is no draft, and the caller
// may begin a new one; with the others the record may be there or not, and what
// was there before stays. Draft waits for the device as Append does.
func (s *Spool) Draft(r Record, n int) error {
	if err := s.fits(r); err != nil {
		return err
	}
	h, b, err := s.admitted(r, typeTick)
	if err != nil {
		return err
	}
	if n == 0 {
		s.discard()
		s.draft, err = s.newSegment()
	}
	if err == nil && (s.draft == nil || s.draft.drafted != n) {
		s.discard()
		defer s.unlock()
		return fmt.Errorf("%w: record %d", ErrDraftLost, n)
	}
	if err == nil {
		err = s.write(s.draft, &h, b)
	}
	if err != nil {
		s.down(err)
		defer s.unlock()
		return s.unavailable()
	}
	s.draft.drafted++
	s.draft.items += uint64(h.items)
	s.unlock()
	if s.cfg.Fsync == FsyncAlways {
		return s.settle()
	}
	return nil
}

// Discard ends the draft, if there is one: what it holds is in a record by now,
// or given up. Everything appended before is made durable first; when it returns
// nil no later process finds the draft. It waits for the device, with FsyncNever
// only for the page cache. After an error the draft is gone for this process, and
// the spool goes on trying to remove it.
func (s *Spool) Discard() error {
	s.mu.Lock()
	s.discard()
	removes := len(s.retired) > 0 // it, or one that was lost
	s.unlock()
	if !removes {
		return nil
	}
	return s.settle()
}

// discard has sweep remove the draft; mu is held.
func (s *Spool) discard() {
	if s.draft != nil {
		s.draft.sealed = true
		s.retired = append(s.retired, s.draft)
		s.draft = nil
	}
}

// forgive takes back what counts as lost with a record that a crash cut short, if
// there is a draft of it: its points wait there. slow is held.
func (s *Spool) forgive(segs []*segment) {
	for _, d := range segs {
		if !d.ofTicks || len(d.entries) == 0 || d.isVoid(segs) {
			continue
		}
		first := d.entries[0]
		for _, seg := range segs {
			h := seg.torn
			if h.length == 0 || h.Epoch != first.epoch || h.Seq < first.seq {
				continue
			}
			f, err := s.disk.Create(seg.name())
			if err != nil {
				continue // it stays counted
			}
			if f.Truncate(seg.tornAt) == nil {
				seg.size, seg.torn = seg.tornAt, header{}
				seg.tally.add(tally{appended: int64(h.items), corrupt: int64(h.items)}, -1)
			}
			_ = f.Close()
		}
	}
}

// isVoid reports whether the records of a draft that an earlier process left are
// in a larger record of these segments, whatever became of that, or that process
// began another draft later.
func (seg *segment) isVoid(segs []*segment) bool {
	if !seg.ofTicks || len(seg.entries) == 0 {
		return false
	}
	first := seg.entries[0]
	return slices.ContainsFunc(segs, func(other *segment) bool {
		return (!other.ofTicks || other.number > seg.number) && slices.ContainsFunc(other.entries, func(e entry) bool {
			return e.epoch == first.epoch && e.seq >= first.seq
		})
	})
}
