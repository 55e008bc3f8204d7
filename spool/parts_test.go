package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// batchOf is record seq with that many points.
func batchOf(seq uint64, items int64) Record {
	r := rec(seq, 100)
	r.Items = items
	return r
}

func delivers(parts ...uint16) (marks []Mark) {
	for _, p := range parts {
		marks = append(marks, Mark{p, PartDelivered})
	}
	return marks
}

// figures are the totals that matter here.
func figures(t testing.TB, s *Spool) string {
	t.Helper()
	st := checkBalance(t, s)
	return fmt.Sprintf("%d wait in %d: %d delivered, %d dead, %d evicted, %d expired, %d corrupt of %d",
		st.Points, st.Records, st.Delivered, st.Dead, st.Evicted, st.Expired, st.Corrupt, st.Appended)
}

func wantFigures(t testing.TB, s *Spool, when, want string) {
	t.Helper()
	if got := figures(t, s); got != want {
		t.Errorf("%s: %s; want %s", when, got, want)
	}
}

// TestPartsHaveTheirItems halves every number of points up to 40 in every way:
// the halves of a part have its points, and the first is not the smaller one.
func TestPartsHaveTheirItems(t *testing.T) {
	for n := int64(0); n <= 40; n++ {
		if itemsOf(0, n) != n || itemsOf(1, n) != n {
			t.Errorf("all of %d points are %d", n, itemsOf(1, n))
		}
		for p := uint16(1); p < 1<<8; p++ {
			first, second := itemsOf(2*p, n), itemsOf(2*p+1, n)
			if first+second != itemsOf(p, n) || first != second && first != second+1 {
				t.Errorf("part %d of %d points: %d are %d and %d", p, n, itemsOf(p, n), first, second)
			}
		}
	}
}

// TestPartsOutliveAKill delivers a record in parts, each under another process
// that does not end in order: what was said of a part stays said.
func TestPartsOutliveAKill(t *testing.T) {
	dir := t.TempDir()
	var s *Spool
	die := func() {
		if s != nil {
			must(t, s.lock.Close()) // as a kill does; the files are as they are
		}
		s, _ = testSpool(t, dir, Config{Fsync: FsyncAlways})
	}
	die()
	want := batchOf(1, 101)
	must(t, s.Append(want))
	must(t, s.Append(batchOf(2, 7)))
	for _, step := range []struct {
		do      func() bool
		figures string
	}{
		{func() bool { return s.Mark(want.ID, Mark{1, PartCut}) }, "108 wait in 2: 0 delivered, 0 dead, 0 evicted, 0 expired, 0 corrupt of 108"},
		{func() bool { return s.Mark(want.ID, Mark{2, PartDelivered}) }, "57 wait in 2: 51 delivered, 0 dead, 0 evicted, 0 expired, 0 corrupt of 108"},
		{func() bool { return s.Mark(want.ID, Mark{3, PartCut}) }, "57 wait in 2: 51 delivered, 0 dead, 0 evicted, 0 expired, 0 corrupt of 108"},
		{func() bool { return s.SetAsidePart(want.ID, Piece{6, []byte("bad")}, "400") == nil }, "32 wait in 2: 51 delivered, 25 dead, 0 evicted, 0 expired, 0 corrupt of 108"},
	} {
		if !step.do() {
			t.Fatalf("the record does not wait: %s", figures(t, s))
		}
		wantFigures(t, s, "live", step.figures)
		die()
		wantFigures(t, s, "after a kill", step.figures)
	}
	r, err := s.Oldest()
	must(t, errors.Join(err, sameRecord(r, want)))
	if marks := []Mark{{1, PartCut}, {2, PartDelivered}, {3, PartCut}, {6, PartDead}}; !slices.Equal(r.Marks, marks) {
		t.Errorf("its marks are %v, want %v", r.Marks, marks)
	}
	// The last part: it waits until its Ack, or the next process.
	s.Mark(want.ID, Mark{7, PartDelivered})
	wantFigures(t, s, "before its Ack", "7 wait in 2: 76 delivered, 25 dead, 0 evicted, 0 expired, 0 corrupt of 108")
	if !s.Mark(want.ID, Mark{7, PartDelivered}) {
		t.Error("a record of which no part is left does not wait for its Ack")
	}
	die()
	wantFigures(t, s, "in the next process", "7 wait in 1: 76 delivered, 25 dead, 0 evicted, 0 expired, 0 corrupt of 108")
	if s.Ack(want.ID) || !s.Ack(named(7, 2)) {
		t.Error("the wrong record waits")
	}
	must(t, s.Close(background))
	s, _ = testSpool(t, dir, Config{})
	wantFigures(t, s, "retired", "0 wait in 0: 83 delivered, 25 dead, 0 evicted, 0 expired, 0 corrupt of 108")
}

