package spool

import (
	"slices"
	"syscall"
	"testing"
)

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
		{0, nil, 1},
		{since, nil, 3},
		{since, []ID{named(7, 3), named(7, 5)}, 4},
		{0, []ID{named(7, 1), named(7, 2)}, 3},
		{since + 2, []ID{named(7, 5)}, 0},
		{since + 9, nil, 0},
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
