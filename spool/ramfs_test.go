package spool

import (
	"io"
	"io/fs"
	"path"
	"slices"
	"time"
)

// ramFS is a directory in memory on which nothing fails. It counts what is
// read of it.
type ramFS struct {
	files map[string]*ramFile
	read  int64 // bytes
	// deaf ignores writes, so that they take no memory.
	deaf bool
}

type ramFile struct {
	fs *ramFS
	b  []byte
}

func newRAMFS(files map[string][]byte) *ramFS {
	d := &ramFS{files: map[string]*ramFile{}}
	for name, b := range files {
		d.files[name] = &ramFile{d, slices.Clone(b)}
	}
	return d
}

func (d *ramFS) Mkdir(string) error   { return nil }
func (d *ramFS) Tighten() error       { return nil }
func (d *ramFS) SyncDir(string) error { return nil }
func (d *ramFS) Free() (int64, error) { return 1 << 40, nil }
func (d *ramFS) Usage(name string) (int64, error) {
	f, err := d.Open(name)
	if err != nil {
		return 0, err
	}
	return f.Size()
}
func (d *ramFS) Changed(string) (time.Time, error) { return time.Time{}, nil }
func (d *ramFS) Lock() (lock, error)               { return ramLock{}, nil }
func (d *ramFS) Exists(n string) error             { _, err := d.Open(n); return err }

func (d *ramFS) List(dir string) (names []string, _ error) {
	for name := range d.files {
		if path.Dir(name) == path.Clean(dir) {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (d *ramFS) Open(name string) (file, error) {
	if f, ok := d.files[name]; ok {
		return f, nil
	}
	return nil, fs.ErrNotExist
}

func (d *ramFS) Create(name string) (file, error) {
	if d.files[name] == nil {
		d.files[name] = &ramFile{fs: d}
	}
	return d.files[name], nil
}

func (d *ramFS) Remove(name string) error {
	if d.files[name] == nil {
		return fs.ErrNotExist
	}
	delete(d.files, name)
	return nil
}

func (d *ramFS) Rename(from, to string) error {
	d.files[to] = d.files[from]
	return d.Remove(from)
}

func (f *ramFile) ReadAt(b []byte, off int64) (int, error) {
	n := copy(b, f.b[min(off, int64(len(f.b))):])
	f.fs.read += int64(n)
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *ramFile) WriteAt(b []byte, off int64) (int, error) {
	if f.fs.deaf {
		return len(b), nil
	}
	if grow := off + int64(len(b)) - int64(len(f.b)); grow > 0 {
		f.b = append(f.b, make([]byte, grow)...)
	}
	return copy(f.b[off:], b), nil
}

func (f *ramFile) Truncate(size int64) error { f.b = f.b[:size]; return nil }
func (f *ramFile) Size() (int64, error)      { return int64(len(f.b)), nil }
func (f *ramFile) Sync() error               { return nil }
func (f *ramFile) Close() error              { return nil }

type ramLock struct{}

func (ramLock) Close() error { return nil }
func (ramLock) Held() bool   { return true }