// TestOldestPassesOverWhatIsFinished settles a record whose every part is, if
// its Ack never comes.
func TestOldestPassesOverWhatIsFinished(t *testing.T) {
	s, _ := testSpool(t, t.TempDir(), Config{})
	must(t, s.Append(batchOf(1, 2)))
	must(t, s.Append(batchOf(2, 0))) // has nothing to settle, and still waits
	s.Mark(named(7, 1), Mark{2, PartDelivered})
	s.Mark(named(7, 1), Mark{3, PartDelivered})
	if r, err := s.Oldest(); err != nil || r.Seq != 2 {
		t.Errorf("oldest is %d, %v", r.Seq, err)
	}
	wantFigures(t, s, "then", "0 wait in 1: 2 delivered, 0 dead, 0 evicted, 0 expired, 0 corrupt of 2")
}

// TestMarksThatContradict counts no point twice, whatever is said of a part,
// its halves and the whole, in whatever order, live and when opened again.
func TestMarksThatContradict(t *testing.T) {
	const dead, cut = PartDead, PartCut
	for _, c := range []struct {
		marks           []Mark
		ack             bool
		delivered, dead int64
		kept            int
	}{
		{marks: delivers(2, 2), delivered: 5, kept: 1},
		{marks: []Mark{{2, PartDelivered}, {2, dead}}, delivered: 5, kept: 1},
		{marks: []Mark{{4, dead}, {2, PartDelivered}}, delivered: 2, dead: 3, kept: 2},
		{marks: []Mark{{2, PartDelivered}, {4, dead}, {2, cut}}, delivered: 5, kept: 1},
		{marks: []Mark{{4, dead}, {2, dead}, {1, PartDelivered}, {3, dead}}, delivered: 4, dead: 5, kept: 3},
		{marks: []Mark{{1, dead}, {1, cut}}, dead: 9, kept: 1},
		{marks: []Mark{{0, dead}}, dead: 9, kept: 1},
		{marks: []Mark{{5, dead}}, ack: true, delivered: 7, dead: 2, kept: 1},
		{marks: []Mark{{1, cut}, {1, cut}, {2, cut}}, ack: true, delivered: 9, kept: 2},
		{marks: []Mark{{1 << 15, dead}, {1<<15 + 1, dead}}, dead: 1, kept: 1}, // 9 points are not halved 15 times
		{marks: []Mark{{2, 0}, {2, 9}}},
	} {
		dir := t.TempDir()
		s, _ := testSpool(t, dir, Config{})
		r := batchOf(1, 9)
		r.Marks = c.marks
		must(t, s.Append(r))
		must(t, s.Append(batchOf(2, 1)))
		if c.ack {
			s.Ack(r.ID)
		}
		check := func(when string) {
			t.Helper()
			if st := checkBalance(t, s); st.Delivered != c.delivered || st.Dead != c.dead || len(s.segs[0].marks(0)) != c.kept {
				t.Errorf("%v, %s: %d delivered, %d dead, kept %v", c.marks, when, st.Delivered, st.Dead, s.segs[0].parts)
			}
		}
		check("live")
		must(t, s.Close(background))
		s, _ = testSpool(t, dir, Config{})
		check("opened again")
	}
}

// TestOnlyWhatIsLeftIsLost evicts, expires and damages a record that was
// delivered in parts, and sets it aside.
func TestOnlyWhatIsLeftIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, s *Spool)
		want string
	}{
		"evicted": {func(_ *testing.T, s *Spool) {
			s.mu.Lock()
			defer s.unlock()
			s.evict()
		}, "0 wait in 0: 10 delivered, 5 dead, 5 evicted, 0 expired, 0 corrupt of 20"},
		"expired": {func(_ *testing.T, s *Spool) {
			s.cfg.MaxAge = time.Hour
			_, _ = s.Oldest()
		}, "0 wait in 0: 10 delivered, 5 dead, 0 evicted, 5 expired, 0 corrupt of 20"},
		"corrupt": {func(t *testing.T, s *Spool) {
			f, err := s.disk.Create(s.segs[0].name())
			must(t, err)
			_, err = f.WriteAt([]byte{0}, headerBytes+9)
			must(t, errors.Join(err, f.Close()))
			_, _ = s.Oldest()
		}, "0 wait in 0: 10 delivered, 5 dead, 0 evicted, 0 expired, 5 corrupt of 20"},
		"set aside": {func(t *testing.T, s *Spool) {
			must(t, s.SetAside(named(7, 1), "402"))
		}, "0 wait in 0: 10 delivered, 10 dead, 0 evicted, 0 expired, 0 corrupt of 20"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, _ := testSpool(t, dir, Config{})
			r := batchOf(1, 20)
			r.Marks = []Mark{{2, PartDelivered}, {7, PartDead}}
			must(t, s.Append(r))
			must(t, s.Sync(background))
			c.do(t, s)
			wantFigures(t, s, "live", c.want)
			must(t, s.Close(background))
			s, _ = testSpool(t, dir, Config{})
			wantFigures(t, s, "opened again", c.want)
		})
	}
}

