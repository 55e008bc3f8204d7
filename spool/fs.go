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

// osFS is a directory of the operating system, by its path. Nothing below it is
// reached through a symbolic link.
type osFS string

func (d osFS) path(name string) string { return filepath.Join(string(d), name) }

// in is the path of a name in the directory, or in one in it that is no link.
func (d osFS) in(name string) (string, error) {
	_, err := d.folder(filepath.Dir(name))
	return d.path(name), err
}

// folder is the path of the directory, or of one in it, which must be no link.
func (d osFS) folder(dir string) (string, error) {
	path := d.path(dir)
	if dir == "." {
		return path, nil
	}
	if st, err := os.Lstat(path); err == nil && st.Mode()&os.ModeSymlink != 0 {
		return path, &os.PathError{Op: "open", Path: path, Err: errIrregular}
	}
	return path, nil
}

func (d osFS) Mkdir(dir string) error {
	path, err := d.folder(dir)
	if err != nil {
		return err
	}
	return os.MkdirAll(path, dirMode)
}

func (d osFS) Tighten() error {
	st, err := os.Stat(string(d))
	if err != nil || st.Mode().Perm()&^dirMode == 0 {
		return err
	}
	return os.Chmod(string(d), dirMode)
}

func (d osFS) Lock() (lock, error) { return lockFile(d.path(lockName)) }

func (d osFS) List(dir string) ([]string, error) {
	path, err := d.folder(dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d osFS) Open(name string) (file, error) { return d.open(name, os.O_RDONLY) }

func (d osFS) Create(name string) (file, error) { return d.open(name, os.O_RDWR|os.O_CREATE) }

func (d osFS) open(name string, flag int) (file, error) {
	path, err := d.in(name)
	if err != nil {
		return nil, err
	}
	return openFile(path, flag)
}

func (d osFS) Exists(name string) error {
	_, err := os.Lstat(d.path(name))
	return err
}

func (d osFS) Remove(name string) error {
	path, err := d.in(name)
	if err != nil {
		return err
	}
	return os.Remove(path)
}

func (d osFS) Rename(from, to string) error {
	old, err := d.in(from)
	if err != nil {
		return err
	}
	path, err := d.in(to)
	if err != nil {
		return err
	}
	return os.Rename(old, path)
}

func (d osFS) SyncDir(dir string) error {
	path, err := d.folder(dir)
	if err != nil {
		return err
	}
	return syncDir(path)
}

func (d osFS) Usage(name string) (int64, error) {
	st, err := os.Lstat(d.path(name))
	if err != nil {
		return 0, err
	}
	return max(diskUsage(st), blocks(st.Size())), nil
}

func (d osFS) Changed(dir string) (time.Time, error) {
	path, err := d.folder(dir)
	if err != nil {
		return time.Time{}, err
	}
	st, err := os.Stat(path)
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

// openRegular opens a file that is nothing else: a symbolic link could lead to any
// file, and to open a named pipe, or to read from a device, could take for ever.
func openRegular(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|openInPlace, fileMode)
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
