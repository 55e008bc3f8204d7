package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// syncEvery is how long a record waits for its fsync in interval mode.
const syncEvery = time.Second

// Run makes records durable on time, expires them, writes the ledger and
// probes an unusable disk, until ctx ends. It then returns nil as soon as the
// disk call that it is in returns. It does not touch a disk on which nothing
// waits.
func (s *Spool) Run(ctx context.Context) error {
	t := time.NewTicker(syncEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			s.tick()
		case <-s.wake:
			_ = s.bury(false)
		}
	}
}

func (s *Spool) tick() {
	s.mu.Lock()
	s.expire()
	usable := s.cause == nil
	now := time.Now()
	due := !usable && !now.Before(s.probeAt)
	replay := usable && len(s.dead.files)+len(s.kept.files) > 0 && !now.Before(s.replayAt)
	if replay {
		s.replayAt = now.Add(replayEvery)
	}
	s.unlock()
	switch {
	case usable:
		_ = s.settle() // Notify has the cause
		_ = s.bury(false)
		if replay {
			s.replay()
		}
	case due:
		s.retry()
	default:
		s.slow.Lock()
		defer s.slow.Unlock()
		// Records written before the disk became full are still to be synced.
		_ = s.flush()
	}
}

// expire retires the segments that hold nothing young enough. Single records
// go when they come up in Oldest. mu is held.
func (s *Spool) expire() {
	for _, seg := range slices.Clone(s.segs) {
		if seg.records > 0 && seg.foreign == 0 && !seg.unreadable && s.tooOld(seg.newestMS) {
			seg.settleAll(expired, true)
			s.retire(seg)
		}
	}
}

// Sync makes everything appended durable, in every mode but FsyncNever, and
// writes the ledger and what letters have gathered. It waits for the device, but not longer than ctx; the
// system call that it then leaves behind ends when the kernel lets it.
func (s *Spool) Sync(ctx context.Context) error {
	return bounded(ctx, func() error {
		if err := s.settle(); err != nil {
			return err
		}
		if err := s.bury(true); err != nil {
			return err
		}
		return s.unwritten()
	})
}

// Close does what Sync does, then gives the directory free. Later calls find
// the spool unavailable. It may be called while Run runs, and more than once.
// The error says what could not be made durable.
func (s *Spool) Close(ctx context.Context) error { return bounded(ctx, s.close) }

func (s *Spool) close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	down := s.cause != nil
	s.seal()
	s.missing()
	s.unlock()
	if down {
		s.retry() // the last chance of what is only in memory
	}
	err := s.settle()
	if err == nil {
		if err = s.bury(true); s.abandon() {
			err = s.bury(true) // the count
		}
	}
	if err == nil {
		err = s.unwritten()
	}
	s.slow.Lock()
	defer s.slow.Unlock()
	s.mu.Lock()
	defer s.unlock()
	if s.closed {
		return nil // by another call
	}
	s.closed, s.mounted, s.cause = true, false, errClosed
	s.closeRead()
	segs := slices.Concat(s.segs, s.retired)
	if s.draft != nil {
		segs = append(segs, s.draft) // for the next process
	}
	for _, seg := range segs {
		for _, f := range []file{seg.f, seg.acks} {
			if f != nil {
				err = errors.Join(err, f.Close())
			}
		}
		seg.f, seg.acks = nil, nil
	}
	s.segs, s.retired, s.active, s.draft = nil, nil, nil, nil
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	return err
}

// abandon counts the letters that could not be written and will not be, and
// reports whether there are any. Those of records that wait will come again.
func (s *Spool) abandon() bool {
	s.mu.Lock()
	defer s.unlock()
	waits, some := s.waiting(), false
	for _, g := range s.gather {
		if !waits[g.Of] {
			s.loseLetters(g.Items)
			some = true
		}
	}
	s.gather, s.gatheredBytes = nil, 0
	return some
}

// missing counts what a directory that was removed took with it, since nobody
// will ask for it any more; mu is held.
func (s *Spool) missing() {
	for _, seg := range s.segs {
		if errors.Is(s.disk.Exists(seg.name()), fs.ErrNotExist) {
			seg.settleAll(corrupt, false)
		}
	}
}

// unwritten is an error if records, or counts of loss, are in memory alone.
func (s *Spool) unwritten() error {
	s.mu.Lock()
	defer s.unlock()
	if !s.mounted && s.ledgerEdits != s.ledgerSaved {
		return fmt.Errorf("counts of loss are in memory alone: %w", s.unavailable())
	}
	var points int64
	for _, seg := range s.segs {
		if seg.bad {
			for k := range seg.copies {
				if e := &seg.entries[seg.covered+k]; e.fate == pending {
					points += int64(e.items)
				}
			}
		}
	}
	if points == 0 {
		return nil
	}
	return fmt.Errorf("%d points are in memory alone: %w", points, s.unavailable())
}

// bounded waits for f, but not longer than ctx.
func bounded(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the disk: %w", ctx.Err())
	}
}
