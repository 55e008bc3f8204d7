package spool

import "fmt"

// Fsync says when records reach the device. None of the modes loses an
// appended record when only the process dies.
type Fsync uint8

const (
	// FsyncInterval syncs every second, so that a power cut costs at most that
	// second and the fsync under way.
	FsyncInterval Fsync = iota
	// FsyncAlways syncs in Append, so that a power cut costs nothing that was
	// appended.
	FsyncAlways
	// FsyncNever leaves it to the kernel, and so costs what that had not
	// written back.
	FsyncNever
)

var fsyncNames = [...]string{"interval", "always", "never"}

// String returns interval, always or never.
func (m Fsync) String() string {
	if int(m) < len(fsyncNames) {
		return fsyncNames[m]
	}
	return fmt.Sprintf("Fsync(%d)", uint8(m))
}

// UnmarshalText accepts what String returns.
func (m *Fsync) UnmarshalText(text []byte) error {
	for i, name := range fsyncNames {
		if name == string(text) {
			*m = Fsync(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not one of interval, always, never", text)
}
