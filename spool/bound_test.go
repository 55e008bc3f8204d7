package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// onDisk is what the files in dir take that MaxBytes bounds: in all, and those in
// dead/ and quarantine/, of which blocks count.
func onDisk(t testing.TB, dir string) (n, aside int64) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(name) == ledgerName {
			return err
		}
		st, err := d.Info()
		switch {
		case err != nil:
		case filepath.Dir(name) == dir:
			n += st.Size()
		default:
			aside += max(blocks(st.Size()), diskUsage(st))
		}
		return err
	}))
	return n + aside, aside
}

// TestDiskBound has segments, dead letters and quarantine stay within MaxBytes,
// whatever is done, and the spool's own count of them agree.
func TestDiskBound(t *testing.T) {
	for _, most := range []int64{1 << 10, 16 << 10, 256 << 10} {
		for _, mode := range []Fsync{FsyncInterval, FsyncAlways, FsyncNever} {
			t.Run(fmt.Sprint(most, mode), func(t *testing.T) {
				b := boundTest{dir: t.TempDir(), rng: rand.New(rand.NewPCG(uint64(most), uint64(mode))), cfg: Config{MaxBytes: most, Fsync: mode}}
				b.s, _ = testSpool(t, b.dir, b.cfg)
				for range 500 {
					added := b.step(t)
					st := checkBalance(t, b.s)
					n, aside := onDisk(t, b.dir)
					if st.DiskBytes != n || added && n > most+max(0, aside-2*(most/asideShare)) {
						t.Fatalf("%d bytes on disk of %d, the spool says %d", n, most, st.DiskBytes)
					}
				}
			})
		}
	}
}

type boundTest struct {
	dir string
	rng *rand.Rand
	cfg Config
	s   *Spool
	seq uint64
}

// step does something, and reports whether it was to add a record.
func (b *boundTest) step(t *testing.T) (added bool) {
	r, err := b.s.Oldest(0, nil)
	waits := err == nil
	switch op := b.rng.IntN(100); {
	case op < 60:
		b.seq++
		size := b.rng.Int64N(b.cfg.MaxBytes / 8)
		if b.rng.IntN(10) == 0 {
			size = b.rng.Int64N(b.cfg.MaxBytes)
		}
		err := b.s.Append(rec(b.seq, int(size)))
		if err != nil && !errors.Is(err, ErrTooLarge) {
			t.Fatal(err)
		}
		return err == nil
	case op < 70 && waits:
		b.s.Ack(r.ID, 0)
	case op < 80 && waits && int64(len(r.Payload))+200 < b.cfg.MaxBytes/asideShare:
		r.Payload = slices.Clone(r.Payload)
		refuse(t, b.s, r, "400")
	case op < 85:
		b.spoil(t)
	case op < 90:
		for _, name := range files(t, filepath.Join(b.dir, deadDir), letterSuffix) {
			must(t, os.Rename(name, strings.TrimSuffix(name, letterSuffix)+replaySuffix))
		}
		b.s.replay()
	case op < 95:
		b.s.tick()
	default:
		must(t, b.s.Close(background))
		b.s, _ = testSpool(t, b.dir, b.cfg)
	}
	return false
}

// spoil changes a byte of the oldest segment.
func (b *boundTest) spoil(t *testing.T) {
	names := files(t, b.dir, segmentSuffix)
	if len(names) == 0 {
		return
	}
	f, err := os.OpenFile(names[0], os.O_RDWR, 0)
	must(t, err)
	st, err := f.Stat()
	must(t, err)
	if st.Size() > 0 {
		_, err = f.WriteAt([]byte{byte(b.rng.Int())}, b.rng.Int64N(st.Size()))
	}
	must(t, errors.Join(err, f.Close()))
}

// TestLargestRecord takes the largest record that fits, however much is in the
// way, and a dead letter of that size too; one byte more never fits.
func TestLargestRecord(t *testing.T) {
	const most = 64 << 10
	const size = most - 2*(most/asideShare) - 2*headerBytes
	s, _ := testSpool(t, t.TempDir(), Config{MaxBytes: most})
	for seq := range uint64(3) {
		appendAll(t, s, 10*seq, 10*seq+5, 3000)
		must(t, s.Append(rec(10*seq+6, size)))
		refuse(t, s, rec(10*seq+6, size), "413")
	}
	if err := s.Append(rec(99, size+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a byte too large: %v", err)
	}
}

// openIn counts the files in dir that this process has open.
func openIn(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, fd := range fds {
		if name, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(name, dir) {
			n++
		}
	}
	return n
}

// TestOpenFiles has few files open, whatever becomes of the segments, and none
// after Close.
func TestOpenFiles(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{MaxBytes: 64 << 10})
	for seq := uint64(1); seq <= 200; seq++ {
		must(t, s.Append(rec(seq, 6000))) // two to a segment, and evictions
		if seq%3 == 0 {
			r, err := s.Oldest(0, nil)
			must(t, err)
			s.Ack(r.ID, 0)
		}
		if seq%50 == 0 {
			d.syncErr = syscall.EIO
			s.tick()
			d.syncErr = nil
			s.retry()
		}
		must(t, s.Sync(background))
		// The lock, the active segment, one that is read, and its sidecar.
		if n := openIn(t, dir); n > 4 {
			t.Fatalf("%d files are open", n)
		}
	}
	must(t, s.Close(background))
	if n := openIn(t, dir); n != 0 {
		t.Errorf("%d files are open after Close", n)
	}
}
