package spool

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestMissingSegments counts what was in segments that are gone, or of which
// nothing can be read, once, and has the inspector say the same.
func TestMissingSegments(t *testing.T) {
	const size = 500
	remove := func(names ...string) func(t *testing.T) {
		return func(t *testing.T) {
			for _, name := range names {
				must(t, os.Remove(name))
			}
		}
	}
	rewrite := func(name string, change func(b []byte) []byte) func(t *testing.T) {
		return func(t *testing.T) {
			b, err := os.ReadFile(name)
			must(t, err)
			must(t, os.WriteFile(name, change(b), fileMode))
		}
	}
	for _, c := range []struct {
		name   string
		harm   func(segments []string) func(t *testing.T)
		lost   []uint64
		ledger bool // survives
	}{
		{"removed", func(s []string) func(*testing.T) { return remove(s[2]) }, []uint64{5, 6}, true},
		{"two removed", func(s []string) func(*testing.T) { return remove(s[0], s[2]) }, []uint64{1, 2, 5, 6}, true},
		{"zeroed", func(s []string) func(*testing.T) {
			return rewrite(s[1], func(b []byte) []byte { clear(b); return b })
		}, []uint64{3, 4}, true},
		{"emptied", func(s []string) func(*testing.T) {
			return rewrite(s[1], func([]byte) []byte { return nil })
		}, []uint64{3, 4}, true},
		{"cut in a header", func(s []string) func(*testing.T) {
			return rewrite(s[1], func(b []byte) []byte { return b[:headerBytes+size+20] })
		}, []uint64{4}, true},
		{"all removed", func(s []string) func(*testing.T) { return remove(s...) }, upTo(10), true},
		{"removed with the ledger", func(s []string) func(*testing.T) { return remove(s[2]) }, []uint64{5, 6}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s, _ := testSpool(t, dir, Config{})
			s.segmentBytes = 2*(headerBytes+size) + headerBytes
			appendAll(t, s, 1, 10, size)
			s.Lose("queue_full", 1) // so that the ledger is written
			must(t, s.Close(background))
			c.harm(files(t, dir, segmentSuffix))(t)
			if !c.ledger {
				must(t, os.Remove(filepath.Join(dir, ledgerName)))
			}
			want := points(c.lost)
			for range 3 {
				sum, err := Inspect(background, Query{Dir: dir, Segments: true, Payloads: true}, func(Finding) error { return nil })
				must(t, err)
				s, _ = testSpool(t, dir, Config{})
				st := checkBalance(t, s)
				if st.Corrupt != want || st.Appended != points(upTo(10)) {
					t.Errorf("%d of %d points are corrupt, want %d of %d", st.Corrupt, st.Appended, want, points(upTo(10)))
				}
				if sum.Corrupt != st.Corrupt || sum.Appended != st.Appended {
					t.Errorf("the inspector finds %d of %d corrupt", sum.Corrupt, sum.Appended)
				}
				must(t, s.Close(background))
			}
			s, _ = testSpool(t, dir, Config{})
			got := drain(t, s, size)
			left := slices.DeleteFunc(upTo(10), func(seq uint64) bool { return slices.Contains(c.lost, seq) })
			if !slices.Equal(got, left) {
				t.Errorf("read %v, want %v", got, left)
			}
			checkBalance(t, s)
		})
	}
}

// TestDrainedOutOfOrder has newer segments go before older ones: nothing is
// missing.
func TestDrainedOutOfOrder(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	s.segmentBytes = 2*(headerBytes+500) + headerBytes
	appendAll(t, s, 1, 10, 500)
	for _, seq := range []uint64{9, 10, 5, 6, 7} {
		s.Ack(named(7, seq), 0)
	}
	must(t, s.Close(background))
	for range 2 {
		s, _ = testSpool(t, dir, Config{})
		if st := checkBalance(t, s); st.Corrupt != 0 || st.Appended != points(upTo(10)) {
			t.Errorf("%+v", st)
		}
		must(t, s.Close(background))
	}
	must(t, os.Remove(files(t, dir, segmentSuffix)[0]))
	s, _ = testSpool(t, dir, Config{})
	if st := checkBalance(t, s); st.Corrupt != points([]uint64{1, 2}) {
		t.Errorf("%+v", st)
	}
}

// TestHostileBase has no name of a segment make a ledger that is not valid.
func TestHostileBase(t *testing.T) {
	for _, base := range []uint64{maxCount / 2, maxCount/2 + 1, maxCount - 1, maxCount, maxCount + 1, 1 << 63, 1<<64 - 1} {
		for _, kept := range []bool{true, false} {
			dir := t.TempDir()
			s, _ := testSpool(t, dir, Config{})
			appendAll(t, s, 1, 3, 100)
			must(t, s.Close(background))
			if !kept {
				must(t, os.Remove(filepath.Join(dir, ledgerName)))
			}
			must(t, os.WriteFile(filepath.Join(dir, segmentID{0, base, 9}.name()), []byte("hostile"), fileMode))
			for i := range 3 {
				s, d := testSpool(t, dir, Config{})
				s.Lose("queue_full", 1)
				must(t, s.Append(rec(4, 100)))
				checkBalance(t, s)
				must(t, s.Close(background))
				if l, err := readLedger(d); err != nil || l.losses["queue_full"] != int64(i)+1 {
					t.Errorf("base %x, ledger kept %t: %+v, %v", base, kept, l, err)
				}
			}
		}
	}
}
