package spool

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"slices"
	"testing"
)

// What opening and draining may cost: bytes read once and a little, and no
// more than twice the files allocated; besides that what any spool takes.
const (
	freeReads  = 8 << 10
	freeAllocs = 64 << 10
)

// checkImage opens and drains an image, and compares with the second reader
// everything that the spool says of it.
func checkImage(t *testing.T, x contents) {
	led, err := readLedger(x.disk())
	must(t, err)
	var want refSegment
	if !slices.Contains(led.retired, imageID) {
		want = readRefSegment(x.segment, x.sidecar, imageID.salt)
	}
	disk := x.disk()
	disk.deaf = true
	s := cost(t, "open", x, disk, func() *Spool { return openImage(disk) })
	first := checkStats(t, s, led, want.stats())

	records, waiting, damaged := want.deliverable()
	cost(t, "drain", x, disk, func() *Spool { drainImage(t, s, records); return s })
	st := want.stats()
	st.Delivered += waiting
	st.Corrupt += damaged
	st.Records, st.Points, st.Bytes = 0, 0, 0
	checkStats(t, s, led, st)

	checkNextLife(t, x, led, first, records)
}

func openImage(disk *ramFS) *Spool {
	return open(Config{MaxBytes: 64 << 20, Fsync: FsyncNever}, disk)
}

// cost bounds what f reads and allocates.
func cost(t *testing.T, what string, x contents, disk *ramFS, f func() *Spool) *Spool {
	t.Helper()
	var before, after runtime.MemStats
	disk.read = 0
	runtime.ReadMemStats(&before)
	s := f()
	runtime.ReadMemStats(&after)
	// A note is copied, and has an entry in an index.
	if most := 2*x.size() + 4*int64(len(x.sidecar)) + freeAllocs; int64(after.TotalAlloc-before.TotalAlloc) > most {
		t.Fatalf("%s allocates %d bytes for files of %d, want at most %d", what, after.TotalAlloc-before.TotalAlloc, x.size(), most)
	}
	if most := x.size()*3/2 + freeReads; disk.read > most {
		t.Fatalf("%s reads %d bytes of files of %d, want at most %d", what, disk.read, x.size(), most)
	}
	return s
}

// checkStats compares what the spool says with the ledger and the second
// reader's figures.
func checkStats(t *testing.T, s *Spool, led ledger, want Stats) Stats {
	t.Helper()
	got := s.Stats()
	if got.Cause != nil {
		t.Fatal(got.Cause)
	}
	want.Appended += led.totals.appended + led.direct
	want.Delivered += led.totals.delivered
	want.Evicted += led.totals.evicted
	want.Expired += led.totals.expired
	want.Corrupt += led.totals.corrupt
	want.Dead += led.totals.dead + led.direct
	want.LettersLost = led.lettersLost
	want.DiskBytes, want.OldestMS, want.Fsyncs = got.DiskBytes, got.OldestMS, got.Fsyncs
	if got != want {
		t.Fatalf("stats are\n%+v, want\n%+v", got, want)
	}
	for _, n := range []int64{got.Records, got.Points, got.Bytes, got.DiskBytes, got.Appended, got.Delivered, got.Evicted, got.Expired, got.Corrupt} {
		if n < 0 || n > math.MaxInt64/2 {
			t.Fatalf("a count has wrapped: %+v", got)
		}
	}
	if balance(Stats{
		Appended: led.totals.appended, Delivered: led.totals.delivered, Evicted: led.totals.evicted,
		Expired: led.totals.expired, Corrupt: led.totals.corrupt,
	}) == nil {
		must(t, balance(got))
	}
	return got
}

// drainImage acks everything; it must be just these records.
func drainImage(t *testing.T, s *Spool, want []Record) {
	t.Helper()
	for i := 0; ; i++ {
		r, err := s.Oldest(0, nil)
		switch {
		case errors.Is(err, ErrEmpty) && i == len(want):
			return
		case err != nil:
			t.Fatalf("after %d of %d records: %v", i, len(want), err)
		case i == len(want):
			t.Fatalf("record %d/%d is one too many", r.Epoch, r.Seq)
		}
		must(t, sameRecord(r, want[i]))
		if !bytes.Equal(r.Note, want[i].Note) {
			t.Fatalf("record %d/%d has note %x, want %x", r.Epoch, r.Seq, r.Note, want[i].Note)
		}
		if !s.Ack(r.ID, 0) {
			t.Fatalf("record %d/%d cannot be acked", r.Epoch, r.Seq)
		}
	}
}

// checkNextLife opens the image again: it says the same, takes a record, and
// after a stop and a start all that is left is there.
func checkNextLife(t *testing.T, x contents, led ledger, first Stats, records []Record) {
	t.Helper()
	disk := x.disk()
	s := openImage(disk)
	if again := s.Stats(); again != first {
		t.Fatalf("opened again, stats are\n%+v, not\n%+v", again, first)
	}
	more := rec(1<<40, 50)
	must(t, s.Append(more))
	records = append(records, more)
	if len(records) > 1 {
		if r, err := s.Oldest(0, nil); err != nil || sameRecord(r, records[0]) != nil || !s.Ack(r.ID, 0) {
			t.Fatalf("record %d/%d cannot be had twice (%v)", records[0].Epoch, records[0].Seq, err)
		}
		records = records[1:]
	}
	must(t, s.Close(background))
	s = openImage(disk)
	drainImage(t, s, records)
	st := s.Stats()
	if want := first.Appended + more.Items; st.Appended != want || st.Records != 0 || st.Foreign != first.Foreign {
		t.Fatalf("after a stop and a start: %+v, want %d appended", st, want)
	}
	for _, l := range s.Losses() {
		if l.Points < 0 || l.Points < led.losses[l.Reason] {
			t.Fatalf("loss %q is %d, and was %d", l.Reason, l.Points, led.losses[l.Reason])
		}
	}
	must(t, s.Close(background))
}
