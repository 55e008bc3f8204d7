package spool

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// letters returns the dead letters in dir: seqs and reasons, oldest first.
func letters(t testing.TB, dir string) (seqs []uint64, reasons []string) {
	t.Helper()
	for _, name := range files(t, filepath.Join(dir, deadDir), "") {
		r, reason, err := readLetter(osFS(dir), deadDir+"/"+filepath.Base(name))
		must(t, err)
		must(t, sameRecord(r, rec(r.Seq, len(r.Payload))))
		seqs, reasons = append(seqs, r.Seq), append(reasons, reason)
	}
	return seqs, reasons
}

// TestSetAside moves records out of the way, over restarts too, with what they
// held and why, and counts them.
func TestSetAside(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 4, 500)
	must(t, s.SetAside(named(7, 3), "400 bad timestamp"))
	must(t, s.SetAside(named(7, 1), "422"))
	must(t, s.SetAside(named(7, 99), "not here"))
	must(t, s.SetAside(named(7, 1), "not any more"))
	for range 2 {
		if st := checkBalance(t, s); st.Dead != points([]uint64{1, 3}) || st.Records != 2 || st.Letters != 2 {
			t.Fatalf("after two letters: %+v", st)
		}
		if seqs, reasons := letters(t, dir); !slices.Equal(seqs, []uint64{1, 3}) || !slices.Equal(reasons, []string{"422", "400 bad timestamp"}) {
			t.Fatalf("letters %v %q", seqs, reasons)
		}
		must(t, s.Close(background))
		s, _ = testSpool(t, dir, Config{})
	}
	if got := drain(t, s, 500); !slices.Equal(got, []uint64{2, 4}) {
		t.Errorf("read %v", got)
	}
	want := []Loss{{reasonDead, points([]uint64{1, 3})}}
	if got := losses(s); !slices.Equal(got, want) {
		t.Errorf("losses %v, want %v", got, want)
	}
	must(t, s.Sync(background))
	must(t, s.Close(background))
	s, _ = testSpool(t, dir, Config{})
	if got := losses(s); !slices.Equal(got, want) {
		t.Errorf("losses after the segment is gone %v, want %v", got, want)
	}
}

// TestSetAsideOfAnother leaves the payload alone that Oldest lent out.
func TestSetAsideOfAnother(t *testing.T) {
	s, _ := testSpool(t, t.TempDir(), Config{})
	appendAll(t, s, 1, 2, 500)
	must(t, s.Sync(background))
	r, err := s.Oldest()
	must(t, err)
	must(t, s.SetAside(named(7, 2), "400"))
	must(t, sameRecord(r, rec(1, 500)))
}

// TestSetAsideOnABrokenDisk keeps the record, and leaves no half letter.
func TestSetAsideOnABrokenDisk(t *testing.T) {
	for what, breakDisk := range map[string]func(d *faultFS){
		"write":     func(d *faultFS) { d.writeErr = syscall.ENOSPC },
		"fsync":     func(d *faultFS) { d.syncErr = syscall.EIO },
		"directory": func(d *faultFS) { d.dirErr = syscall.EIO },
		"create":    func(d *faultFS) { d.createErr = syscall.EROFS },
		"low space": func(d *faultFS) { d.free = 1 },
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			s, d := testSpool(t, dir, Config{MinFree: 1})
			appendAll(t, s, 1, 2, 500)
			must(t, s.Sync(background))
			breakDisk(d)
			if err := s.SetAside(named(7, 1), "400"); err == nil || s.Stats().Cause == nil {
				t.Fatalf("set aside without a disk: %v", err)
			}
			if st := checkBalance(t, s); st.Records != 2 || st.Dead != 0 {
				t.Errorf("after a letter that could not be written: %+v", st)
			}
			if left := files(t, filepath.Join(dir, deadDir), ""); len(left) != 0 {
				t.Errorf("left %v", left)
			}
			d.writeErr, d.syncErr, d.dirErr, d.createErr, d.free = nil, nil, nil, nil, 0
			s.retry()
			must(t, s.SetAside(named(7, 1), "400"))
			if seqs, _ := letters(t, dir); !slices.Equal(seqs, []uint64{1}) {
				t.Errorf("letters %v", seqs)
			}
		})
	}
}

// TestSetAsideDamaged counts a record as corrupt that rotted before it could
// be set aside.
func TestSetAsideDamaged(t *testing.T) {
	name, b := image(t, 2, 500, true)
	b[headerBytes+7] ^= 1
	dir := t.TempDir()
	s := reopen(t, dir, name, b)
	must(t, s.SetAside(named(7, 1), "400"))
	if st := checkBalance(t, s); st.Corrupt != points([]uint64{1}) || st.Letters != 0 || st.Dead != 0 {
		t.Errorf("%+v", st)
	}
}

// TestDeadLettersAreCapped drops the oldest letter, keeps its count, and keeps
// one letter whatever its size.
func TestDeadLettersAreCapped(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{MaxBytes: 64 << 10})
	for seq := range uint64(12) {
		must(t, s.Append(rec(seq+1, 1000)))
		must(t, s.SetAside(named(7, seq+1), "400"))
		st := checkBalance(t, s)
		if held := st.DiskBytes; held > 64<<10 {
			t.Fatalf("%d bytes on disk", held)
		}
	}
	if seqs, _ := letters(t, dir); !slices.Equal(seqs, []uint64{10, 11, 12}) {
		t.Errorf("letters %v, want the newest three of 1,131 bytes each in 4 KiB", seqs)
	}
	if st := checkBalance(t, s); st.Dead != points(upTo(12)) || st.Letters != 3 {
		t.Errorf("%+v", st)
	}
	for seq := range uint64(100) {
		must(t, s.Append(rec(seq+20, 1000)))
		if held := s.Stats().DiskBytes; held > 64<<10 {
			t.Fatalf("%d bytes on disk, letters included", held)
		}
	}
	must(t, s.Append(rec(13, 9000)))
	must(t, s.SetAside(named(7, 13), "413"))
	if seqs, _ := letters(t, dir); !slices.Equal(seqs, []uint64{13}) {
		t.Errorf("letters %v, want the large one alone", seqs)
	}
}

