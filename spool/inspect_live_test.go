package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// growFS has a writer finish a record while it is looked at.
type growFS struct {
	looker
	grow func()
}

func (d growFS) Open(name string) (file, error) {
	f, err := d.looker.Open(name)
	if isSegment(name) {
		return growFile{f, d.grow}, err
	}
	return f, err
}

type growFile struct {
	file
	grow func()
}

func (f growFile) Size() (int64, error) {
	size, err := f.file.Size()
	f.grow()
	return size, err
}

// TestInspectGrowingTail looks again at a record that is half written.
func TestInspectGrowingTail(t *testing.T) {
	name, sound := image(t, 3, 100, false)
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, sound[:len(sound)-50], fileMode))
	disk := growFS{lookFS(dir), func() { must(t, os.WriteFile(path, sound, fileMode)) }}
	in := inspectDir(t, dir, disk, ownerLives)
	if !slices.Equal(in.waiting(), upTo(3)) || in.Damages != 0 {
		t.Errorf("shows %v, %d damages", in.waiting(), in.Damages)
	}
}

// TestInspectVanishing goes on when a segment is gone between the listing and
// the look, or in the middle of the look.
func TestInspectVanishing(t *testing.T) {
	for _, when := range []string{"before", "during"} {
		t.Run(when, func(t *testing.T) {
			dir := t.TempDir()
			s, _ := testSpool(t, dir, Config{MaxBytes: 4000})
			appendAll(t, s, 1, 3, 900)
			must(t, s.Close(background))
			names := files(t, dir, segmentSuffix)
			if len(names) != 3 {
				t.Fatalf("%d segments", len(names))
			}
			disk := vanishFS{lookFS(dir), filepath.Base(names[1]), when == "before", func() { must(t, os.Remove(names[1])) }, new(int)}
			in := inspectDir(t, dir, disk, ownerLives)
			want := []uint64{1, 3}
			if when == "during" {
				want = upTo(3)
			}
			if !slices.Equal(in.waiting(), want) || in.Damages != 0 || in.Moved != (when == "before") {
				t.Errorf("shows %v: %+v", in.waiting(), in.Summary)
			}
		})
	}
}

// vanishFS has one file removed before or after it is opened for the second time:
// the first look is whether it is a draft.
type vanishFS struct {
	looker
	name   string
	before bool
	remove func()
	opened *int
}

func (d vanishFS) Open(name string) (file, error) {
	if name == d.name {
		*d.opened++
	}
	if name != d.name || *d.opened != 2 {
		return d.looker.Open(name)
	}
	if d.before {
		d.remove()
	} else {
		defer d.remove()
	}
	return d.looker.Open(name)
}

// TestInspectLive looks on while a spool appends, delivers, sets aside and
// evicts: nothing is ever taken for damage, and the sums add up.
func TestInspectLive(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{MaxBytes: 256 << 10, Fsync: FsyncNever})
	if lockHeld(filepath.Join(dir, lockName)) == ownerUnknown {
		t.Skip("this system does not tell who holds a lock")
	}
	ctx, stop := context.WithCancel(background)
	var writer sync.WaitGroup
	writer.Go(func() {
		for seq := uint64(1); ctx.Err() == nil; seq++ {
			if err := s.Append(rec(seq, 3000)); err != nil {
				t.Errorf("append %d: %v", seq, err)
				return
			}
			switch seq % 5 {
			case 0, 1:
				s.Ack(named(7, seq), 0)
			case 2:
				s.Ack(named(7, seq-1), 0)
			case 3:
				s.Note(named(7, seq), make([]byte, seq%5000))
				s.Ack(named(7, seq), 1)
				s.SetAside(Letter{Of: named(7, seq), Reason: "refused", Record: rec(seq, 3000)})
				_ = s.bury(false)
			}
		}
	})
	for range 300 {
		in, err := Inspect(background, everything(dir), func(f Finding) error {
			if f.Severity == Damage {
				t.Errorf("damage in a live spool: %+v", f)
			}
			return nil
		})
		must(t, err)
		if sum := in.Delivered + in.Evicted + in.Expired + in.Corrupt + in.Dead + in.Points; sum != in.Appended || !in.Owned {
			t.Errorf("does not add up: %+v", in)
		}
		if t.Failed() {
			break
		}
	}
	stop()
	writer.Wait()
}

// damagedSpool makes a directory with a segment too many of each kind.
func damagedSpool(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{MaxBytes: 64 << 10})
	appendAll(t, s, 1, 9, 3000)
	s.Ack(named(7, 5), 0)
	refuse(t, s, rec(6, 3000), "refused")
	must(t, s.Close(background))
	segs := files(t, dir, segmentSuffix)
	b, err := os.ReadFile(segs[0])
	must(t, err)
	b[100] ^= 1
	must(t, os.WriteFile(segs[0], b, fileMode))
	must(t, os.Mkdir(filepath.Join(dir, quarantineDir), dirMode))
	must(t, os.WriteFile(filepath.Join(dir, quarantineDir, segmentID{0, 0, 9}.name()), b, fileMode))
	return dir
}

// snapshot is names, modes and contents.
func snapshot(t testing.TB, dir string) string {
	t.Helper()
	var all strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		fmt.Fprintln(&all, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			must(t, err)
			fmt.Fprintf(&all, "%x\n", b)
		}
		return nil
	}))
	return all.String()
}

