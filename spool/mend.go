package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Replay has dead letters sent again: it renames each File of a FoundLetter
// from .dead to .replay, which the spool's owner looks for every ten seconds,
// and soon after it opened. It may run beside a live spool. A letter that is gone
// meanwhile, or marked already, is passed over; done counts those renamed.
func Replay(dir string, files []string) (done int, err error) {
	return replayLetters(osFS(dir), files)
}

func replayLetters(disk fileSystem, files []string) (done int, err error) {
	for _, name := range files {
		to, isDead := strings.CutSuffix(name, letterSuffix)
		if !isDead {
			continue
		}
		if !discardable(name) {
			return done, fmt.Errorf("%s is no dead letter", name)
		}
		err := disk.Rename(name, to+replaySuffix)
		if err == nil {
			done++
		} else if !errors.Is(err, fs.ErrNotExist) {
			return done, err
		}
	}
	if done == 0 {
		return 0, nil
	}
	return done, disk.SyncDir(deadDir)
}

// Discard removes dead letters and what is in quarantine, by the File of their
// findings, and nothing else. It may run beside a live spool. Their points stay
// counted as lost. What is gone meanwhile, or is to be sent again, is passed
// over; done counts those removed.
func Discard(dir string, files []string) (done int, err error) {
	return discard(osFS(dir), files)
}

func discard(disk fileSystem, files []string) (done int, err error) {
	for _, name := range files {
		if !discardable(name) {
			return done, fmt.Errorf("%s is neither a dead letter nor in quarantine", name)
		}
		if path.Ext(name) == replaySuffix {
			continue
		}
		err := disk.Remove(name)
		if err == nil {
			done++
		} else if !errors.Is(err, fs.ErrNotExist) {
			return done, err
		}
	}
	return done, nil
}

// discardable says that a file holds nothing that waits.
func discardable(name string) bool {
	base := path.Base(name)
	switch name {
	case deadDir + "/" + base:
		_, ok := parseLetterName(base)
		return ok
	case quarantineDir + "/" + base:
		return isSegment(base)
	}
	return false
}

// purgeBytes stands for the configured bound, which bounds nothing here but
// what finished segments may add to quarantine.
const purgeBytes = 256 << 20

// Purge gives up everything that waits in dir, and counts it as evicted. What
// cannot be counted stays: segments with records of another version, or that
// cannot be read. It takes the directory's lock, and fails if another process
// has it; a directory that is not there is not made. The directory must belong
// to the process's user: files made by another one would lock its agent out.
func Purge(ctx context.Context, dir string) (records, points int64, err error) {
	if err := ownedByAnother(dir); err != nil {
		return 0, 0, err
	}
	return purge(ctx, dir, osFS(dir))
}

func purge(ctx context.Context, dir string, disk fileSystem) (records, points int64, err error) {
	if _, err := disk.List("."); err != nil {
		return 0, 0, err
	}
	s := open(Config{Dir: dir, MaxBytes: purgeBytes, Fsync: FsyncAlways}, disk)
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	before := s.Stats()
	s.mu.Lock()
	cause := s.cause
	for more := cause == nil; more; {
		more = s.evict()
	}
	s.unlock()
	after := s.Stats()
	switch {
	case errors.Is(cause, errLocked):
		return 0, 0, fmt.Errorf("%w: stop the agent first", cause)
	case cause != nil:
		return 0, 0, cause
	}
	if err := s.settle(); err != nil {
		return 0, 0, err
	}
	return before.Records - after.Records, before.Points - after.Points, nil
}
