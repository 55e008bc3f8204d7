package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// letters returns the entries of the letters in dir: seqs and reasons, oldest
// first.
func letters(t testing.TB, dir string) (seqs []uint64, reasons []string) {
	t.Helper()
	all, err := LetterEntries(dir)
	must(t, err)
	for _, l := range all {
		must(t, sameRecord(l.Record, rec(l.Seq, len(l.Payload))))
		seqs, reasons = append(seqs, l.Seq), append(reasons, l.Reason)
	}
	return seqs, reasons
}

func letterOf(seq uint64, size int) Letter { return Letter{named(7, seq), "400", rec(seq, size)} }

// TestAck counts the points of a record that were refused apart from the
// others, over restarts and the end of its segment too.
func TestAck(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 4, 500)
	all := points(upTo(3))
	for seq, dead := range map[uint64]int64{1: 1, 2: 1 << 40, 3: -5} {
		if !s.Ack(named(7, seq), dead) || s.Ack(named(7, seq), dead) {
			t.Errorf("record %d is not acknowledged once", seq)
		}
	}
	dead := 1 + rec(2, 0).Items
	for range 3 {
		if st := checkBalance(t, s); st.Delivered != all-dead || st.Dead != dead || st.Records != 1 {
			t.Fatalf("%+v", st)
		}
		must(t, s.Close(background))
		s, _ = testSpool(t, dir, Config{})
	}
	s.Ack(named(7, 4), 2)
	must(t, s.Sync(background))
	must(t, s.Close(background))
	s, _ = testSpool(t, dir, Config{})
	want := []Loss{{reasonDead, dead + 2}}
	if got := losses(s); !slices.Equal(got, want) || len(files(t, dir, segmentSuffix)) != 0 {
		t.Errorf("losses after the segment is gone %v, want %v", got, want)
	}
}

// TestNote keeps the last note of a record that waits, over a kill, with a
// segment that is rewritten, and until it is settled.
func TestNote(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{})
	r := rec(1, 100)
	r.Note = []byte("first")
	must(t, s.Append(r))
	must(t, s.Append(rec(2, 100)))
	check := func(want string) {
		t.Helper()
		if got, err := s.Oldest(0, nil); err != nil || string(got.Note) != want {
			t.Errorf("note %q (%v), want %q", got.Note, err, want)
		}
	}
	check("first")
	if !s.Note(r.ID, []byte("second")) || s.Note(named(7, 9), []byte("x")) {
		t.Error("Note does not say what waits")
	}
	check("second")
	d.syncErr = syscall.EIO
	_ = s.Sync(background)
	d.syncErr = nil
	must(t, s.MakeRoom()) // rewritten
	check("second")
	kill(s)
	s, _ = testSpool(t, dir, Config{})
	check("second")
	s.Note(r.ID, make([]byte, maxNote+1))
	check(string(make([]byte, maxNote+1)))
	kill(s)
	s, _ = testSpool(t, dir, Config{})
	check("") // it was in memory alone
	s.Note(r.ID, make([]byte, maxNote))
	s.Note(r.ID, nil)
	s.Note(r.ID, []byte("third"))
	s.Ack(r.ID, 0)
	if r, err := s.Oldest(0, nil); err != nil || r.Seq != 2 || r.Note != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if seg := s.segs[0]; len(seg.notes) != 0 {
		t.Errorf("a settled record keeps its note: %v", seg.notes)
	}
}

// kill leaves the files as kill -9 does.
func kill(s *Spool) {
	s.slow.Lock()
	defer s.slow.Unlock()
	_ = s.lock.Close()
}

