package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// A live spool's last bytes may be half written: they are looked at again, so
// often, after such a pause.
const (
	lookAgain = 5
	lookPause = 30 * time.Millisecond
)

// lookFS is a directory whose files are opened without a change to their modes.
type lookFS string

func (d lookFS) List(dir string) ([]string, error) { return osFS(d).List(dir) }

func (d lookFS) Open(name string) (file, error) {
	path, err := osFS(d).in(name)
	if err != nil {
		return nil, err
	}
	f, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// inspector is one run of Inspect.
type inspector struct {
	Query
	stop  func() error // says whether the caller has had enough
	disk  looker
	owner ownership
	see   func(Finding) error

	ledger ledger
	totals tally
	chain  chain
	sum    Summary
	after  *Neighbour // the last record with a sound header
	buf    []byte
}

// ownership says whether a process holds the lock.
type ownership uint8

const (
	ownerUnknown ownership = iota
	ownerNone
	ownerLives
)

func inspect(ctx context.Context, q Query, disk looker, owner ownership, see func(Finding) error) (Summary, error) {
	in := &inspector{Query: q, stop: ctx.Err, disk: disk, owner: owner, see: see}
	in.sum.Owned = owner == ownerLives
	names, err := disk.List(".")
	if err != nil {
		return in.sum, fmt.Errorf("look into the spool: %w", err)
	}
	if len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return !strange(name) }) {
		// To call that a sound and empty spool would be a trap.
		return in.sum, fmt.Errorf("look into the spool: the directory holds other things only: %w", fs.ErrNotExist)
	}
	err = in.readLedger(slices.ContainsFunc(names, isSegment))
	in.chain = newChain(&in.ledger)
	if err == nil && q.Segments {
		err = in.segments(names)
	}
	if err == nil && q.Letters {
		err = in.letters()
	}
	if err == nil && q.Quarantine {
		err = in.quarantine()
	}
	in.finish()
	return in.sum, err
}

func isSegment(name string) bool {
	_, sidecar, ok := parseName(name)
	return ok && !sidecar
}

// show passes a finding on and counts it.
func (in *inspector) show(f Finding) error {
	switch f.Severity {
	case Damage:
		in.sum.Damages++
		in.sum.Lost += f.Lost
	case Notice:
		in.sum.Notices++
	case Sound:
	}
	if err := in.see(f); err != nil {
		return err
	}
	return in.stop()
}

// unreadable shows a file or directory that cannot be read; one that is gone
// was removed by a live spool.
func (in *inspector) unreadable(name string, severity Severity, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		in.sum.Moved = true
		return nil
	}
	if stop := in.stop(); stop != nil {
		return stop
	}
	return in.show(Finding{Found: FoundFile, Severity: severity, File: name, Problem: "cannot be read: " + err.Error()})
}

// settled calls look until it says that what it saw is whole, as long as
// somebody may be writing.
func (in *inspector) settled(look func() (whole bool, err error)) error {
	for n := 1; ; n++ {
		whole, err := look()
		if whole || err != nil || n == lookAgain || in.owner == ownerNone {
			return err
		}
		time.Sleep(lookPause)
	}
}

// readLedger takes the totals of what is gone.
func (in *inspector) readLedger(expected bool) error {
	var sound [2]bool
	var missing bool
	err := in.settled(func() (bool, error) {
		f, err := in.disk.Open(ledgerName)
		if missing = errors.Is(err, fs.ErrNotExist); missing {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		defer f.Close() //nolint:errcheck // opened for reading
		around, err := newSalvage(f, in.stop)
		if err == nil {
			in.ledger, sound, err = readSlots(around)
		}
		return sound[0] && sound[1], err
	})
	in.totals, in.sum.LettersLost = in.ledger.all(), in.ledger.lettersLost
	f := Finding{Found: FoundLedger, File: ledgerName, Length: slotBytes, Severity: Damage, LostKnown: true}
	switch {
	case err != nil:
		return in.unreadable(ledgerName, Damage, err)
	case missing && expected:
		f.Length, f.Severity, f.Problem = 0, Notice, "is not there: totals count only what the segments hold"
	case missing, sound[0] && sound[1]:
		return nil
	case !sound[0] && !sound[1]:
		f.Length, f.Problem = 2*slotBytes, "neither copy is sound: the totals of what is gone are lost"
	default:
		if sound[0] {
			f.Offset = slotBytes
		}
		f.Problem = "one copy is damaged, the other stands: counts of the last moment before may be missing"
	}
	return in.show(f)
}

// finish adds up.
func (in *inspector) finish() {
	s, t := &in.sum, in.totals
	s.Appended, s.Delivered, s.Evicted = t.appended, t.delivered, t.evicted
	s.Expired, s.Corrupt, s.Dead = t.expired, t.corrupt, t.dead
	for reason, points := range in.ledger.losses {
		s.Losses = append(s.Losses, Loss{reason, points})
	}
	slices.SortFunc(s.Losses, func(a, b Loss) int { return cmp.Compare(a.Reason, b.Reason) })
	in.moved()
}

// moved finds out whether the spool was at work meanwhile.
func (in *inspector) moved() bool {
	if l, err := readLedger(in.disk); err == nil && l.generation != in.ledger.generation {
		in.sum.Moved = true
	}
	return in.sum.Moved
}
