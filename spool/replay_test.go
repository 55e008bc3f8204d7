package spool

import (
	"bytes"
	"fmt"
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

// TestReplayOfALetterThatIsTooLarge puts it back, for a larger spool.
func TestReplayOfALetterThatIsTooLarge(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	must(t, s.Append(rec(1, 5000)))
	refuse(t, s, rec(1, 5000), "413")
	must(t, s.Close(background))
	name := letterPath(t, dir)
	markReplay(t, name)
	s, _ = testSpool(t, dir, Config{MaxBytes: 4000})
	s.tick()
	if _, err := os.Stat(name); err != nil || checkBalance(t, s).Records != 0 {
		t.Errorf("the letter: %v, %+v", err, s.Stats())
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
			refuse(t, s, r, "400")
		}
		s.cfg.MaxAge = time.Hour
		markReplay(t, files(t, filepath.Join(dir, deadDir), "")[1:]...)
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
			r, err := s.Oldest(0, nil)
			if err != nil {
				break
			}
			if r.TimeMS != time.Now().UnixMilli() {
				t.Errorf("record %d is of %d", r.Seq, r.TimeMS)
			}
			r.TimeMS = rec(r.Seq, 500).TimeMS
			must(t, sameRecord(r, rec(r.Seq, 500)))
			got = append(got, r.Seq)
			s.Ack(named(7, r.Seq), 0)
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

// threeLetters writes three entries to one file, and returns its path and size.
func threeLetters(t *testing.T, dir string) (string, []byte) {
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 3, 500)
	for _, seq := range upTo(3) {
		s.Ack(named(7, seq), rec(seq, 0).Items)
		s.SetAside(letterOf(seq, 500))
	}
	must(t, s.Close(background))
	path := letterPath(t, dir)
	b, err := os.ReadFile(path)
	must(t, err)
	return path, b
}

// TestReplayOfADamagedLetter appends what is sound of it and counts the rest;
// one in which nothing is sound is put back.
func TestReplayOfADamagedLetter(t *testing.T) {
	for _, c := range []struct {
		what   string
		damage func(b []byte) []byte
		want   []uint64
	}{
		{"torn", func(b []byte) []byte { return b[:len(b)-1] }, []uint64{1, 2}},
		{"torn in the first", func(b []byte) []byte { return b[:100] }, nil},
		{"rotten", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, []uint64{1, 3}},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			path, b := threeLetters(t, dir)
			must(t, os.WriteFile(path, c.damage(b), fileMode))
			in := inspectDir(t, dir, nil, ownerNone)
			if in.LetterEntries != int64(len(c.want)) || in.Damages != 1 {
				t.Errorf("shown: %+v", in.findings)
			}
			markReplay(t, path)
			s, _ := testSpool(t, dir, Config{})
			s.tick()
			if got := s.Waiting(); !slices.Equal(got, c.want) {
				t.Errorf("appended %v, want %v", got, c.want)
			}
			st := checkBalance(t, s)
			if _, err := os.Stat(path); (err == nil) != (c.want == nil) || c.want != nil && st.LettersLost != points(upTo(3))-points(c.want) {
				t.Errorf("the letter: %v, %+v", err, st)
			}
		})
	}
}

// TestTheLaterLetterCounts shows and replays an entry once that is in two
// letters: the last one.
func TestTheLaterLetterCounts(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	for i := range 2 {
		for _, seq := range []uint64{1, uint64(i) + 2} {
			l := letterOf(seq, 100)
			l.Reason = fmt.Sprint("search ", i)
			s.Refuse(l.Items)
			s.SetAside(l)
		}
		must(t, s.Sync(background))
	}
	paths := files(t, filepath.Join(dir, deadDir), "")
	if len(paths) != 2 {
		t.Fatalf("letters %v", paths)
	}
	in := inspectDir(t, dir, nil, ownerNone)
	var reasons []string
	for _, f := range in.findings {
		reasons = append(reasons, fmt.Sprint(f.Record.Seq, " ", f.Reason))
	}
	if want := []string{"2 search 0", "1 search 1", "3 search 1"}; !slices.Equal(reasons, want) || in.LetterPoints != points(upTo(3)) {
		t.Errorf("shows %q, want %q", reasons, want)
	}
	markReplay(t, paths[0])
	s.replay()
	if got := s.Waiting(); !slices.Equal(got, []uint64{2}) {
		t.Errorf("the first letter alone gives %v", got)
	}
	markReplay(t, paths[1])
	s.replay()
	if got := s.Waiting(); !slices.Equal(got, []uint64{2, 1, 3}) {
		t.Errorf("both letters give %v", got)
	}
}

