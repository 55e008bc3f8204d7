package spool

import (
	"syscall"
	"time"
)

// diskFault is what is wrong with a simDisk.
type diskFault string

const (
	diskSound    diskFault = "sound"
	diskFull     diskFault = "full"      // ENOSPC, after a part of the bytes
	diskReadOnly diskFault = "read-only" // EROFS
	diskNoWrite  diskFault = "no write"  // EIO, after a part of the bytes
	diskNoSync   diskFault = "no fsync"  // EIO, and the pages are dropped
	diskNoRead   diskFault = "no read"   // EIO
	diskSlow     diskFault = "slow"
)

// simDisk is a memFS with weather: while it is of a kind, operations fail that
// way with the likelihood p.
type simDisk struct {
	*memFS
	fault   diskFault
	p       float64
	s       *Spool            // nil while it is opened
	removed func(name string) // told of each
	busy    bool              // with an operation that takes long
	slowed  time.Time         // when it last was
	failed  time.Time         // when anything last did
	// shaken says that a process ended, or opened the spool, where an fsync
	// failed: what it left may not be on the device, and nobody can know.
	shaken bool
}

// opened says that the spool has read the disk. Reads fail only then: a segment
// that cannot be read when it is opened waits for the next process, and nobody
// knows what is in it until then.
func (d *simDisk) opened() bool { return d.s != nil && d.s.mounted }

// hit says whether an operation that a fault would fail does.
func (d *simDisk) hit(faults ...diskFault) bool {
	for _, f := range faults {
		if f == d.fault && !d.dead && d.rng.Float64() < d.p {
			d.failed = time.Now()
			return true
		}
	}
	return false
}

// failing has memFS fail whatever can.
func (d *simDisk) failing(f func()) {
	d.rate = 1
	f()
	d.rate = 0
}

func (d *simDisk) Create(name string) (file, error) {
	switch {
	case d.hit(diskFull) && d.names[name] == nil:
		return nil, syscall.ENOSPC
	case d.hit(diskReadOnly):
		return nil, syscall.EROFS
	}
	f, err := d.memFS.Create(name)
	return simFile{f, d}, err
}

func (d *simDisk) Open(name string) (file, error) {
	f, err := d.memFS.Open(name)
	return simFile{f, d}, err
}

func (d *simDisk) Mkdir(dir string) error {
	if d.hit(diskReadOnly) && dir != "." && d.names[dir] == nil {
		return syscall.EROFS
	}
	return d.memFS.Mkdir(dir)
}

func (d *simDisk) Remove(name string) error {
	if d.hit(diskReadOnly) {
		return syscall.EROFS
	}
	err := d.memFS.Remove(name)
	if err == nil {
		d.removed(name)
	}
	return err
}

func (d *simDisk) Rename(from, to string) error {
	if d.hit(diskReadOnly) {
		return syscall.EROFS
	}
	return d.memFS.Rename(from, to)
}

func (d *simDisk) SyncDir(dir string) (err error) {
	if d.hit(diskNoSync) {
		d.shaken = d.shaken || !d.opened()
		d.failing(func() { err = d.memFS.SyncDir(dir) })
		return err
	}
	return d.memFS.SyncDir(dir)
}

func (d *simDisk) Free() (int64, error) {
	if d.hit(diskFull) {
		return 1000, nil
	}
	return d.memFS.Free()
}

// simFile is an open file of a simDisk.
type simFile struct {
	file
	d *simDisk
}

func (f simFile) WriteAt(b []byte, off int64) (n int, err error) {
	switch {
	case f.d.hit(diskReadOnly):
		return 0, syscall.EROFS
	case f.d.hit(diskFull):
		f.d.failing(func() { n, err = f.file.WriteAt(b, off) })
		return n, err
	case f.d.hit(diskNoWrite):
		f.d.failing(func() { n, _ = f.file.WriteAt(b, off) })
		return n, syscall.EIO
	}
	return f.file.WriteAt(b, off)
}

func (f simFile) ReadAt(b []byte, off int64) (int, error) {
	if f.d.opened() && f.d.hit(diskNoRead) {
		return 0, syscall.EIO
	}
	return f.file.ReadAt(b, off)
}

func (f simFile) Truncate(size int64) error {
	if f.d.hit(diskReadOnly) {
		f.d.failedCuts++
		return syscall.EROFS
	}
	return f.file.Truncate(size)
}

func (f simFile) Sync() (err error) {
	if f.d.hit(diskNoSync) {
		f.d.shaken = f.d.shaken || !f.d.opened()
		f.d.failing(func() { err = f.file.Sync() })
		return err
	}
	return f.file.Sync()
}
