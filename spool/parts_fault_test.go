package spool

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"
)

// What becomes of progress when the disk has faults.

// TestProgressMovesAlong keeps what was delivered of a record that has to be
// written again after a failed fsync, and marks that a full disk refused.
func TestProgressMovesAlong(t *testing.T) {
	for _, mode := range []Fsync{FsyncInterval, FsyncAlways} {
		dir := t.TempDir()
		s, d := testSpool(t, dir, Config{Fsync: FsyncInterval})
		r := batchOf(1, 12)
		r.Marks = delivers(4)
		must(t, s.Append(r))
		must(t, s.Append(batchOf(2, 1)))
		d.syncErr = syscall.EIO
		_ = s.settle()
		s.Mark(r.ID, Mark{5, PartDead}) // no letter, no fate
		s.Mark(r.ID, Mark{3, PartCut})
		s.Mark(r.ID, Mark{6, PartDelivered})
		const want = "7 wait in 2: 6 delivered, 0 dead, 0 evicted, 0 expired, 0 corrupt of 13"
		wantFigures(t, s, "in a segment given up", want)
		d.syncErr = nil
		s.retry()
		wantFigures(t, s, "written again", want)
		must(t, s.lock.Close())
		s, _ = testSpool(t, dir, Config{Fsync: mode})
		wantFigures(t, s, "after a kill", want)
		got, err := s.Oldest()
		if marks := []Mark{{4, PartDelivered}, {3, PartCut}, {6, PartDelivered}}; err != nil || !slices.Equal(got.Marks, marks) {
			t.Errorf("marks are %v, %v", got.Marks, err)
		}
	}
}

// TestWhatIsCutKeepsItsFates counts a record as what it was, in parts, that was
// settled in a segment that was given up, and is in no file any more.
func TestWhatIsCutKeepsItsFates(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{})
	r := batchOf(1, 12)
	r.Marks = []Mark{{2, PartDead}}
	must(t, s.Append(batchOf(2, 1)))
	must(t, s.Sync(background))
	must(t, s.Append(r))
	d.syncErr = syscall.EIO
	_ = s.settle()
	s.Mark(r.ID, Mark{3, PartDelivered})
	s.Ack(r.ID)
	d.syncErr = nil
	s.retry()
	const want = "1 wait in 1: 6 delivered, 6 dead, 0 evicted, 0 expired, 0 corrupt of 13"
	wantFigures(t, s, "cut", want)
	must(t, s.Close(background))
	s, _ = testSpool(t, dir, Config{})
	wantFigures(t, s, "opened again", want)
}

// TestARefusedRecordTakesItsProgressBack counts nothing of what always mode
// could not make durable.
func TestARefusedRecordTakesItsProgressBack(t *testing.T) {
	s, d := testSpool(t, t.TempDir(), Config{Fsync: FsyncAlways})
	d.syncErr = syscall.EIO
	r := batchOf(1, 12)
	r.Marks = delivers(2)
	if err := s.Append(r); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	wantFigures(t, s, "refused", "0 wait in 0: 0 delivered, 0 dead, 0 evicted, 0 expired, 0 corrupt of 0")
	d.syncErr = nil
	s.retry()
	must(t, s.Append(r))
	wantFigures(t, s, "taken", "6 wait in 1: 6 delivered, 0 dead, 0 evicted, 0 expired, 0 corrupt of 12")
}

// TestMarksAreWrittenInOrder writes what a full disk refused before what comes
// after it: else a part's fate could be taken for that of what is left.
func TestMarksAreWrittenInOrder(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{})
	r := batchOf(1, 8)
	must(t, s.Append(r))
	must(t, s.Append(batchOf(2, 1)))
	s.Mark(r.ID, Mark{2, PartDelivered})
	name := files(t, dir, sidecarSuffix)[0]
	before, err := os.ReadFile(name)
	must(t, err)
	seg := s.segs[0]
	for room := range int64(3 * markBytes) {
		must(t, os.WriteFile(name, before, fileMode))
		seg.acksSize, seg.unmarked = int64(len(before)), nil
		d.limited = true
		for _, f := range []fate{partCut, partDead, delivered} {
			d.room = room
			s.note(seg, sidecarMark{0, f, 3})
		}
		b, err := os.ReadFile(name)
		must(t, err)
		var read []fate
		readMarks(b, seg.salt, func(m sidecarMark) { read = append(read, m.fate) })
		all := []fate{partDelivered, partCut, partDead, delivered}
		if least := 1 + int(room/markBytes); len(read) < least || !slices.Equal(read, all[:len(read)]) {
			t.Errorf("with room for %d bytes the sidecar says %v", room, read)
		}
	}
}

// TestALostMarkCostsItsPart loses the entries of a sidecar, one at a time: what
// it was about waits again, and nothing else; its record was acknowledged.
func TestALostMarkCostsItsPart(t *testing.T) {
	for lost, want := range []string{
		"3 wait in 1: 2 delivered, 4 dead, 0 evicted, 0 expired, 0 corrupt of 9",
		"2 wait in 1: 3 delivered, 4 dead, 0 evicted, 0 expired, 0 corrupt of 9",
		"4 wait in 1: 5 delivered, 0 dead, 0 evicted, 0 expired, 0 corrupt of 9",
		"0 wait in 0: 5 delivered, 4 dead, 0 evicted, 0 expired, 0 corrupt of 9",
	} {
		dir := t.TempDir()
		s, _ := testSpool(t, dir, Config{})
		r := batchOf(1, 9)
		must(t, s.Append(batchOf(2, 0)))
		must(t, s.Append(r))
		s.Mark(r.ID, Mark{4, PartDelivered})
		s.Mark(r.ID, Mark{5, PartDelivered})
		must(t, s.SetAsidePart(r.ID, Piece{3, nil}, "400"))
		if !s.Ack(r.ID) || !s.Ack(named(7, 2)) {
			t.Fatal("they do not wait")
		}
		must(t, s.lock.Close())
		name := files(t, dir, sidecarSuffix)[0]
		b, err := os.ReadFile(name)
		must(t, err)
		b[lost*markBytes] ^= 1
		must(t, os.WriteFile(name, b, fileMode))
		s, _ = testSpool(t, dir, Config{})
		if lost == 3 {
			s.Ack(named(7, 2))
		}
		wantFigures(t, s, "without entry "+string(rune('0'+lost)), want)
	}
}
