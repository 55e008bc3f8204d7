package spool

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"syscall"
	"time"
)

// memFS is a disk that dies. It has two views of every file and directory: the
// page cache, which all reads see and which outlives a process, and the device,
// which alone outlives a power cut. What an fsync has not covered reaches the
// device or does not, each part by the fall of a die:
//
//   - each 512-byte sector of each write, whatever the order of the writes;
//   - each truncate, and the size that the file had after any of the operations;
//   - sectors that the size covers and no write reached hold zeros, or what a
//     file that was removed had there;
//   - each creation, removal and rename, which only an fsync of the directory
//     settles: one of the file says nothing of its name. Each is atomic.
//
// Sectors are atomic, and what an fsync covered stays. A failed fsync of a file
// casts the dice at once and for ever: the pages are clean afterwards, reads
// still show them, and the next fsync succeeds without writing them.
//
// The model is that of Pillai et al., "All File Systems Are Not Created Equal"
// (OSDI 2014), with no ordering at all between operations, and for fsync that
// of Rebello et al., "Can Applications Recover from fsync Failures?" (ATC 2020).
//
// All dice come from one seeded generator. It is not safe for concurrent use.
type memFS struct {
	rng     *rand.Rand
	rate    float64 // how likely an operation fails
	ops     int     // operations so far
	crashAt int     // the operation during which the process dies, 0 for none
	dead    bool    // it has died: nothing has any effect

	names   map[string]*inode // as the cache has them
	durable map[string]*inode // as the device has them
	pending []rename
	graves  map[string][]byte // what the last removed file of each suffix held

	changed map[string]time.Time // of directories, in the cache

	locked     bool
	syncFaults int // fsyncs that failed, of files and directories
	failedCuts int // truncates without effect, also that of the crash
}

// rename is a change of names: a creation has no from, a removal no to. It is
// durable when all of dirs, the directories of both, were synced.
type rename struct {
	n        *inode
	from, to string
	dirs     []string
}

func newMemFS(rng *rand.Rand) *memFS {
	return &memFS{rng: rng, names: map[string]*inode{}, durable: map[string]*inode{}, graves: map[string][]byte{}, changed: map[string]time.Time{}}
}

var errCrashed = errors.New("the process is dead")

// step counts an operation and says whether it fails.
func (d *memFS) step(mayFail error) error {
	d.ops++
	if d.ops == d.crashAt {
		d.dead = true
	}
	if d.dead {
		return errCrashed
	}
	if mayFail != nil && d.rng.Float64() < d.rate {
		return mayFail
	}
	return nil
}

// stepSync is step for fsyncs.
func (d *memFS) stepSync() error {
	err := d.step(syscall.EIO)
	if err != nil && !d.dead {
		d.syncFaults++
	}
	return err
}

