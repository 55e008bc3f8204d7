package spool

import (
	"io"
	"os"
	"path/filepath"
	"time"
)

// fileSystem is all that the spool asks of a disk: one directory and those in
// it. Names are relative to it, "." is the directory itself. Tests put faults
// underneath.
type fileSystem interface {
	looker
	// Mkdir makes a directory and its parents where they are missing.
	Mkdir(dir string) error
	// Tighten takes the directory's permissions from all but its owner.
	Tighten() error
	// Lock takes the directory for this process, or fails at once.
	Lock() (lock, error)
	// Create opens a file for reading and writing and makes it if needed. It
	// does not truncate.
	Create(name string) (file, error)
	// Exists returns nil if the directory has an entry of that name.
	Exists(name string) error
	Remove(name string) error
	// Rename moves a file, over one that may be there.
	Rename(from, to string) error
	// SyncDir makes creations, removals and renames in a directory durable.
	SyncDir(dir string) error
	// Usage returns how many bytes a file takes of the disk.
	Usage(name string) (int64, error)
	// Changed returns when a name in a directory changed last.
	Changed(dir string) (time.Time, error)
	// Free returns how many bytes this process could still write.
	Free() (int64, error)
}

// looker is the part of a fileSystem that changes nothing.
type looker interface {
	// List returns the names in a directory, sorted.
	List(dir string) ([]string, error)
	// Open opens a file for reading.
	Open(name string) (file, error)
}

// file is an open file. WriteAt and ReadAt do not move anything else.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
}

// lock is a held lock.
type lock interface {
	io.Closer
	// Held says whether the lock still guards the directory of that path: not
	// after somebody removed it.
	Held() bool
}

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// osFS is a directory of the operating system, by its path.
type osFS string

func (d osFS) path(name string) string { return filepath.Join(string(d), name) }

func (d osFS) Mkdir(dir string) error { return os.MkdirAll(d.path(dir), dirMode) }

func (d osFS) Tighten() error {
	st, err := os.Stat(string(d))
	if err != nil || st.Mode().Perm()&^dirMode == 0 {
		return err
	}
	return os.Chmod(string(d), dirMode)
}

func (d osFS) Lock() (lock, error) { return lockFile(d.path(lockName)) }

func (d osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(d.path(dir))
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d osFS) Open(name string) (file, error) { return openFile(d.path(name), os.O_RDONLY) }

func (d osFS) Create(name string) (file, error) {
	return openFile(d.path(name), os.O_RDWR|os.O_CREATE)
}

func (d osFS) Exists(name string) error {
	_, err := os.Lstat(d.path(name))
	return err
}

func (d osFS) Remove(name string) error { return os.Remove(d.path(name)) }

func (d osFS) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d osFS) SyncDir(dir string) error { return syncDir(d.path(dir)) }

func (d osFS) Usage(name string) (int64, error) {
	st, err := os.Lstat(d.path(name))
	if err != nil {
		return 0, err
	}
	return max(diskUsage(st), blocks(st.Size())), nil
}

func (d osFS) Changed(dir string) (time.Time, error) {
	st, err := os.Stat(d.path(dir))
	if err != nil {
		return time.Time{}, err
	}
	return st.ModTime(), nil
}

func (d osFS) Free() (int64, error) { return freeBytes(string(d)) }

// osFile adds Size to an *os.File.
type osFile struct{ *os.File }

// openFile opens a file that nobody else shall read: one found with wider
// permissions is tightened, where the process may.
func openFile(path string, flag int) (file, error) {
	f, err := openRegular(path, flag)
	if err != nil {
		return nil, err
	}
	tighten(f)
	return osFile{f}, nil
}

// openRegular opens a file that is nothing else: to open a named pipe, or to
// read from a device, could take for ever.
func openRegular(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|openNonblock, fileMode)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: errIrregular}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func tighten(f *os.File) {
	if st, err := f.Stat(); err == nil && st.Mode().Perm()&^fileMode != 0 {
		_ = f.Chmod(fileMode) // refused to all but the owner
	}
}

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}
