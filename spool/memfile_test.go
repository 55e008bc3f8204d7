package spool

import (
	"io"
	"slices"
	"syscall"
)

const sectorBytes = 512

// inode is a file, or a directory.
type inode struct {
	dir           bool
	cache, device []byte
	pending       []change
}

// change is a write, or with no bytes a truncate to off.
type change struct {
	off  int
	b    []byte
	size int // of the file afterwards
}

// memFile is an open file; its inode may have no name any more.
type memFile struct {
	d *memFS
	n *inode
}

func (f memFile) Close() error { return f.d.step(nil) }

func (f memFile) Size() (int64, error) { return int64(len(f.n.cache)), f.d.step(nil) }

func (f memFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.d.step(nil); err != nil {
		return 0, err
	}
	n := copy(b, f.n.cache[min(off, int64(len(f.n.cache))):])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes a part if it fails, and also if the process dies of it.
func (f memFile) WriteAt(b []byte, off int64) (int, error) {
	wasDead := f.d.dead
	err := f.d.step(syscall.ENOSPC)
	if err != nil {
		if wasDead {
			return 0, err
		}
		b = b[:f.d.rng.IntN(max(len(b), 1))]
	}
	f.n.do(change{off: int(off), b: slices.Clone(b)})
	return len(b), err
}

func (f memFile) Truncate(size int64) error {
	if err := f.d.step(syscall.EIO); err != nil {
		f.d.failedCuts++
		return err
	}
	f.n.do(change{off: int(size)})
	return nil
}

// Sync brings the cache to the device. If that fails, only a part reached it,
// and what did not is not tried again.
func (f memFile) Sync() error {
	if err := f.d.stepSync(); err != nil {
		if !f.d.dead {
			f.n.device = f.d.reached(f.n, nil)
			// The size is the inode's, and not lost with the pages.
			f.n.pending = []change{{off: len(f.n.cache), b: []byte{}, size: len(f.n.cache)}}
		}
		return err
	}
	for _, c := range f.n.pending {
		f.n.device = c.apply(f.n.device)
	}
	// A truncate that a failed fsync forgot is in the size all the same.
	f.n.device = resize(f.n.device, len(f.n.cache))
	f.n.pending = nil
	return nil
}

func (n *inode) do(c change) {
	n.cache = c.apply(n.cache)
	c.size = len(n.cache)
	n.pending = append(n.pending, c)
}

func (c change) apply(b []byte) []byte {
	if c.b == nil {
		return resize(b, c.off)
	}
	b = resize(b, max(len(b), c.off+len(c.b)))
	copy(b[c.off:], c.b)
	return b
}

// resize cuts b or adds zeros.
func resize(b []byte, n int) []byte {
	if n <= len(b) {
		return b[:n]
	}
	return append(b, make([]byte, n-len(b))...)
}

// reached returns a file as the device may have it now. stale is what lies
// beyond what was ever written.
func (d *memFS) reached(n *inode, stale []byte) []byte {
	sizes := []int{len(n.device)}
	for _, c := range n.pending {
		sizes = append(sizes, c.size)
	}
	size, longest := sizes[d.rng.IntN(len(sizes))], slices.Max(sizes)
	b := resize(slices.Clone(n.device), longest)
	if len(stale) > len(n.device) {
		copy(b[len(n.device):], stale[len(n.device):])
	}
	luck := d.luck()
	for _, c := range n.pending {
		if c.b == nil {
			if d.rng.Float64() < luck {
				clear(b[min(c.off, len(b)):])
			}
			continue
		}
		for from := c.off; from < c.off+len(c.b); {
			to := min(from-from%sectorBytes+sectorBytes, c.off+len(c.b))
			if d.rng.Float64() < luck {
				copy(b[from:to], c.b[from-c.off:])
			}
			from = to
		}
	}
	return b[:size]
}

// luck is how likely a part reaches the device: all, none, and in between.
func (d *memFS) luck() float64 {
	return []float64{0, 0.2, 0.5, 0.9, 1}[d.rng.IntN(5)]
}
