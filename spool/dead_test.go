package spool

import (
	"math/rand/v2"
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

// TestLettersBesideOneThatWaits gather as ever, however long another waits.
func TestLettersBesideOneThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, _ := testSpool(t, dir, Config{})
		must(t, s.Append(rec(1, 100)))
		s.SetAside(letterOf(1, 100))
		for seq := range uint64(1800) {
			s.Refuse(1)
			s.SetAside(letterOf(seq+2, 10))
			time.Sleep(time.Second)
			s.tick()
		}
		if st := checkBalance(t, s); st.Letters < 3 || st.Letters > 6 {
			t.Errorf("%d letters of %d points in half an hour", st.Letters, st.LetterPoints)
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

// letterFS calls back when a letter is made.
type letterFS struct {
	*memFS
	made func()
}

func (d *letterFS) Create(name string) (file, error) {
	if filepath.Dir(name) == deadDir {
		d.made()
	}
	return d.memFS.Create(name)
}

// TestLetterComesLast has all on the device that settled a letter's points, and
// its names, when the letter is made: in a sidecar, and in the ledger alone.
func TestLetterComesLast(t *testing.T) {
	d := &letterFS{memFS: newMemFS(rand.New(rand.NewPCG(1, 1)))}
	s := open(Config{MaxBytes: 1 << 20}, d)
	appendAll(t, s, 1, 2, 100)
	must(t, s.Sync(background))
	s.Ack(named(7, 1), 1)
	s.Refuse(3)
	s.SetAside(letterOf(1, 100))
	letters := 0
	d.made = func() {
		letters++
		for name, n := range d.names {
			if n.dir || name == lockName {
				continue
			}
			if d.durable[name] != n || len(n.pending) > 0 {
				t.Errorf("%s is not durable: %d writes", name, len(n.pending))
			}
		}
		if l, err := readLedger(d); err != nil || l.direct != 3 || d.names[s.segs[0].sidecar()] == nil {
			t.Errorf("the ledger has %d points of Refuse (%v), files are %v", l.direct, err, d.names)
		}
	}
	must(t, s.Sync(background))
	if letters != 1 {
		t.Errorf("%d letters", letters)
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