// TestQuarantine keeps the file of a segment in which something was damaged.
func TestQuarantine(t *testing.T) {
	name, b := image(t, 3, 500, true)
	b[headerBytes+7] ^= 1
	dir := t.TempDir()
	s := reopen(t, dir, name, b)
	if got := drain(t, s, 500); !slices.Equal(got, []uint64{2, 3}) {
		t.Errorf("read %v", got)
	}
	must(t, s.Sync(background))
	kept, err := os.ReadFile(filepath.Join(dir, quarantineDir, name))
	must(t, err)
	if !slices.Equal(kept, b) || len(files(t, dir, segmentSuffix)) != 0 {
		t.Errorf("kept %d bytes of %d, and left %v", len(kept), len(b), files(t, dir, segmentSuffix))
	}
	if st := checkBalance(t, s); st.DiskBytes != blocks(int64(len(b))) || st.Corrupt != points([]uint64{1}) {
		t.Errorf("%+v", st)
	}
}

// TestQuarantineIsDurable leaves no half of a rename for a power cut to undo,
// neither in Sync nor, if the process dies before it, in the next Open: the
// segment would come back when the ledger does not name it any more.
func TestQuarantineIsDurable(t *testing.T) {
	for _, killed := range []bool{false, true} {
		d := newMemFS(rand.New(rand.NewPCG(1, 1)))
		s := open(Config{MaxBytes: 1 << 20}, d)
		appendAll(t, s, 1, 3, 500)
		must(t, s.Sync(background))
		for name, n := range d.names {
			if strings.HasSuffix(name, segmentSuffix) {
				n.cache[headerBytes+7] ^= 1
			}
		}
		d.revive(0, 0)
		s = open(Config{MaxBytes: 1 << 20}, d)
		drain(t, s, 500)
		if !killed {
			must(t, s.Sync(background))
		} else {
			s.quarantine(s.retired[0])
			d.revive(0, 0)
			s = open(Config{MaxBytes: 1 << 20}, d)
		}
		if len(d.pending) != 0 || len(s.kept.files) != 1 {
			t.Errorf("killed %v: %d changes of names are not durable, %d files in quarantine", killed, len(d.pending), len(s.kept.files))
		}
	}
}

// TestQuarantineIsCapped keeps what comes first, and nothing that is given up
// for room.
func TestQuarantineIsCapped(t *testing.T) {
	dir := t.TempDir()
	const size = 500
	s, _ := testSpool(t, dir, Config{MaxBytes: 32 << 10})
	s.segmentBytes = 1500 // two records: one fits into quarantine, 2 KiB
	spoil := func(name string) {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte{0xff, 0xfe}, headerBytes+20)
		must(t, err)
		must(t, f.Close())
	}
	appendAll(t, s, 1, 5, size)
	must(t, s.Sync(background))
	segments := files(t, dir, segmentSuffix)
	spoil(segments[0])
	spoil(segments[1])
	drain(t, s, size)
	must(t, s.Sync(background))
	kept := files(t, filepath.Join(dir, quarantineDir), "")
	if len(kept) != 1 || filepath.Base(kept[0]) != filepath.Base(segments[0]) {
		t.Errorf("kept %v of %v", kept, segments)
	}
	must(t, os.RemoveAll(filepath.Join(dir, quarantineDir)))

	must(t, s.Close(background))
	s, _ = testSpool(t, dir, Config{MaxBytes: 32 << 10})
	s.segmentBytes = 1500
	before := s.Stats().Corrupt
	appendAll(t, s, 6, 8, size)
	must(t, s.Sync(background))
	spoil(files(t, dir, segmentSuffix)[0])
	_, err := s.Oldest(0, nil) // finds it
	must(t, err)
	if s.Stats().Corrupt == before {
		t.Error("the damage was not found")
	}
	for seq := uint64(9); s.Stats().Evicted == 0; seq++ {
		must(t, s.Append(rec(seq, size)))
	}
	if kept := files(t, filepath.Join(dir, quarantineDir), ""); len(kept) != 0 {
		t.Errorf("evicted for room, and kept: %v", kept)
	}
}

// TestReplayOfARecordThatIsDamaged is not taken for one that waits: its letter
// is the only copy. A power cut took the mark of the letter and a part of the
// record.
func TestReplayOfARecordThatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	want := rec(2, 500)
	must(t, s.Append(rec(1, 500)))
	must(t, s.Append(want))
	refuse(t, s, want, "400")
	must(t, s.Close(background))
	markReplay(t, letterPath(t, dir))
	segment := files(t, dir, segmentSuffix)[0]
	b, err := os.ReadFile(segment)
	must(t, err)
	b[len(b)-headerBytes-1] ^= 1 // what Close wrote at the end is behind it
	must(t, os.WriteFile(segment, b, fileMode))
	must(t, os.Remove(files(t, dir, sidecarSuffix)[0]))

	s, _ = testSpool(t, dir, Config{})
	s.tick()
	if st := checkBalance(t, s); st.Records != 2 || st.Corrupt != want.Items || st.Letters != 0 {
		t.Errorf("after the replay: %+v", st)
	}
	if !s.Ack(named(7, 1), 0) {
		t.Error("the record before it does not wait")
	}
	if r, err := s.Oldest(0, nil); err != nil || !bytes.Equal(r.Payload, want.Payload) {
		t.Errorf("replayed %d bytes, %v", len(r.Payload), err)
	}
}
