package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// letters shows the dead letters, by age.
func (in *inspector) letters() error {
	names, err := in.disk.List(deadDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return in.unreadable(deadDir, Damage, err)
	}
	paths := letterPaths(names)
	last := lastPlaces(in.disk, paths)
	for _, path := range paths {
		if err := in.letter(path, last); err != nil {
			return err
		}
	}
	return nil
}

// letter shows the entries of one that count.
func (in *inspector) letter(name string, last map[ID]place) error {
	state := StateDead
	if isReplay(name) {
		state = StateReplay
	}
	var entries []letterEntry
	var damaged bool
	err := in.settled(func() (bool, error) {
		var err error
		entries = entries[:0]
		damaged, err = readLetter(in.disk, name, func(e letterEntry) error {
			entries = append(entries, e)
			return in.stop()
		})
		return !damaged, err
	})
	if err != nil {
		return in.unreadable(name, Damage, err)
	}
	id, _ := parseLetterName(path.Base(name))
	if len(entries) > 0 {
		in.sum.Letters++
		if state == StateReplay {
			in.sum.Replays++
		}
	}
	missing := int64(min(id.points, maxLoss))
	for _, e := range entries {
		missing -= e.Items
		if !e.counts(last) {
			continue
		}
		in.sum.LetterEntries++
		in.sum.LetterPoints += e.Items
		in.sum.LetterBytes += e.length
		if err := in.show(Finding{
			Found: FoundLetter, File: name, Offset: e.off, Length: e.length, Of: e.Of, Record: e.Record,
			PayloadBytes: int64(len(e.Payload)), State: state, Reason: e.Reason, LostKnown: true,
		}); err != nil {
			return err
		}
	}
	if !damaged {
		return nil
	}
	// They were counted as dead when they were set aside.
	return in.show(Finding{
		Found: FoundLetter, Severity: Damage, File: name, State: state, LostKnown: true,
		Problem: fmt.Sprintf("damaged: %d of its points cannot be read; they are counted as dead", max(missing, 0)),
	})
}

// quarantine shows what was set aside because of damage.
func (in *inspector) quarantine() error {
	names, err := in.disk.List(quarantineDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return in.unreadable(quarantineDir, Notice, err)
	}
	in.after = nil
	for _, name := range names {
		if isSegment(name) {
			if err := in.segment(quarantineDir, name, false); err != nil {
				return err
			}
		}
	}
	return nil
}
