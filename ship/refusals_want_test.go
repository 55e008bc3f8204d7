package ship_test

import (
	"fmt"
	"math"
	"os"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// tableProbation is how long points of a condemned series wait.
const tableProbation = 10 * time.Minute

// tableTrace prints requests for a person who looks for a cause.
func tableTrace(_ *tableWorld, id string, b *tableBody, o ship.Outcome) {
	if os.Getenv("HEKA_TABLE_TRACE") != "" {
		last := b.points[len(b.points)-1]
		fmt.Printf("%6d %10.2f seq %s %4d points, %d..%d at %d..%d: %v %d\n", b.number+1, b.at.Seconds(), id[24:], len(b.points),
			b.points[0].series, last.series, b.points[0].ms/1000, last.ms/1000, o.Verdict, o.Status)
	}
}

// wantAccounts fails unless each point is delivered, dead, pending or lost, and
// counted so, and the letters hold what is dead.
func (w *tableWorld) wantAccounts() {
	w.t.Helper()
	pending, dead := w.disk.pending(w.t), w.disk.set(w.t)
	var missing, twice int64
	for _, tick := range w.ticks {
		for _, p := range tick {
			_, delivered := w.got[p]
			switch {
			case dead[p] && (delivered || pending[p]):
				twice++
			case !delivered && !dead[p] && !pending[p] && !w.gone[p]:
				missing++
			}
		}
	}
	var lost int64
	for _, n := range w.lost {
		lost += n
	}
	if missing != lost || twice != 0 {
		w.t.Errorf("%d points are in no account where %v were counted as lost, %d are dead and something else", missing, w.lost, twice)
	}
	if w.disk.dead != int64(len(dead)) {
		w.t.Errorf("%d points counted as dead, %d in letters", w.disk.dead, len(dead))
	}
	for p, ids := range w.doubled {
		w.t.Errorf("%d points accepted under two ids, such as %v under %s", len(w.doubled), p, ids)
		break
	}
}

// wantGood fails unless all good points are delivered, and none is dead or lost.
func (w *tableWorld) wantGood(bad tableBad) {
	w.t.Helper()
	w.wantAccounts()
	dead, pending := w.disk.set(w.t), w.disk.pending(w.t)
	flushed := w.ended - 2*w.shape.batch // what the shutdown may leave in the spool
	var deadGood, absent, badOnes int64
	var example tablePoint
	for _, tick := range w.ticks {
		for _, p := range tick {
			if bad(p) {
				badOnes++
				continue
			}
			if dead[p] {
				deadGood++
			}
			if _, ok := w.got[p]; !ok && !w.gone[p] && (!pending[p] || p.at() <= flushed) {
				absent++
				example = p
			}
		}
	}
	if deadGood > 0 || absent > 0 {
		w.t.Errorf("%d good points not delivered, such as %v; %d of them dead", absent, example, deadGood)
	}
	// Without a disk the shutdown also loses what the last search had not judged.
	lost := w.lost[ship.LostRejected] + w.lost[ship.LostShutdown]
	if lost > badOnes || w.lost[ship.LostQueueFull] > 0 {
		w.t.Errorf("lost %v, want none but up to %d bad ones", w.lost, badOnes)
	}
}

// wantBadGone fails if a bad point waits whose series was condemned by since, for
// longer than a probation.
func (w *tableWorld) wantBadGone(bad tableBad, since time.Duration) {
	w.t.Helper()
	flushed := w.ended - 2*w.shape.batch
	n := 0
	for p := range w.disk.pending(w.t) {
		if bad(p) && p.at() <= flushed {
			n++
		}
	}
	if n > 0 && w.ended > since+tableProbation {
		w.t.Errorf("%d bad points still pending at %v", n, w.ended)
	}
}

// wantFresh fails unless each good point of a tick between two times was
// delivered within an interval of its batch's cut.
func (w *tableWorld) wantFresh(bad tableBad, from, to time.Duration) {
	w.t.Helper()
	late, last := 0, time.Duration(0)
	bound := 2*w.shape.batch - w.shape.every + time.Second
	for _, tick := range w.ticks {
		for _, p := range tick {
			if bad(p) || p.at() <= from || p.at() > to {
				continue
			}
			if r, ok := w.got[p]; !ok && !w.gone[p] || r.at-p.at() > bound {
				late++
				last = p.at()
			}
		}
	}
	if late > 0 {
		w.t.Errorf("%d good points from %v (first refusal at %v) up to %v late, last %.1f iv after the refusal", late, from, w.refusal, last,
			float64(last-w.refusal)/float64(w.shape.batch))
	}
}

// searchRequests is how many requests carried the batch that was refused first,
// after that refusal.
func (w *tableWorld) searchRequests() (n int) {
	for _, r := range w.requests {
		if r.batch == w.first {
			n++
		}
	}
	return n - 1
}

// tableSearch is what a first search of k bad among n series may take.
func tableSearch(k, n int) int {
	return int(2*float64(k)*math.Log2(float64(n)/float64(k))) + 3*k + 24
}

func (w *tableWorld) wantSearch(most int) {
	w.t.Helper()
	if n := w.searchRequests(); n > most {
		w.t.Errorf("first search took %d requests, want at most %d", n, most)
	}
}

// between counts the requests between two times.
func (w *tableWorld) between(from, to time.Duration) (n int) {
	for _, r := range w.requests {
		if r.at > from && r.at <= to {
			n++
		}
	}
	return n
}

// wantQuiet fails if there are more requests between two times than so many a
// batch, and so many an hour beside them.
func (w *tableWorld) wantQuiet(from, to time.Duration, aBatch, anHour float64) {
	w.t.Helper()
	batches := float64(to-from) / float64(w.shape.batch)
	most := int(batches*aBatch+math.Ceil(anHour*(to-from).Hours())) + 8
	if n := w.between(from, to); n > most {
		w.t.Errorf("%d requests from %v to %v, want at most %d", n, from, to, most)
	}
}
