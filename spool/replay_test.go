package spool

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReplayOfALetterThatIsTooLarge puts it back, for a larger spool.
func TestReplayOfALetterThatIsTooLarge(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	must(t, s.Append(rec(1, 5000)))
	must(t, s.SetAside(named(7, 1), "413"))
	must(t, s.Close(background))
	name := files(t, filepath.Join(dir, deadDir), "")[0]
	must(t, os.Rename(name, strings.TrimSuffix(name, letterSuffix)+replaySuffix))
	s, _ = testSpool(t, dir, Config{MaxBytes: 4000})
	s.tick()
	if _, err := os.Stat(name); err != nil || checkBalance(t, s).Records != 0 {
		t.Errorf("the letter: %v, %+v", err, s.Stats())
	}
}

// TestReplayOfADamagedLetter puts it back.
func TestReplayOfADamagedLetter(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	must(t, s.Append(rec(1, 500)))
	must(t, s.SetAside(named(7, 1), "400"))
	must(t, s.Close(background))
	name := files(t, filepath.Join(dir, deadDir), "")[0]
	b, err := os.ReadFile(name)
	must(t, err)
	b[len(b)-1] ^= 1
	must(t, os.WriteFile(strings.TrimSuffix(name, letterSuffix)+replaySuffix, b, fileMode))
	must(t, os.Remove(name))
	s, _ = testSpool(t, dir, Config{})
	s.tick()
	if _, err := os.Stat(name); err != nil || checkBalance(t, s).Records != 0 {
		t.Errorf("the damaged letter: %v, %+v", err, s.Stats())
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
	if st := checkBalance(t, s); st.DiskBytes != int64(len(b)) || st.Corrupt != points([]uint64{1}) {
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
		if len(d.pending) != 0 || s.kept != 1 {
			t.Errorf("killed %v: %d changes of names are not durable, %d files in quarantine", killed, len(d.pending), s.kept)
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
	_, err := s.Oldest() // finds it
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
	must(t, s.SetAside(want.ID, "400"))
	must(t, s.Close(background))
	letter := files(t, filepath.Join(dir, deadDir), "")[0]
	must(t, os.Rename(letter, strings.TrimSuffix(letter, letterSuffix)+replaySuffix))
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
	if !s.Ack(named(7, 1)) {
		t.Error("the record before it does not wait")
	}
	if r, err := s.Oldest(); err != nil || !bytes.Equal(r.Payload, want.Payload) {
		t.Errorf("replayed %d bytes, %v", len(r.Payload), err)
	}
}
