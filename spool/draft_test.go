package spool

import (
	"context"
	"errors"
	"os"
	"testing"
)

// tick makes record n of a draft that begins with seq first.
func tickOf(first uint64, n int) Record { return rec(first+uint64(n), 100) }

func draftAll(t testing.TB, s *Spool, first uint64, n int) {
	t.Helper()
	for i := range n {
		must(t, s.Draft(tickOf(first, i), i))
	}
}

// A later process finds a draft as records that wait, behind those before it;
// reading commands do so too. This one neither returns nor counts it.
func TestADraftOutlivesAKill(t *testing.T) {
	for _, mode := range []Fsync{FsyncInterval, FsyncAlways, FsyncNever} {
		dir := t.TempDir()
		s, _ := testSpool(t, dir, Config{Fsync: mode})
		appendAll(t, s, 1, 3, 100)
		draftAll(t, s, 4, 5)
		if st := checkBalance(t, s); st.Records != 3 || st.Appended != points(upTo(3)) {
			t.Errorf("%s: the draft counts: %+v", mode, st)
		}
		if _, err := s.Oldest(int64(1e12)+4, nil); !errors.Is(err, ErrEmpty) {
			t.Errorf("%s: Oldest returns the draft: %v", mode, err)
		}
		kill(s)
		sum, err := Inspect(t.Context(), Query{Dir: dir, Segments: true}, func(Finding) error { return nil })
		if err != nil || sum.Records != 8 || sum.Points != points(upTo(8)) {
			t.Errorf("%s: Inspect finds %+v, %v", mode, sum, err)
		}
		next, _ := testSpool(t, dir, Config{Fsync: mode})
		if st := checkBalance(t, next); st.Records != 8 || st.Appended != points(upTo(8)) || st.Corrupt != 0 {
			t.Errorf("%s: after a kill there is %+v", mode, st)
		}
		if got := drain(t, next, 100); len(got) != 8 {
			t.Errorf("%s: records %v wait", mode, got)
		}
	}
}

// A draft is void once its larger record is there, in whatever order a kill cuts
// the two apart, and whatever became of the record.
func TestADraftEndsWithItsRecord(t *testing.T) {
	whole := rec(4, 300)
	for name, end := range map[string]func(s *Spool) (records int64){
		"appended":               func(s *Spool) int64 { must(t, s.Append(whole)); return 1 },
		"appended and discarded": func(s *Spool) int64 { must(t, s.Append(whole)); must(t, s.Discard()); return 1 },
		"appended and delivered": func(s *Spool) int64 { must(t, s.Append(whole)); s.Ack(whole.ID, 0); return 0 },
		"in two records":         func(s *Spool) int64 { must(t, s.Append(rec(5, 100))); return 1 },
		"discarded":              func(s *Spool) int64 { must(t, s.Discard()); return 0 },
		"of another process": func(s *Spool) int64 {
			other := whole
			other.Epoch++
			must(t, s.Append(other))
			return 3 + 1
		},
		"of an earlier batch": func(s *Spool) int64 { must(t, s.Append(rec(3, 100))); return 3 + 1 },
	} {
		dir := t.TempDir()
		s, _ := testSpool(t, dir, Config{})
		draftAll(t, s, 4, 3)
		want := end(s)
		kill(s)
		sum, err := Inspect(t.Context(), Query{Dir: dir, Segments: true}, func(Finding) error { return nil })
		must(t, err)
		next, _ := testSpool(t, dir, Config{})
		if st := checkBalance(t, next); st.Records != want || st.Corrupt != 0 || sum.Records != want {
			t.Errorf("%s: %d were seen beforehand", name, sum.Records)
			t.Errorf("%s: %d records wait, want %d: %+v", name, st.Records, want, st)
		}
		must(t, next.settle())
		if n := len(files(t, dir, segmentSuffix)); int64(n) > want {
			t.Errorf("%s: %d segments are left", name, n)
		}
	}
}

