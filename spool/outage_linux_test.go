package spool_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

const (
	// Thirteen of these fill a segment, so that one soon has to be made.
	outageSize = 20_000
	// held outlasts the first probe, so that one fails; brief does not.
	held  = 6 * time.Second
	brief = 2 * time.Second
	// back is how soon the spool must work after its disk does.
	back = time.Minute
	// poll is how often a test looks.
	poll = 100 * time.Millisecond
)

// outage is one thing that real kernels do to a real directory.
type outage struct {
	name, fsync string
	// dir is what the spool is given, in a directory of the test's own.
	dir string
	// private runs the spool in a mount namespace of its own, whose mounts go
	// with it, however the test ends.
	private bool
	// uid is who the spool runs as if the test runs as root, who may do all.
	uid int
	// setup runs first; a machine where it does not work skips the case.
	setup string
	// begin breaks the disk and end fixes it.
	begin, end func(*witness)
	// want is in the error of a record that is refused; if empty, no record
	// has to be.
	want string
	// held is how long the outage lasts from the first such error.
	held time.Duration
	// drains says that records are delivered meanwhile. Elsewhere that would
	// end a lack of space.
	drains bool
	// takes says that records which the disk had go with it. They are counted.
	takes bool
	// again says that records may come back although they were not asked for:
	// a disk that is replaced cannot forget them.
	again bool
}

// witness remembers what its child was told of each record.
type witness struct {
	*process
	root    string // the test's own directory
	seq     uint64
	waiting map[uint64]bool
	acked   map[uint64]bool
	points  int64  // appended
	lift    func() // ends what inject began
}

// run has a spool live through the outage, and counts what it kept.
func (o outage) run(t *testing.T) {
	w := o.start(t)
	for range 15 {
		w.mustAppend()
	}
	w.want(request{Do: "sync"})
	for range 5 {
		w.mustAppend()
	}
	o.begin(w)
	if o.want != "" {
		w.refused(o)
	}
	o.end(w)
	start := time.Now()
	w.recovers()
	t.Logf("spools again after %v", time.Since(start).Round(poll))
	for range 15 {
		w.recovers() // a directory that is gone is not missed at once
		w.next()
	}
	o.reopened(w)
}

func (o outage) start(t *testing.T) *witness {
	t.Helper()
	var attr *syscall.SysProcAttr
	if o.private {
		attr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	w := &witness{process: startChild(t, attr), root: t.TempDir(), waiting: map[uint64]bool{}, acked: map[uint64]bool{}}
	if a := w.ask(request{Do: "sh", Script: "cd " + w.root + "\n" + o.setup}); a.Err != "" {
		t.Skipf("set-up: %s: %s", a.Err, a.Output)
	}
	if o.uid != 0 && os.Getuid() == 0 {
		must(t, os.Chmod(filepath.Dir(w.root), 0o711))
		must(t, os.Chown(w.root, o.uid, o.uid))
		w.want(request{Do: "setuid", UID: o.uid})
	}
	w.open(o)
	return w
}

func (w *witness) open(o outage) answer {
	w.t.Helper()
	return w.want(request{Do: "open", Dir: filepath.Join(w.root, o.dir), MaxBytes: 16 << 20, Fsync: o.fsync})
}

func (w *witness) append() answer {
	w.t.Helper()
	w.seq++
	a := w.ask(request{Do: "append", Seq: w.seq, Size: outageSize})
	if a.Err == "" {
		w.waiting[w.seq] = true
		w.points += record(0, 0).Items
	}
	return a
}

func (w *witness) mustAppend() {
	w.t.Helper()
	if a := w.append(); a.Err != "" {
		w.t.Fatalf("append: %s", a.Err)
	}
}

// next reads and acks the oldest record; a disk that cannot be read may say so.
func (w *witness) next() {
	w.t.Helper()
	a := w.ask(request{Do: "next"})
	if a.Err != "" && !a.refused("") {
		w.t.Fatal(a.Err)
	}
	for _, seq := range a.Seqs {
		delete(w.waiting, seq)
		w.acked[seq] = true
	}
}

// refused appends until a record is refused for the outage's reason, and for as
// long as the outage is held then: none may be taken.
func (w *witness) refused(o outage) {
	w.t.Helper()
	w.next()
	w.next()
	var since time.Time
	for start := time.Now(); since.IsZero() || time.Since(since) < o.held; time.Sleep(poll) {
		if o.drains {
			w.next()
		}
		a := w.append()
		switch {
		case a.Err != "" && !a.refused(""):
			w.t.Fatalf("append: %s", a.Err)
		case a.Err == "" && !since.IsZero():
			w.t.Fatalf("a record was taken %v after the first was refused", time.Since(since))
		case a.refused(o.want) && since.IsZero():
			since = time.Now()
		case since.IsZero() && time.Since(start) > back:
			w.t.Fatalf("no record was refused because of %q in %v; the last answer was %q", o.want, back, a.Err)
		}
	}
	if told := w.ask(request{Do: "stats"}).Told; len(told) == 0 || told[len(told)-1] == "" {
		w.t.Fatalf("Notify was told %q", told)
	}
}

// recovers appends until the spool takes a record.
func (w *witness) recovers() {
	w.t.Helper()
	start := time.Now()
	for a := w.append(); a.Err != ""; a = w.append() {
		if !a.refused("") || time.Since(start) > back {
			w.t.Fatalf("%v after the disk works, append: %s", time.Since(start), a.Err)
		}
		time.Sleep(poll)
	}
}

// reopened closes the spool, opens it again and drains it: all that was taken
// is there, or is counted where the disk itself is gone.
func (o outage) reopened(w *witness) {
	w.t.Helper()
	a := w.want(request{Do: "close"})
	if told := a.Told; len(told)%2 != 0 {
		w.t.Errorf("Notify was told %q, want it to end with usable", told)
	}
	w.open(o)
	got := w.drain()
	st := w.ask(request{Do: "stats"}).Stats
	if st.Evicted+st.Expired != 0 || st.Corrupt != 0 && !o.takes || st.Points != 0 {
		w.t.Errorf("after the outage: %+v", st)
	}
	var lost int64
	for _, seq := range slices.Sorted(maps.Keys(w.waiting)) {
		if !got[seq] {
			lost += record(0, 0).Items
		}
	}
	if lost > st.Corrupt {
		w.t.Errorf("%d points that were taken are lost, %d are counted", lost, st.Corrupt)
	}
	for seq := range got {
		if !w.waiting[seq] && !w.acked[seq] {
			w.t.Errorf("record %d was refused and came back", seq)
		}
	}
	if st.Appended != w.points && !o.again {
		w.t.Errorf("%d points counted as appended, want %d", st.Appended, w.points)
	}
	w.want(request{Do: "close"})
}

// drain reads and acks everything.
func (p *process) drain() map[uint64]bool {
	p.t.Helper()
	got := map[uint64]bool{}
	for {
		a := p.want(request{Do: "next"})
		if len(a.Seqs) == 0 {
			return got
		}
		for _, seq := range a.Seqs {
			got[seq] = true
		}
	}
}
