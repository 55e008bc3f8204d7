package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestLettersAreCapped drops the oldest letters by the blocks that they take,
// counts what was in them, and keeps one letter whatever its size.
func TestLettersAreCapped(t *testing.T) {
	dir := t.TempDir()
	const most = 256 << 10 // 16 KiB of letters, 4 blocks
	s, _ := testSpool(t, dir, Config{MaxBytes: most})
	for seq := range uint64(12) {
		must(t, s.Append(rec(seq+1, 100)))
		refuse(t, s, rec(seq+1, 100), "400")
		if held := checkBalance(t, s).DiskBytes; held > most {
			t.Fatalf("%d bytes on disk", held)
		}
	}
	if seqs, _ := letters(t, dir); !slices.Equal(seqs, []uint64{9, 10, 11, 12}) {
		t.Errorf("letters %v, want the newest four", seqs)
	}
	if st := checkBalance(t, s); st.Dead != points(upTo(12)) || st.Letters != 4 || st.LettersLost != points(upTo(8)) {
		t.Errorf("%+v", st)
	}
	must(t, s.Append(rec(13, 40000)))
	refuse(t, s, rec(13, 40000), "413")
	if seqs, _ := letters(t, dir); !slices.Equal(seqs, []uint64{13}) {
		t.Errorf("letters %v, want the large one alone", seqs)
	}
	must(t, s.Close(background))
	s, _ = testSpool(t, dir, Config{MaxBytes: most})
	if st := checkBalance(t, s); st.LettersLost != points(upTo(12)) || st.Letters != 1 || st.LetterPoints != rec(13, 0).Items {
		t.Errorf("opened again: %+v", st)
	}
}

// TestLetterCost asks the disk no more of a letter when there are thousands.
func TestLetterCost(t *testing.T) {
	calls := func(n uint64) int {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, deadDir), dirMode))
		for i := range n {
			must(t, os.WriteFile(filepath.Join(dir, deadDir, letterID{i, 1, 2}.name()), []byte("x"), fileMode))
		}
		d := &countedFS{osFS: osFS(dir)}
		s := open(Config{Dir: dir, MaxBytes: 1 << 30}, d)
		defer s.Close(background) //nolint:errcheck // not what is tested
		must(t, s.Append(rec(1, 100)))
		must(t, s.Sync(background))
		before := d.calls
		s.Ack(named(7, 1), 1)
		s.SetAside(letterOf(1, 100))
		must(t, s.Sync(background))
		if st := s.Stats(); st.Letters != int64(n)+1 {
			t.Errorf("%d letters, want %d", st.Letters, n+1)
		}
		return d.calls - before
	}
	if few, many := calls(1), calls(5000); few != many {
		t.Errorf("a letter beside 5000 takes %d calls of the disk, beside one %d", many, few)
	}
}

// countedFS counts calls that look at names.
type countedFS struct {
	osFS
	calls int
}

func (d *countedFS) List(dir string) ([]string, error) { d.calls++; return d.osFS.List(dir) }
func (d *countedFS) Open(name string) (file, error)    { d.calls++; return d.osFS.Open(name) }
func (d *countedFS) Create(name string) (file, error)  { d.calls++; return d.osFS.Create(name) }
func (d *countedFS) Exists(name string) error          { d.calls++; return d.osFS.Exists(name) }
func (d *countedFS) Remove(name string) error          { d.calls++; return d.osFS.Remove(name) }
func (d *countedFS) Usage(name string) (int64, error)  { d.calls++; return d.osFS.Usage(name) }
func (d *countedFS) Changed(dir string) (time.Time, error) {
	d.calls++
	return d.osFS.Changed(dir)
}

// TestPollCost asks for one time, where nothing changed.
func TestPollCost(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, deadDir), dirMode))
	name := filepath.Join(dir, deadDir, letterID{1, 1, 2}.name())
	must(t, os.WriteFile(name, []byte("x"), fileMode))
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(filepath.Join(dir, deadDir), old, old))
	d := &countedFS{osFS: osFS(dir)}
	s := open(Config{Dir: dir, MaxBytes: 1 << 30}, d)
	defer s.Close(background) //nolint:errcheck // not what is tested
	before := d.calls
	s.replay()
	if n := d.calls - before; n != 2 { // of dead/ and of quarantine/
		t.Errorf("%d calls", n)
	}
	must(t, os.Remove(name))
	s.replay()
	if st := s.Stats(); st.Letters != 0 {
		t.Errorf("%d letters, and somebody removed it", st.Letters)
	}
}

// TestDeadStrangers makes room among its own letters alone, and not with those
// that somebody wants sent again.
func TestDeadStrangers(t *testing.T) {
	dir := t.TempDir()
	deadPath := filepath.Join(dir, deadDir)
	s, _ := testSpool(t, dir, Config{MaxBytes: 128 << 10}) // two letters
	appendAll(t, s, 1, 3, 1000)
	refuse(t, s, rec(1, 1000), "400")
	refuse(t, s, rec(2, 1000), "400")
	first := files(t, deadPath, letterSuffix)[0]
	markReplay(t, first)
	must(t, os.MkdirAll(filepath.Join(deadPath, "0", "1"), dirMode))
	must(t, os.WriteFile(filepath.Join(deadPath, "00"), make([]byte, 60<<10), fileMode))
	must(t, os.MkdirAll(filepath.Join(deadPath, "0.dead", "x"), dirMode))
	s.survey(&s.dead)
	must(t, s.Append(rec(4, 9000)))
	refuse(t, s, rec(4, 9000), "413")
	var left []string
	for _, name := range files(t, deadPath, "") {
		left = append(left, filepath.Base(name))
	}
	again := filepath.Base(stem(first) + replaySuffix)
	if len(left) != 5 || !slices.Equal(left[:4], []string{"0", "0.dead", "00", again}) {
		t.Errorf("left %v", left)
	}
	if st := checkBalance(t, s); st.Letters != 2 || st.Cause != nil {
		t.Errorf("%+v", st)
	}
}

// TestWhatSomebodyRemoves is room again within seconds.
func TestWhatSomebodyRemoves(t *testing.T) {
	for sub, name := range map[string]string{deadDir: letterID{1, 2, 3}.name(), quarantineDir: segmentID{1, 0, 2}.name()} {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, sub), dirMode))
		must(t, os.WriteFile(filepath.Join(dir, sub, name), make([]byte, 100), fileMode))
		s, _ := testSpool(t, dir, Config{})
		if st := s.Stats(); st.DiskBytes != diskBlock {
			t.Errorf("%s: %d bytes", sub, st.DiskBytes)
		}
		must(t, os.RemoveAll(filepath.Join(dir, sub)))
		s.tick()
		if st := s.Stats(); st.DiskBytes != 0 {
			t.Errorf("%s: %d bytes after it was removed", sub, st.DiskBytes)
		}
	}
}

// BenchmarkLetter writes letters beside thousands.
func BenchmarkLetter(b *testing.B) {
	for _, n := range []uint64{10, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			must(b, os.Mkdir(filepath.Join(dir, deadDir), dirMode))
			for i := range n {
				must(b, os.WriteFile(filepath.Join(dir, deadDir, letterID{i, 1, 2}.name()), nil, fileMode))
			}
			s, _ := testSpool(b, dir, Config{MaxBytes: 1 << 30, Fsync: FsyncNever})
			for b.Loop() {
				s.SetAside(letterOf(1, 100))
				must(b, s.bury(true))
			}
		})
	}
}
