package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
)

// gaps are the bytes of a sidecar that say nothing.
type gaps struct {
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
		return o.gaps.damaged == 0, err
	})
	if err != nil {
		return in.unreadable(name, Damage, err)
	}
	if o.gaps.damaged == 0 {
		return nil
	}
	return in.show(Finding{
		Found: FoundSidecar, Severity: Damage, File: name, Length: o.gaps.size, LostKnown: true,
		Problem: fmt.Sprintf("%d bytes are damaged: records may be sent twice, none is lost", o.gaps.damaged),
	})
}

// readMarks applies what the sidecar holds now, entry by entry.
func (in *inspector) readMarks(o *opened, f file) error {
	around, err := newSalvage(f, in.stop)
	if err != nil {
		return err
	}
	o.gaps = gaps{size: around.size}
	var gapErr error
	_, err = readSidecar(around, o.salt, o.apply, func(off, length int64) {
		harmless, err := unwritten(around, off, length)
		gapErr = errors.Join(gapErr, err)
		if !harmless {
			o.gaps.damaged += length
		}
	})
	return errors.Join(err, gapErr)
}

// unwritten says that a gap in a sidecar is what a crash leaves: zeros, or at
// the end an entry that is cut short.
func unwritten(f *salvage, off, length int64) (bool, error) {
	if blank, err := isBlank(f, off, length); blank || err != nil {
		return blank, err
	}
	if off+length < f.size {
		return false, nil
	}
	if length < minMarkBytes {
		return true, nil
	}
	var b [markHeader]byte
	err := readFull(f, b[:], off)
	claimed := minMarkBytes + int64(binary.LittleEndian.Uint16(b[6:]))
	return b[5] == formatVersion && claimed > length, err
}