func (d *memFS) lookup(name string) (*inode, error) {
	if n := d.names[name]; n != nil && !n.dir {
		return n, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// change renames in the cache, and in time on the device.
func (d *memFS) change(n *inode, from, to string) {
	r := rename{n: n, from: from, to: to}
	for _, name := range []string{from, to} {
		if dir := path.Dir(name); name != "" && !slices.Contains(r.dirs, dir) {
			r.dirs = append(r.dirs, dir)
			d.changed[dir] = time.Now()
		}
	}
	if old := d.names[to]; old != nil && to != "" {
		d.graves[path.Ext(to)] = old.cache
	}
	r.apply(d.names)
	d.pending = append(d.pending, r)
}

func (r rename) apply(names map[string]*inode) {
	if names[r.from] == r.n {
		delete(names, r.from)
	}
	if r.to != "" {
		names[r.to] = r.n
	}
}

func (d *memFS) Mkdir(dir string) error {
	if err := d.step(syscall.EACCES); err != nil || dir == "." || d.names[dir] != nil {
		return err
	}
	d.change(&inode{dir: true}, "", dir)
	return nil
}

func (d *memFS) Tighten() error { return d.step(nil) }

func (d *memFS) Lock() (lock, error) {
	if err := d.step(nil); err != nil {
		return nil, err
	}
	if d.locked {
		return nil, errLocked
	}
	d.locked = true
	return memLock{d}, nil
}

type memLock struct{ d *memFS }

func (l memLock) Held() bool { return l.d.locked }

func (l memLock) Close() error {
	if err := l.d.step(nil); err != nil {
		return err
	}
	l.d.locked = false
	return nil
}

func (d *memFS) List(dir string) ([]string, error) {
	if err := d.step(nil); err != nil {
		return nil, err
	}
	if n := d.names[dir]; dir != "." && (n == nil || !n.dir) {
		return nil, fs.ErrNotExist
	}
	var names []string
	for name := range d.names {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (d *memFS) Open(name string) (file, error) {
	if err := d.step(nil); err != nil {
		return nil, err
	}
	n, err := d.lookup(name)
	return memFile{d, n}, err
}

func (d *memFS) Create(name string) (file, error) {
	if err := d.step(syscall.ENOSPC); err != nil {
		return nil, err
	}
	n := d.names[name]
	if n == nil {
		if dir := path.Dir(name); dir != "." && d.names[dir] == nil {
			return nil, fs.ErrNotExist
		}
		n = &inode{}
		d.change(n, "", name)
	}
	return memFile{d, n}, nil
}

func (d *memFS) Exists(name string) error {
	if err := d.step(nil); err != nil {
		return err
	}
	_, err := d.lookup(name)
	return err
}

func (d *memFS) Remove(name string) error {
	if err := d.step(syscall.EIO); err != nil {
		return err
	}
	n, err := d.lookup(name)
	if err != nil {
		return err
	}
	d.graves[path.Ext(name)] = n.cache
	d.change(n, name, "")
	return nil
}

func (d *memFS) Rename(from, to string) error {
	if err := d.step(syscall.EIO); err != nil {
		return err
	}
	n, err := d.lookup(from)
	if err != nil {
		return err
	}
	if dir := path.Dir(to); dir != "." && d.names[dir] == nil {
		return fs.ErrNotExist
	}
	d.change(n, from, to)
	return nil
}

func (d *memFS) SyncDir(dir string) error {
	if err := d.stepSync(); err != nil {
		return err
	}
	var left []rename
	for _, r := range d.pending {
		r.dirs = slices.DeleteFunc(r.dirs, func(o string) bool { return o == dir })
		if len(r.dirs) == 0 {
			r.apply(d.durable)
		} else {
			left = append(left, r)
		}
	}
	d.pending = left
	return nil
}

func (d *memFS) Usage(name string) (int64, error) {
	if err := d.step(nil); err != nil {
		return 0, err
	}
	n, err := d.lookup(name)
	if err != nil {
		return 0, err
	}
	return blocks(int64(len(n.cache))), nil
}

func (d *memFS) Changed(dir string) (time.Time, error) {
	if err := d.step(nil); err != nil {
		return time.Time{}, err
	}
	if d.names[dir] == nil {
		return time.Time{}, fs.ErrNotExist
	}
	return d.changed[dir], nil
}

func (d *memFS) Free() (int64, error) {
	if err := d.step(syscall.ENOSPC); errors.Is(err, syscall.ENOSPC) {
		return 1000, nil
	} else if err != nil {
		return 0, err
	}
	return 1 << 40, nil
}

// cutPower leaves what reached the device, for the next process.
func (d *memFS) cutPower() {
	luck := d.luck()
	for _, r := range d.pending {
		if d.rng.Float64() < luck {
			r.apply(d.durable)
		}
	}
	d.pending = nil
	maps.DeleteFunc(d.durable, func(name string, _ *inode) bool {
		dir := path.Dir(name)
		return dir != "." && d.durable[dir] == nil
	})
	d.names = maps.Clone(d.durable)
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		n := d.names[name]
		var stale []byte
		if d.rng.IntN(2) == 0 {
			stale = d.graves[path.Ext(name)]
		}
		n.device = d.reached(n, stale)
		n.cache, n.pending = slices.Clone(n.device), nil
	}
}

// revive is the disk for the next process, which dies during operation
// crashAt.
func (d *memFS) revive(crashAt int, rate float64) {
	d.dead, d.locked, d.ops, d.crashAt, d.rate, d.failedCuts = false, false, 0, crashAt, rate, 0
}

// clone is a sound disk that holds what the cache shows.
func (d *memFS) clone() *memFS {
	c := newMemFS(rand.New(rand.NewPCG(0, 0)))
	for name, n := range d.names {
		c.changed[path.Dir(name)] = time.Now()
		c.names[name] = &inode{dir: n.dir, cache: slices.Clone(n.cache)}
	}
	return c
}