// A record that does not follow on the draft begins none: the owner has to begin
// anew, also where the spool had to give the draft up by itself.
func TestADraftThatIsLost(t *testing.T) {
	for name, lose := range map[string]func(dir string, s *Spool, d *faultFS){
		"a gap":     func(string, *Spool, *faultFS) { _ = 0 },
		"discarded": func(_ string, s *Spool, _ *faultFS) { must(t, s.Discard()) },
		"a failed fsync": func(_ string, s *Spool, d *faultFS) {
			d.set(func() { d.syncErr = errors.New("EIO") })
			if s.settle() == nil {
				t.Error("the fsync was believed")
			}
			d.set(func() { d.syncErr = nil })
			s.retry()
		},
		"removed": func(dir string, s *Spool, _ *faultFS) {
			for _, path := range files(t, dir, segmentSuffix) {
				must(t, os.Remove(path))
			}
			_ = s.settle()
			s.retry()
		},
	} {
		dir := t.TempDir()
		s, d := testSpool(t, dir, Config{})
		draftAll(t, s, 4, 2)
		lose(dir, s, d)
		n := 2
		if name == "a gap" {
			n = 3
		}
		if err := s.Draft(tickOf(4, n), n); !errors.Is(err, ErrDraftLost) {
			t.Errorf("%s: Draft = %v, want ErrDraftLost", name, err)
		}
		draftAll(t, s, 4, 3)
		kill(s)
		next, _ := testSpool(t, dir, Config{})
		if st := checkBalance(t, next); st.Records != 3 {
			t.Errorf("%s: %d records wait, want 3: %+v", name, st.Records, st)
		}
	}
}

// A draft takes no room from what is appended: the oldest segment goes for it, and
// it goes itself where there is no other.
func TestADraftInAFullSpool(t *testing.T) {
	s, _ := testSpool(t, t.TempDir(), Config{MaxBytes: 8 << 10})
	for i := range 200 {
		if err := s.Draft(tickOf(9, i), i); errors.Is(err, ErrDraftLost) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if i == 199 {
			t.Fatal("the draft has no bound")
		}
	}
	draftAll(t, s, 9, 20)
	must(t, s.Append(rec(1, 4000)))
	must(t, s.Append(rec(2, 2000)))
	if st := checkBalance(t, s); st.Points == 0 || st.DiskBytes > 8<<10 {
		t.Errorf("%+v", st)
	}
}

// A spool that is closed leaves a draft that was not discarded to the next one, and
// a torn record costs itself.
func TestADraftThatIsTorn(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	draftAll(t, s, 4, 3)
	must(t, s.Close(context.Background()))
	path := files(t, dir, segmentSuffix)[0]
	info, err := os.Stat(path)
	must(t, err)
	must(t, os.Truncate(path, info.Size()-10))
	next, _ := testSpool(t, dir, Config{})
	if st := checkBalance(t, next); st.Records != 2 || st.Corrupt != tickOf(4, 2).Items {
		t.Errorf("%+v", st)
	}
}

// A kill in the write of the larger record costs nothing that the draft has, and
// counts nothing as lost, also after another start.
func TestADraftStandsForATornRecord(t *testing.T) {
	for cut := int64(1); cut < 300; cut += 37 {
		dir := t.TempDir()
		s, _ := testSpool(t, dir, Config{})
		appendAll(t, s, 1, 2, 100)
		draftAll(t, s, 4, 3)
		must(t, s.Append(rec(4, 300)))
		kill(s)
		for _, path := range files(t, dir, segmentSuffix) {
			if info, err := os.Stat(path); err == nil && info.Size() > 600 {
				must(t, os.Truncate(path, info.Size()-cut))
			}
		}
		for range 2 {
			next, _ := testSpool(t, dir, Config{})
			if st := checkBalance(t, next); st.Records != 5 || st.Corrupt != 0 {
				t.Errorf("cut by %d: %+v", cut, st)
			}
			kill(next)
		}
	}
}