// TestDeadStrangers makes room among its own dead letters alone, and not with
// those that somebody wants sent again.
func TestDeadStrangers(t *testing.T) {
	dir := t.TempDir()
	deadPath := filepath.Join(dir, deadDir)
	s, _ := testSpool(t, dir, Config{MaxBytes: 64 << 10})
	appendAll(t, s, 1, 3, 1000)
	must(t, s.SetAside(named(7, 1), "400"))
	must(t, s.SetAside(named(7, 2), "400"))
	first := files(t, deadPath, letterSuffix)[0]
	must(t, os.Rename(first, strings.TrimSuffix(first, letterSuffix)+replaySuffix))
	must(t, os.MkdirAll(filepath.Join(deadPath, "0", "1"), dirMode))
	must(t, os.WriteFile(filepath.Join(deadPath, "00"), make([]byte, 60<<10), fileMode))
	must(t, s.Append(rec(4, 9000)))
	must(t, s.SetAside(named(7, 4), "413"))
	var left []string
	for _, name := range files(t, deadPath, "") {
		left = append(left, filepath.Base(name))
	}
	want := []string{"0", "00", filepath.Base(strings.TrimSuffix(first, letterSuffix) + replaySuffix), letterName(rec(4, 0).TimeMS, named(7, 4))}
	if !slices.Equal(left, want) {
		t.Errorf("left %v, want %v", left, want)
	}
	if st := checkBalance(t, s); st.Letters != 2 || st.Cause != nil {
		t.Errorf("%+v", st)
	}
}

// TestReplay appends the letters again that somebody renamed, within seconds
// and once, even those that are older than MaxAge.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, d := testSpool(t, dir, Config{})
		for _, seq := range upTo(3) {
			r := rec(seq, 500)
			r.TimeMS = int64(seq)
			must(t, s.Append(r))
			must(t, s.SetAside(named(7, seq), "400"))
		}
		s.cfg.MaxAge = time.Hour
		for _, name := range files(t, filepath.Join(dir, deadDir), "")[1:] {
			must(t, os.Rename(name, strings.TrimSuffix(name, letterSuffix)+replaySuffix))
		}
		d.writeErr = syscall.EIO
		s.tick()
		if st := checkBalance(t, s); st.Letters != 3 || st.Records != 0 {
			t.Fatalf("replayed to a broken disk: %+v", st)
		}
		d.writeErr = nil
		s.retry()
		time.Sleep(replayEvery)
		s.tick()
		var got []uint64
		for {
			r, err := s.Oldest()
			if err != nil {
				break
			}
			if r.TimeMS != time.Now().UnixMilli() {
				t.Errorf("record %d is of %d", r.Seq, r.TimeMS)
			}
			r.TimeMS = rec(r.Seq, 500).TimeMS
			must(t, sameRecord(r, rec(r.Seq, 500)))
			got = append(got, r.Seq)
			s.Ack(named(7, r.Seq))
		}
		if !slices.Equal(got, []uint64{2, 3}) {
			t.Errorf("read %v", got)
		}
		st := checkBalance(t, s)
		if st.Letters != 1 || st.Dead != points(upTo(3)) || st.Appended != points([]uint64{1, 2, 3, 2, 3}) {
			t.Errorf("%+v", st)
		}
	})
}

// TestStrangersAmongLetters has the cap take letters alone.
func TestStrangersAmongLetters(t *testing.T) {
	dir := t.TempDir()
	stranger := filepath.Join(dir, deadDir, "0.dead")
	must(t, os.MkdirAll(filepath.Join(stranger, "x"), dirMode))
	s, _ := testSpool(t, dir, Config{MaxBytes: 16 << 10})
	for _, seq := range upTo(4) {
		must(t, s.Append(rec(seq, 500)))
		must(t, s.SetAside(named(7, seq), "400"))
	}
	if _, err := os.Stat(stranger); err != nil {
		t.Error(err)
	}
	if found := files(t, filepath.Join(dir, deadDir), letterSuffix); len(found) != 2 {
		t.Errorf("%v, want the stranger and the newest letter", found)
	}
}

// TestWhatSomebodyRemoves is room again within seconds.
func TestWhatSomebodyRemoves(t *testing.T) {
	for sub, name := range map[string]string{deadDir: letterName(1, named(7, 1)), quarantineDir: segmentID{1, 0, 2}.name()} {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, sub), dirMode))
		must(t, os.WriteFile(filepath.Join(dir, sub, name), make([]byte, 100), fileMode))
		s, _ := testSpool(t, dir, Config{})
		if st := s.Stats(); st.DiskBytes != 100 {
			t.Errorf("%s: %d bytes", sub, st.DiskBytes)
		}
		must(t, os.RemoveAll(filepath.Join(dir, sub)))
		s.tick()
		if st := s.Stats(); st.DiskBytes != 0 {
			t.Errorf("%s: %d bytes after it was removed", sub, st.DiskBytes)
		}
	}
}
