package spool

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// closedFS opens no segment.
type closedFS struct{ *faultFS }

func (d closedFS) Open(name string) (file, error) {
	if strings.HasSuffix(name, segmentSuffix) {
		return nil, syscall.EACCES
	}
	return d.faultFS.Open(name)
}

// TestSegmentsThatStay neither evicts, expires nor removes a segment that
// cannot be read, or that holds what another version wrote, and has it again
// when it can.
func TestSegmentsThatStay(t *testing.T) {
	for what, disk := range map[string]func(d *faultFS) fileSystem{
		"not read":    func(d *faultFS) fileSystem { d.readErr = syscall.EIO; return d },
		"not opened":  func(d *faultFS) fileSystem { return closedFS{d} },
		"not our own": func(d *faultFS) fileSystem { return d },
	} {
		t.Run(what, func(t *testing.T) {
			name, b := image(t, 2, 900, true)
			if what == "not our own" {
				h := b[2*(headerBytes+900):] // the end record
				h[offVersion] = 9
				binary.LittleEndian.PutUint32(h[offHeaderCRC:], crc32.Checksum(h[:offHeaderCRC], castagnoli))
			}
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, name), b, fileMode))
			s := open(Config{MaxBytes: 8 << 10, MaxAge: time.Hour}, disk(&faultFS{osFS: osFS(dir)}))
			for seq := uint64(10); seq < 30; seq++ {
				r := rec(seq, 900)
				r.TimeMS = time.Now().UnixMilli()
				must(t, s.Append(r))
			}
			s.tick()
			if st := checkBalance(t, s); st.Evicted == 0 || st.Expired != 0 {
				t.Errorf("%+v", st)
			}
			must(t, s.Close(background))
			s, _ = testSpool(t, dir, Config{})
			if got := s.Waiting(); !slices.Equal(got[:2], upTo(2)) {
				t.Errorf("%v wait, want 1 and 2 first", got)
			}
		})
	}
}

// TestAppendDuringFsync syncs what came while an fsync was under way, also if
// its segment was closed meanwhile.
func TestAppendDuringFsync(t *testing.T) {
	for what, size := range map[string]int{"same segment": 100, "next segment": 10000} {
		t.Run(what, func(t *testing.T) {
			s, d := testSpool(t, t.TempDir(), Config{MaxBytes: 64 << 10})
			must(t, s.Append(rec(1, 10000)))
			d.syncHook = func(string) {
				d.syncHook = nil
				must(t, s.Append(rec(2, 100)))
				must(t, s.Append(rec(3, size)))
			}
			must(t, s.Sync(background))
			if s.owed == 0 {
				t.Error("nothing is owed for what came during the fsync")
			}
			must(t, s.Sync(background))
			if s.owed != 0 {
				t.Errorf("%d bytes are never synced", s.owed)
			}
		})
	}
}

// TestLoseDuringLedgerWrite has the next write of the ledger count it.
func TestLoseDuringLedgerWrite(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{})
	s.Lose("queue_full", 1)
	d.syncHook = func(string) {
		d.syncHook = nil
		s.Lose("queue_full", 2)
	}
	must(t, s.Sync(background))
	must(t, s.Sync(background))
	if l, err := readLedger(d); err != nil || l.losses["queue_full"] != 3 {
		t.Errorf("the ledger says %v (%v)", l.losses, err)
	}
}

// TestLedgerOfARemovedDirectory is written anew, although nothing changed.
func TestLedgerOfARemovedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s, d := testSpool(t, dir, Config{})
	s.Lose("queue_full", 3)
	must(t, s.Sync(background))
	must(t, os.RemoveAll(dir))
	s.down(errLost)
	s.retry()
	must(t, s.Sync(background))
	if l, err := readLedger(d); err != nil || l.losses["queue_full"] != 3 {
		t.Errorf("the ledger says %v (%v)", l.losses, err)
	}
	if n := openIn(t, dir); n != 1 {
		t.Errorf("%d files are open, want the lock alone", n)
	}
}

// TestAckOfAnotherEpoch tells records apart whose seq is the same.
func TestAckOfAnotherEpoch(t *testing.T) {
	s, _ := testSpool(t, t.TempDir(), Config{})
	for _, epoch := range []uint64{7, 8} {
		r := rec(1, 100)
		r.Epoch = epoch
		must(t, s.Append(r))
	}
	if !s.Ack(named(8, 1), 0) || s.Ack(named(9, 1), 0) {
		t.Error("acked the wrong record")
	}
	if r, err := s.Oldest(0, nil); err != nil || r.Epoch != 7 {
		t.Errorf("%d/%d waits (%v)", r.Epoch, r.Seq, err)
	}
}

