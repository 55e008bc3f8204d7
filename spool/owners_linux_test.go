package spool_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// TestTwoProcesses gives two processes one directory: the second keeps nothing
// and touches nothing, says so, and takes over when the first is gone, with all
// that it left.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	var cases sync.WaitGroup
	defer cases.Wait()
	for end, leave := range map[string]func(*witness){
		"killed": func(w *witness) { w.kill() },
		"closed": func(w *witness) { w.want(request{Do: "close"}) },
	} {
		cases.Go(func() { t.Run(end, func(t *testing.T) { takeOver(t, leave) }) })
	}
}

func takeOver(t *testing.T, leave func(*witness)) {
	o := outage{fsync: "interval", dir: "spool", want: "another process holds the lock", held: held}
	first := o.start(t)
	for range 20 {
		first.mustAppend()
	}
	first.want(request{Do: "sync"})
	dir := filepath.Join(first.root, o.dir)
	before := contents(t, dir)

	second := &witness{process: startChild(t, nil), root: first.root, waiting: map[uint64]bool{}, acked: map[uint64]bool{}}
	second.seq = 1000
	if a := second.open(o); len(a.Told) != 1 || a.Cause != o.want {
		t.Fatalf("a second process is told %q, the cause is %q", a.Told, a.Cause)
	}
	second.ask(request{Do: "lose", Lost: 7})
	second.refused(o)
	if after := contents(t, dir); !maps.Equal(after, before) {
		t.Errorf("the second process made %v of %v", slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
	}
	if len(second.waiting)+len(second.acked) != 0 {
		t.Errorf("the second process took %v and read %v", second.waiting, second.acked)
	}
	first.mustAppend()

	leave(first)
	second.recovers()
	for range 20 {
		second.mustAppend()
	}
	apart(t, dir)
	second.succeeds(o, first)
}

// succeeds drains what both processes appended, and finds each point counted.
func (w *witness) succeeds(o outage, first *witness) {
	w.t.Helper()
	if told := w.ask(request{Do: "stats"}).Told; len(told) != 2 || told[1] != "" {
		w.t.Errorf("Notify was told %q", told)
	}
	maps.Copy(w.waiting, first.waiting)
	if got := w.drain(); !maps.Equal(got, w.waiting) {
		w.t.Errorf("read %d records, want %d", len(got), len(w.waiting))
	}
	w.want(request{Do: "close"})
	a := w.open(o)
	points := first.points + w.points
	if a.Stats.Appended != points || a.Stats.Delivered != points {
		w.t.Errorf("want %d points appended and delivered: %+v", points, a.Stats)
	}
	if want := (spool.Loss{Reason: "queue_full", Points: 7}); !slices.Contains(a.Losses, want) {
		w.t.Errorf("losses are %v, want %v among them", a.Losses, want)
	}
}

// contents returns what each file in dir holds.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		all[e.Name()] = string(b)
	}
	return all
}

// apart finds no segment that both processes wrote to.
func apart(t testing.TB, dir string) {
	t.Helper()
	segments, err := spool.ReadSegments(dir)
	must(t, err)
	for _, seqs := range segments {
		if len(seqs) > 0 && slices.Min(seqs) <= 1000 && slices.Max(seqs) > 1000 {
			t.Errorf("both processes wrote to one segment: %v", seqs)
		}
	}
	if len(segments) < 4 {
		t.Errorf("%d segments, want two of each process at least", len(segments))
	}
}