// TestInspectChangesNothing leaves every name, mode and byte as it was, even
// where the spool itself would tighten modes, and takes no lock.
func TestInspectChangesNothing(t *testing.T) {
	dir := damagedSpool(t)
	for _, name := range files(t, dir, "") {
		if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
			must(t, os.Chmod(name, 0o444))
		}
	}
	must(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { _ = os.Chmod(dir, dirMode) })
	before := snapshot(t, dir)
	in := inspectDir(t, dir, nil, ownerNone)
	if after := snapshot(t, dir); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if in.Damages != 1 || in.Letters != 1 || in.Quarantined != 1 || in.Dead != rec(6, 0).Items {
		t.Errorf("found %+v", in.Summary)
	}
}

// TestInspectMissing has a directory that is not there be an error, and stay so.
func TestInspectMissing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	if _, err := Inspect(background, everything(dir), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("inspecting nothing: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made (%v)", err)
	}
}

// badSectorFS fails reads that touch a stretch of one file.
type badSectorFS struct {
	looker
	name     string
	from, to int64
	reads    *int
}

func (d badSectorFS) Open(name string) (file, error) {
	f, err := d.looker.Open(name)
	if name == d.name {
		return badSectorFile{f, d}, err
	}
	return f, err
}

type badSectorFile struct {
	file
	fs badSectorFS
}

func (f badSectorFile) ReadAt(b []byte, off int64) (int, error) {
	if off < f.fs.to && off+int64(len(b)) > f.fs.from {
		*f.fs.reads++
		n, _ := f.file.ReadAt(b[:max(f.fs.from-off, 0)], off)
		return n, syscall.EIO
	}
	return f.file.ReadAt(b, off)
}

// TestInspectBadSector shows all records but the one that the disk does not
// give, says where, and asks the disk once.
func TestInspectBadSector(t *testing.T) {
	const n, size = 9, 4096 - headerBytes
	name, b := image(t, n, size, true)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, name), b, fileMode))
	for _, c := range []struct {
		what     string
		from, to int64
		lost     []uint64
	}{
		{"payload", 3*4096 + 200, 3*4096 + 300, []uint64{4}},
		{"two blocks", 3 * 4096, 5 * 4096, []uint64{4, 5}},
		{"all", 0, int64(len(b)), nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			reads := 0
			disk := badSectorFS{lookFS(dir), name, c.from, c.to, &reads}
			in := inspectDir(t, dir, disk, ownerNone)
			var bad []Finding
			for _, f := range in.findings {
				if f.Severity == Damage {
					bad = append(bad, f)
				}
			}
			if len(bad) != 1 || bad[0].Found != FoundGap || bad[0].Lost != points(c.lost) || !strings.Contains(bad[0].Problem, "input/output error") ||
				!strings.Contains(bad[0].Problem, fmt.Sprintf("offset %d", c.from/4096*4096)) {
				t.Errorf("found %+v", bad)
			}
			want := slices.DeleteFunc(upTo(n), func(seq uint64) bool { return c.lost == nil || slices.Contains(c.lost, seq) })
			if !slices.Equal(in.waiting(), want) {
				t.Errorf("shows %v, want %v", in.waiting(), want)
			}
			if most := int((c.to-c.from)/4096) + 3; reads > most {
				t.Errorf("asked %d times for %d bytes", reads, c.to-c.from)
			}
		})
	}
}

// TestInspectUnreadableFile goes on after a file that cannot be opened.
func TestInspectUnreadableFile(t *testing.T) {
	dir := damagedSpool(t)
	names := files(t, dir, segmentSuffix)
	must(t, os.Mkdir(filepath.Join(dir, segmentID{0, 0, 1}.name()), dirMode))
	must(t, syscall.Mkfifo(filepath.Join(dir, segmentID{0, 0, 2}.name()), fileMode))
	must(t, os.Symlink(names[0], filepath.Join(dir, segmentID{0, 0, 3}.name())))
	must(t, os.Symlink("nowhere", filepath.Join(dir, segmentID{0, 0, 4}.name())))
	in := inspectDir(t, dir, nil, ownerNone)
	if want := []uint64{2, 3, 4, 7, 8, 9}; !slices.Equal(in.waiting(), want) {
		t.Errorf("shows %v, want %v: %+v", in.waiting(), want, in.findings)
	}
}

// ledgerHook has something happen before the ledger is opened.
type ledgerHook struct {
	looker
	hook func()
}

func (d ledgerHook) Open(name string) (file, error) {
	if name == ledgerName {
		d.hook()
	}
	return d.looker.Open(name)
}

// TestInspectBegunSegment has a live spool begin a segment after the listing,
// and write a ledger that counts what is in it: nothing is missing.
func TestInspectBegunSegment(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	s.segmentBytes = 2*(headerBytes+500) + headerBytes
	appendAll(t, s, 1, 4, 500)
	must(t, s.Sync(background))
	var once sync.Once
	in := inspectDir(t, dir, ledgerHook{lookFS(dir), func() {
		once.Do(func() {
			appendAll(t, s, 5, 6, 500)
			s.Lose("queue_full", 1)
			must(t, s.Sync(background))
		})
	}}, ownerLives)
	if in.Damages != 0 || !in.Moved || !slices.Equal(in.waiting(), upTo(4)) {
		t.Errorf("shows %v: %+v", in.waiting(), in.Summary)
	}
}