// TestOldestOfSome leaves out what is older, or excepted, without reading it.
func TestOldestOfSome(t *testing.T) {
	s, d := testSpool(t, t.TempDir(), Config{})
	appendAll(t, s, 1, 5, 100)
	must(t, s.Sync(background))
	since := rec(3, 0).TimeMS
	for _, c := range []struct {
		since  int64
		except []ID
		want   uint64
	}{
		{0, nil, 1}, {since, nil, 3}, {since, []ID{named(7, 3), named(7, 5)}, 4}, {0, []ID{named(7, 1), named(7, 2)}, 3},
		{since + 2, []ID{named(7, 5)}, 0}, {since + 9, nil, 0},
	} {
		r, err := s.Oldest(c.since, c.except)
		if r.Seq != c.want || (err == nil) != (c.want != 0) {
			t.Errorf("Oldest(%d, %v) = %d, %v; want %d", c.since, c.except, r.Seq, err, c.want)
		}
	}
	d.readErr = syscall.EIO
	if _, err := s.Oldest(since+9, nil); err != ErrEmpty { //nolint:errorlint // itself
		t.Errorf("read what was left out: %v", err)
	}
}

// TestRefuse counts points that never were in the spool: durably with the next
// write, which it does not cause; a kill before it forgets them.
func TestRefuse(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 2, 100)
	must(t, s.Sync(background))
	d.writes = nil
	s.Refuse(5)
	s.Refuse(-1)
	s.tick()
	if len(d.writes) != 0 {
		t.Errorf("wrote %v", d.writes)
	}
	if st := checkBalance(t, s); st.Dead != 5 || st.Appended != points(upTo(2))+5 {
		t.Errorf("%+v", st)
	}
	kill(s)
	s, _ = testSpool(t, dir, Config{})
	if st := checkBalance(t, s); st.Dead != 0 || st.Corrupt != 0 {
		t.Errorf("after a kill %+v", st)
	}
	s.Refuse(5)
	appendAll(t, s, 3, 3, 100)
	must(t, s.Sync(background))
	appendAll(t, s, 4, 4, 100) // in a segment whose name knows how many were before
	s.mu.Lock()
	s.seal()
	s.mu.Unlock()
	appendAll(t, s, 5, 5, 100)
	kill(s)
	s, _ = testSpool(t, dir, Config{})
	if st := checkBalance(t, s); st.Dead != 5 || st.Corrupt != 0 || st.Appended != points(upTo(5))+5 {
		t.Errorf("%+v", st)
	}
	sum, err := Inspect(background, everything(dir), func(Finding) error { return nil })
	must(t, err)
	if sum.Dead != 5 || sum.Damages != 0 {
		t.Errorf("shown: %+v", sum)
	}
}

// TestLettersGather writes one letter and one ledger in 10 minutes, whatever is
// refused: the disk is idle in between.
func TestLettersGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, d := testSpool(t, dir, Config{})
		s.tick()
		for seq := range uint64(1200) { // one in 5 s
			s.Refuse(1)
			s.SetAside(Letter{Of: named(7, seq), Reason: "400", Record: Record{ID: named(8, seq), Items: 1, Payload: []byte("x")}})
			for range 5 {
				time.Sleep(time.Second)
				s.tick()
			}
		}
		kinds := map[string]int{}
		for _, name := range d.writes {
			kinds[strings.TrimRight(filepath.Dir(name)+"/"+filepath.Ext(name), "/")]++
		}
		if kinds["dead/.dead"] != 10 || kinds["."] != 10 || len(kinds) != 2 {
			t.Errorf("wrote %v, want 10 letters and 10 ledgers in 100 minutes", kinds)
		}
		must(t, s.Sync(background))
		st := checkBalance(t, s)
		if all, err := LetterEntries(dir); err != nil || len(all) != 1200 || st.Letters != 10 || st.LetterPoints != 1200 || st.LettersLost != 0 {
			t.Errorf("%d entries, %+v, %v", len(all), st, err)
		}
	})
}

// TestLetterOfOneThatWaits is not written until its record is settled, and not
// lost with one of another.
func TestLetterOfOneThatWaits(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 2, 100)
	s.SetAside(letterOf(1, 100))
	s.SetAside(letterOf(2, 100))
	must(t, s.Sync(background))
	if seqs, _ := letters(t, dir); len(seqs) != 0 {
		t.Fatalf("letters %v of records that wait", seqs)
	}
	s.Ack(named(7, 2), rec(2, 0).Items)
	must(t, s.Sync(background))
	if seqs, _ := letters(t, dir); !slices.Equal(seqs, []uint64{2}) {
		t.Fatalf("letters %v, want that of 2", seqs)
	}
	s.Ack(named(7, 1), 1)
	must(t, s.Close(background))
	if seqs, _ := letters(t, dir); !slices.Equal(seqs, []uint64{2, 1}) {
		t.Fatalf("letters %v, want that of 1 too", seqs)
	}
}

