package spool

import (
	"errors"
	"fmt"
	"io/fs"
)

// marks counts the entries of a sidecar that say nothing.
type marks struct {
	size, damaged int64
}

// mark applies the sidecar.
func (in *inspector) mark(o *opened) error {
	name := o.sidecar()
	f, err := in.disk.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return in.unreadable(name, Damage, err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	err = in.settled(func() (bool, error) {
		err := in.readMarks(o, f)
		return o.marks.damaged == 0, err
	})
	if err != nil {
		return in.unreadable(name, Damage, err)
	}
	if o.marks.damaged == 0 {
		return nil
	}
	return in.show(Finding{
		Found: FoundSidecar, Severity: Damage, File: name, Length: o.marks.size, LostKnown: true,
		Problem: fmt.Sprintf("%d entries are damaged: records may be sent twice, none is lost", o.marks.damaged),
	})
}

// readMarks applies what the sidecar holds now, entry by entry.
func (in *inspector) readMarks(o *opened, f file) error {
	around, err := newSalvage(f, in.stop)
	if err != nil {
		return err
	}
	o.marks = marks{size: around.size}
	w := window{f: around}
	for off := int64(0); ; off += markBytes {
		b, err := w.peek(off, markBytes)
		if errors.Is(err, errDamaged) {
			return nil // an entry that is cut short was never written in full
		}
		if err != nil {
			return err
		}
		b = b[:markBytes]
		sound := false
		readMarks(b, o.salt, func(m sidecarMark) {
			sound = true
			o.note(m)
		})
		// Nor was one of zeros.
		if !sound && [markBytes]byte(b) != [markBytes]byte{} {
			o.marks.damaged++
		}
	}
}