// TestRecordInThePlaceOfAnother passes no sound record for the one that was there.
func TestRecordInThePlaceOfAnother(t *testing.T) {
	const length = headerBytes + 100
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 2, 100)
	must(t, s.Sync(background))
	f, err := os.OpenFile(files(t, dir, segmentSuffix)[0], os.O_RDWR, 0)
	must(t, err)
	b := make([]byte, length)
	_, err = f.ReadAt(b, length)
	must(t, err)
	_, err = f.WriteAt(b, 0)
	must(t, err)
	must(t, f.Close())
	if got := drain(t, s, 100); !slices.Equal(got, []uint64{2}) {
		t.Errorf("read %v", got)
	}
	if st := checkBalance(t, s); st.Corrupt != rec(1, 0).Items {
		t.Errorf("%+v", st)
	}
}

// TestBlindReadsMemory returns what is in memory while the disk cannot be read.
func TestBlindReadsMemory(t *testing.T) {
	s, d := testSpool(t, t.TempDir(), Config{})
	must(t, s.Append(rec(1, 100)))
	must(t, s.Sync(background))
	must(t, s.Append(rec(2, 100)))
	d.readErr = syscall.EIO
	_, err := s.Oldest(0, nil)
	unavailable(t, err, syscall.EIO)
	r, err := s.Oldest(0, nil)
	must(t, err)
	must(t, sameRecord(r, rec(2, 100)))
}

// TestTornMark writes the next mark over one that is not whole.
func TestTornMark(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 3, 100)
	s.Ack(named(7, 1), 0)
	must(t, s.Close(background))
	name := files(t, dir, sidecarSuffix)[0]
	f, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	must(t, err)
	_, err = f.Write(make([]byte, minMarkBytes-5))
	must(t, err)
	must(t, f.Close())
	s, _ = testSpool(t, dir, Config{})
	s.Ack(named(7, 2), 0)
	must(t, s.Close(background))
	s, _ = testSpool(t, dir, Config{})
	if got := drain(t, s, 100); !slices.Equal(got, []uint64{3}) {
		t.Errorf("read %v", got)
	}
}

// TestReplayOfOneThatWaits appends no letter whose record a crash left waiting.
func TestReplayOfOneThatWaits(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	must(t, s.Append(rec(1, 100)))
	must(t, os.Mkdir(filepath.Join(dir, deadDir), dirMode))
	id := letterID{timeMS: 1, points: uint64(rec(1, 0).Items), salt: 3}
	name := strings.TrimSuffix(id.name(), letterSuffix) + replaySuffix
	must(t, os.WriteFile(filepath.Join(dir, deadDir, name), encodeLetters([]Letter{{named(7, 1), "400", rec(1, 100)}}, id.salt), fileMode))
	s.survey(&s.dead)
	s.replay()
	if st := checkBalance(t, s); st.Records != 1 || st.Letters != 0 {
		t.Errorf("%+v", st)
	}
}

// TestReplayIsDurableFirst keeps the letter until its record is on the device.
func TestReplayIsDurableFirst(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{})
	must(t, s.Append(rec(1, 100)))
	refuse(t, s, rec(1, 100), "400")
	name := letterPath(t, dir)
	replay := strings.TrimSuffix(name, letterSuffix) + replaySuffix
	must(t, os.Rename(name, replay))
	d.syncErr = syscall.EIO
	s.replay()
	if _, err := os.Stat(replay); err != nil {
		t.Error(err)
	}
	d.syncErr = nil
	s.retry()
	s.replay()
	if st := checkBalance(t, s); st.Records != 1 || st.Letters != 0 {
		t.Errorf("%+v", st)
	}
}

// TestNoQuarantineOnABrokenDisk removes what is damaged: room is wanted.
func TestNoQuarantineOnABrokenDisk(t *testing.T) {
	name, b := image(t, 1, 500, true)
	b[headerBytes+7] ^= 1
	dir := t.TempDir()
	s := reopen(t, dir, name, b)
	drain(t, s, 500)
	s.down(syscall.ENOSPC)
	s.retry()
	if left := append(files(t, filepath.Join(dir, quarantineDir), ""), files(t, dir, segmentSuffix)...); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// TestManySegmentsGo removes more segments at once than one ledger slot names.
func TestManySegmentsGo(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	s.segmentBytes = 200
	appendAll(t, s, 1, 2*maxRetired+9, 100)
	drain(t, s, 100)
	must(t, s.Close(background))
	if left := files(t, dir, segmentSuffix); len(left) != 0 {
		t.Errorf("%d segments are left", len(left))
	}
	s, _ = testSpool(t, dir, Config{})
	if st := checkBalance(t, s); st.Delivered != points(upTo(2*maxRetired+9)) {
		t.Errorf("%+v", st)
	}
}