// TestSetAsidePartIsIdempotent finds one letter of a part, whole and new,
// whether the process died before the letter, between letter and mark, or after.
func TestSetAsidePartIsIdempotent(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	r := batchOf(1, 11)
	must(t, s.Append(r))
	must(t, s.SetAsidePart(r.ID, Piece{5, []byte("as of the first, and longer")}, "400"))
	must(t, s.Close(background))
	for _, name := range files(t, dir, sidecarSuffix) {
		must(t, os.Remove(name)) // the mark never came
	}
	s, d := testSpool(t, dir, Config{})
	wantFigures(t, s, "without its mark", "11 wait in 1: 0 delivered, 0 dead, 0 evicted, 0 expired, 0 corrupt of 11")
	for _, payload := range []string{"as of now", "too late"} {
		must(t, s.SetAsidePart(r.ID, Piece{5, []byte(payload)}, "422"))
		wantFigures(t, s, payload, "8 wait in 1: 0 delivered, 3 dead, 0 evicted, 0 expired, 0 corrupt of 11")
	}
	name := letterName(r.TimeMS, ID{7, 1, 5})
	letter, reason, err := readLetter(d, deadDir+"/"+name)
	must(t, err)
	if err := sameRecord(letter, Record{ID: ID{7, 1, 5}, Items: 3, TimeMS: r.TimeMS, Payload: []byte("as of now")}); err != nil || reason != "422" {
		t.Errorf("%v, reason %q", err, reason)
	}
	if got := files(t, filepath.Join(dir, deadDir), ""); len(got) != 1 {
		t.Errorf("letters: %v", got)
	}
	must(t, s.SetAsidePart(named(7, 99), Piece{Part: 2}, "not here"))
}

// TestSetAsidePartWaitsForTheDisk keeps a part that has no letter yet.
func TestSetAsidePartWaitsForTheDisk(t *testing.T) {
	s, d := testSpool(t, t.TempDir(), Config{})
	must(t, s.Append(batchOf(1, 8)))
	d.syncErr = syscall.EIO
	if err := s.SetAsidePart(named(7, 1), Piece{2, []byte("x")}, "400"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("on a disk that fails: %v", err)
	}
	wantFigures(t, s, "then", "8 wait in 1: 0 delivered, 0 dead, 0 evicted, 0 expired, 0 corrupt of 8")
	d.syncErr = nil
	s.retry()
	must(t, s.SetAsidePart(named(7, 1), Piece{2, []byte("x")}, "400"))
	wantFigures(t, s, "on a sound one", "4 wait in 1: 0 delivered, 4 dead, 0 evicted, 0 expired, 0 corrupt of 8")
}

// TestReplayOfAPart sends a part's letter again, as a record of its own beside
// the whole, which can be cut, refused and set aside again like any other.
func TestReplayOfAPart(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	whole := batchOf(1, 20)
	must(t, s.Append(whole))
	must(t, s.SetAsidePart(whole.ID, Piece{3, []byte("second half")}, "400"))
	resend := func() {
		t.Helper()
		for _, name := range files(t, filepath.Join(dir, deadDir), letterSuffix) {
			_, err := Replay(dir, []string{deadDir + "/" + filepath.Base(name)})
			must(t, err)
		}
		s.replay()
	}
	resend()
	wantFigures(t, s, "both wait", "20 wait in 2: 0 delivered, 10 dead, 0 evicted, 0 expired, 0 corrupt of 30")
	must(t, s.Close(background))
	s, _ = testSpool(t, dir, Config{})
	part := ID{7, 1, 3}
	if !s.Mark(part, Mark{2, PartDelivered}) {
		t.Error("the part does not wait under its name")
	}
	must(t, s.SetAsidePart(part, Piece{3, []byte("last quarter")}, "400"))
	resend()
	wantFigures(t, s, "a part of the part", "15 wait in 3: 5 delivered, 15 dead, 0 evicted, 0 expired, 0 corrupt of 35")
	for _, id := range []ID{part, {7, 1, 7}, whole.ID} {
		if !s.Ack(id) || s.Ack(id) {
			t.Errorf("%v does not wait once", id)
		}
	}
	wantFigures(t, s, "all acked", "0 wait in 0: 20 delivered, 15 dead, 0 evicted, 0 expired, 0 corrupt of 35")
}

// TestAPartTooDeepHasNoLetter says so instead of giving it another's name.
func TestAPartTooDeepHasNoLetter(t *testing.T) {
	s, _ := testSpool(t, t.TempDir(), Config{})
	r := batchOf(1, 1<<20)
	r.Part = 1 << 10
	must(t, s.Append(r))
	must(t, s.SetAsidePart(r.ID, Piece{1<<5 + 1, nil}, "400"))
	if err := s.SetAsidePart(r.ID, Piece{1 << 6, nil}, "400"); err == nil || errors.Is(err, ErrUnavailable) {
		t.Errorf("16 cuts: %v", err)
	}
	if st := checkBalance(t, s); st.Letters != 1 || st.Dead != 1<<15 {
		t.Errorf("%+v", st)
	}
}
