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
	for _, name := range names {
		if l, ok := parseLetterName(name); ok {
			if err := in.letter(deadDir+"/"+name, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseLetterName reads the name of a letter, to be sent again or not; only
// what letterName makes is one.
func parseLetterName(name string) (r Record, ok bool) {
	var timeMS uint64
	suffix := path.Ext(name)
	if _, err := fmt.Sscanf(name, "%016x-%016x-%016x", &timeMS, &r.Epoch, &r.Seq); err != nil {
		return r, false
	}
	_, _ = fmt.Sscanf(name[min(len(name), 3*16+2):], "-%04x", &r.Part) // 0 if there is none
	r.TimeMS = int64(timeMS)
	stem := name[:len(name)-len(suffix)]
	return r, (suffix == letterSuffix || suffix == replaySuffix) && stem+letterSuffix == letterName(r.TimeMS, r.ID)
}

// letter shows the letter in a file whose name speaks of r.
func (in *inspector) letter(name string, r Record) error {
	f := Finding{Found: FoundLetter, File: name, Record: r, State: StateDead, LostKnown: true}
	if path.Ext(name) == replaySuffix {
		f.State = StateReplay
	}
	err := in.settled(func() (bool, error) {
		var err error
		f.Record, f.Reason, err = readLetter(in.disk, name)
		if errors.Is(err, errDamaged) {
			return false, nil
		}
		return true, err
	})
	same := f.Record.TimeMS == r.TimeMS && f.Record.ID == r.ID
	switch {
	case err != nil:
		return in.unreadable(name, Damage, err)
	case f.Record.Payload == nil, !same:
		// It was counted as dead when it was set aside.
		f.Record, f.Reason, f.LostKnown = r, "", false
		f.Severity, f.Problem = Damage, "damaged; its points are counted as dead"
		return in.show(f)
	}
	f.PayloadBytes = int64(len(f.Record.Payload))
	f.Length = f.PayloadBytes + 2*headerBytes + int64(len(f.Reason))
	in.sum.Letters++
	in.sum.LetterPoints += f.Record.Items
	in.sum.LetterBytes += f.Length
	if f.State == StateReplay {
		in.sum.Replays++
	}
	return in.show(f)
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