// TestLetterIsOfWhatIsSettled has no letter written before the entries in
// sidecars are synced.
func TestLetterIsOfWhatIsSettled(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 2, 100)
	must(t, s.Sync(background))
	s.Ack(named(7, 1), 1)
	s.SetAside(letterOf(1, 100))
	d.syncHook = func(name string) {
		d.syncErr = nil
		if strings.HasSuffix(name, sidecarSuffix) {
			d.syncErr = syscall.EIO
		}
	}
	must(t, s.Sync(background))
	if seqs, _ := letters(t, dir); len(seqs) != 0 {
		t.Fatalf("letters %v of what a power cut undoes", seqs)
	}
	d.syncHook, d.syncErr = nil, nil
	must(t, s.Append(rec(3, 100)))
	must(t, s.Sync(background))
	if seqs, _ := letters(t, dir); !slices.Equal(seqs, []uint64{1}) {
		t.Errorf("letters %v", seqs)
	}
	kill(s)
	s, _ = testSpool(t, dir, Config{})
	if st := checkBalance(t, s); st.Dead != 1 || st.Records != 2 {
		t.Errorf("%+v", st)
	}
}

// TestLettersOnABrokenDisk stay in memory, as far as they fit, block nothing,
// leave no half file, and are counted where they are given up.
func TestLettersOnABrokenDisk(t *testing.T) {
	for what, breakDisk := range map[string]func(d *faultFS){
		"write":     func(d *faultFS) { d.writeErr = syscall.ENOSPC },
		"fsync":     func(d *faultFS) { d.syncErr = syscall.EIO },
		"directory": func(d *faultFS) { d.dirErr = syscall.EIO },
		"create":    func(d *faultFS) { d.createErr = syscall.EROFS },
		"low space": func(d *faultFS) { d.free = 1 },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				s, d := testSpool(t, dir, Config{MinFree: 1})
				appendAll(t, s, 1, 2, 500)
				must(t, s.Sync(background))
				breakDisk(d)
				s.Ack(named(7, 1), 1)
				const each = 1000
				for seq := range uint64(100) {
					s.SetAside(letterOf(seq+2, each))
					s.Ack(named(7, seq+2), 1)
				}
				_ = s.bury(true)
				if left := files(t, filepath.Join(dir, deadDir), ""); len(left) != 0 {
					t.Errorf("left %v", left)
				}
				*d = faultFS{osFS: d.osFS}
				s.retry()
				time.Sleep(letterRetry)
				s.tick()
				seqs, _ := letters(t, dir)
				st := checkBalance(t, s)
				var lost int64
				for seq := uint64(2); seq < 102; seq++ {
					if !slices.Contains(seqs, seq) {
						lost += rec(seq, 0).Items
					}
				}
				if n := len(seqs); n < letterBytes/(each+200) || n > letterBytes/each+1 || seqs[n-1] != 101 || st.LettersLost != lost {
					t.Errorf("letters %v, %d lost, want %d", seqs, st.LettersLost, lost)
				}
			})
		})
	}
}

// TestLettersThatCannotBeWritten block nothing while the disk is good for
// records.
func TestLettersThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, deadDir), nil, fileMode))
	s, _ := testSpool(t, dir, Config{})
	for seq := range uint64(200) {
		must(t, s.Append(rec(seq+1, 1000)))
		s.Ack(named(7, seq+1), 1)
		s.SetAside(letterOf(seq+1, 1000))
		s.tick()
	}
	must(t, s.Sync(background))
	st := checkBalance(t, s)
	if st.Cause != nil || st.LettersLost == 0 {
		t.Errorf("%+v", st)
	}
	must(t, s.Close(background))
	s, _ = testSpool(t, dir, Config{})
	if after := s.Stats(); after.LettersLost != points(upTo(200)) {
		t.Errorf("%d points have no letter, %d are counted", points(upTo(200)), after.LettersLost)
	}
}

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
