package ship

import (
	"slices"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// portion is a set of a batch's points that is sent as one body, or as the
// parts of the fixed tree within it. Portions of a batch do not overlap.
type portion struct {
	points points
	// parts: parts of it were sent, so the whole of it never is again.
	parts bool
	// noted: it is from a note, and so may have been sent by another process.
	noted bool
	// purpose is why it is sent.
	purpose purpose
}

// delivery is how far a batch has come that is not delivered as one body. The
// spool knows nothing of it but the note, which is the portions: with them a
// later process sends the same points under the same ids.
type delivery struct {
	id ID
	n  int // points of the batch
	// grid is nil while nothing of the batch can be sent.
	grid     *grid
	portions []portion
	// open: the last portion is not answered; todo is what to send of it, the
	// next one last.
	open bool
	todo []part
	// noted portions are from a note, and still to be sent again.
	noted []portion

	left points // neither delivered nor refused for good
	dead points // refused for good
	// bad are points in left that a search condemned, at badSince. They are not
	// sent, and given up after their probation.
	bad      points
	badSince time.Time
	// rest are the series that have other points in left.
	rest []seriesHash
	// proven are the ticks of which some point was accepted.
	proven map[int]bool
	reason string // of the last refusal
}

// newDelivery returns the delivery of a batch of which nothing was sent, but
// for what its note says.
func newDelivery(e *Entry, b *metric.Batch) *delivery {
	d := &delivery{id: e.ID, proven: make(map[int]bool)}
	d.load(b)
	d.n = d.grid.size()
	d.left, d.dead, d.bad = d.grid.whole(), newPoints(d.n), newPoints(d.n)
	d.noted = readNote(e.Note, d.n)
	d.count()
	return d
}

// load makes the batch's points known again.
func (d *delivery) load(b *metric.Batch) { d.grid = newGrid(b) }

// unload forgets them while they are of no use.
func (d *delivery) unload() { d.grid = nil }

// count finds out which series have points left.
func (d *delivery) count() {
	d.rest = d.rest[:0]
	for _, i := range d.grid.seriesOf(d.left.clone().without(d.bad)) {
		d.rest = append(d.rest, d.grid.hashes[i])
	}
}

// begin opens a portion.
func (d *delivery) begin(p portion) {
	d.portions, d.open = append(d.portions, p), true
	d.todo = []part{d.grid.root()}
	if p.parts {
		d.split()
	}
}

// split replaces the next part by its halves. It reports false for a single point.
func (d *delivery) split() bool {
	n := len(d.todo)
	halves := d.todo[n-1].halves()
	if halves == nil {
		return false
	}
	d.todo = append(d.todo[:n-1], halves[1], halves[0])
	d.portions[len(d.portions)-1].parts = true
	return true
}

// next returns the points to send next of the open portion; none ends it.
func (d *delivery) next() points {
	for len(d.todo) > 0 {
		if p := d.in(d.todo[len(d.todo)-1]); !p.empty() {
			return p
		}
		d.todo = d.todo[:len(d.todo)-1]
	}
	d.open = false
	return nil
}

// in returns the points of a part that are in the open portion, and to be sent.
func (d *delivery) in(p part) points {
	return d.grid.in(p).and(d.left).and(d.portions[len(d.portions)-1].points).without(d.bad)
}

// close ends the open portion. One that was refused as a whole was not sent, as
// far as ids go.
func (d *delivery) close() {
	if last := len(d.portions) - 1; d.open && !d.portions[last].parts {
		d.portions = d.portions[:last]
	}
	d.open, d.todo = false, nil
}

// goAround takes a refusal for that of condemned series in what is next, which
// is sent without them. A tree that was begun goes on: other parts of it may have
// been accepted.
func (d *delivery) goAround(condemned func(x seriesHash) bool) {
	if !d.open || !d.portions[len(d.portions)-1].parts {
		d.close()
		return
	}
	series := d.grid.seriesOf(d.next())
	if !slices.ContainsFunc(series, func(i int) bool { return !condemned(d.grid.hashes[i]) }) {
		d.todo = d.todo[:len(d.todo)-1]
		return
	}
	d.split()
}

// fix makes a portion of its own of some points of the open one, which were sent:
// how the rest is cut may be another matter by the next time.
func (d *delivery) fix(p points) {
	last := len(d.portions) - 1
	if !d.open || p == nil || p.covers(d.portions[last].points) {
		return
	}
	rest := d.portions[last]
	rest.points = rest.points.clone().without(p)
	d.portions = append(d.portions[:last], portion{points: p}, rest)
}

// postpone ends the open portion too, but goes on with it later if some of it may
// be stored.
func (d *delivery) postpone() {
	if last := len(d.portions) - 1; d.open && !d.isFresh() {
		d.noted = append([]portion{d.portions[last]}, d.noted...)
		d.portions = d.portions[:last]
		d.open, d.todo = false, nil
		return
	}
	d.close()
}

// isFresh reports whether the open portion was sent by this process alone, and as
// a whole: refused, or not arrived, nothing of it can be stored.
func (d *delivery) isFresh() bool {
	last := d.portions[len(d.portions)-1]
	return !last.parts && !last.noted
}

// delivered takes out points that the backend has.
func (d *delivery) delivered(p points) {
	d.left.without(p)
	d.bad.without(p)
	for _, tick := range d.grid.ticksOf(p) {
		d.proven[tick] = true
	}
	d.count()
}

// refused takes out points that are refused for good.
func (d *delivery) refused(p points) {
	d.dead.with(p.and(d.left))
	d.left.without(p)
	d.bad.without(p)
	d.count()
}

// condemn has points wait for the end of their probation.
func (d *delivery) condemn(now time.Time, p points) {
	d.bad.with(p.and(d.left))
	d.badSince = now
	d.count()
}

// acquit has condemned points sent again.
func (d *delivery) acquit() {
	d.bad = newPoints(d.n)
	d.count()
}

// isProven reports whether of each tick in p some point was accepted.
func (d *delivery) isProven(p points) bool {
	return !slices.ContainsFunc(d.grid.ticksOf(p), func(tick int) bool { return !d.proven[tick] })
}

// of returns the points that are left of some series, and to be sent.
func (d *delivery) of(is func(x seriesHash) bool) points {
	return d.grid.where(func(series, _ int) bool { return is(d.grid.hashes[series]) }).and(d.left).without(d.bad)
}

// note is what to keep of the portions, nil if there are none.
func (d *delivery) note() []byte {
	all := append(slices.Clone(d.portions), d.noted...)
	if len(all) == 0 {
		return nil
	}
	return writeNote(all, d.n)
}

func writeNote(all []portion, n int) []byte {
	b := []byte{noteVersion}
	for _, p := range all {
		parts := byte(0)
		if p.parts {
			parts = 1
		}
		b = p.points.appendRuns(append(b, parts), n)
	}
	return b
}

// noteVersion begins a note.
const noteVersion = 1

// readNote reads a note on a batch of n points. What it cannot read costs a
// re-send under another id at worst.
func readNote(b []byte, n int) (portions []portion) {
	if len(b) == 0 || b[0] != noteVersion {
		return nil
	}
	for b = b[1:]; len(b) > 0; {
		p := portion{parts: b[0] == 1, noted: true}
		var ok bool
		if p.points, b, ok = readRuns(b[1:], n); !ok {
			return portions
		}
		portions = append(portions, p)
	}
	return portions
}
