package ship

import (
	"math/rand/v2"
	"time"
)

const (
	// probation is how long a series has to be condemned before its points are
	// given up: a backend that contradicts itself shows it within that time.
	probation = 10 * time.Minute
	// retestFirst is when a series is retested that was condemned for the first
	// time, retestEvery at most how long after that, and retestMax what being
	// condemned again and again makes of it at most.
	retestFirst = time.Minute
	retestEvery = 5 * time.Minute
	retestMax   = time.Hour
	// retestGap is the time between the retests of any two series.
	retestGap = 90 * time.Second
	// forgetAfter is how long it is remembered that a series was condemned once.
	forgetAfter = 24 * time.Hour
	// doubtFor is how long a contradiction makes the backend's refusals doubtful.
	doubtFor = time.Hour
)

// refusedSeries remembers which series the backend refuses. It is arithmetic
// without I/O, owned by Shipper.Run, and each of its maps is bounded to max
// entries.
type refusedSeries struct {
	rng *rand.Rand
	max int

	condemned map[seriesHash]*sentence
	past      map[seriesHash]spells
	// suspects were refused alone and wait for a second refusal; none outlives
	// the search that found it.
	suspects map[seriesHash]bool
	// known were accepted since the first refusal.
	known map[seriesHash]bool
	// since were accepted with other batches since the search under way began.
	since map[seriesHash]bool
	// groups of series that may not travel with others, by number; 0 is all others.
	// They are forgotten an hour after the last was made.
	groups    map[seriesHash]int
	lastGroup int
	parted    time.Time
	// single counts the batches in which single points of a series were refused.
	single map[seriesHash]int

	retestAt     time.Time // no retest before this
	lastFound    time.Time // when a series was last condemned
	contradicted time.Time // when the backend last contradicted itself
}

// sentence is what is known of a condemned series.
type sentence struct {
	name   string // for people
	reason string // why it was refused
	since  time.Time
	retest time.Time
	// final is when its points are given up.
	final time.Time
}

// spells says how often a series was condemned, and when last.
type spells struct {
	count int
	last  time.Time
}

func newRefusedSeries(rng *rand.Rand, most int) *refusedSeries {
	return &refusedSeries{
		rng: rng, max: most,
		condemned: make(map[seriesHash]*sentence), past: make(map[seriesHash]spells),
		suspects: make(map[seriesHash]bool), known: make(map[seriesHash]bool), since: make(map[seriesHash]bool),
		groups: make(map[seriesHash]int), single: make(map[seriesHash]int),
	}
}

// idle reports whether batches may be sent as they are.
func (r *refusedSeries) idle() bool {
	return len(r.condemned) == 0 && len(r.suspects) == 0 && len(r.groups) == 0
}

// condemn remembers a series. One that the backend named itself needs no
// probation. It reports whether the series was not condemned before.
func (r *refusedSeries) condemn(now time.Time, x seriesHash, name, reason string, named bool) (fresh bool) {
	delete(r.suspects, x)
	if r.condemned[x] != nil {
		return false
	}
	if len(r.condemned) >= r.max {
		r.forgetOldest()
	}
	p := r.past[x]
	if now.Sub(p.last) > forgetAfter {
		p = spells{}
	}
	if len(r.past) >= r.max {
		r.forgetPast(now)
	}
	r.past[x] = spells{p.count + 1, now}
	s := &sentence{name: name, reason: reason, since: now, final: now.Add(probation), retest: now.Add(retestFirst)}
	if p.count > 0 {
		s.retest = now.Add(r.retestWait(p.count + 1))
	}
	if named {
		s.final = now
	}
	r.condemned[x], r.lastFound = s, now
	if first := now.Add(retestFirst); len(r.condemned) == 1 || first.Before(r.retestAt) {
		r.retestAt = first
	}
	return true
}

// forgetOldest forgets the condemned series that has been due for a retest the
// longest: it is not produced any more.
func (r *refusedSeries) forgetOldest() {
	var oldest seriesHash
	for x, s := range r.condemned {
		if o := r.condemned[oldest]; o == nil || s.retest.Before(o.retest) {
			oldest = x
		}
	}
	delete(r.condemned, oldest)
}

func (r *refusedSeries) forgetPast(now time.Time) {
	for x, p := range r.past {
		if r.condemned[x] == nil && (now.Sub(p.last) > forgetAfter || len(r.past) >= r.max) {
			delete(r.past, x)
		}
	}
}

// retestWait is how long a series waits that was condemned so many times.
func (r *refusedSeries) retestWait(count int) time.Duration {
	wait := min(retestEvery<<min(max(count-1, 0), 8), retestMax)
	return wait*7/10 + time.Duration(r.rng.Float64()*float64(wait/4))
}

// dueOf returns which of these series is to be retested now, if any: the one
// that has waited longest.
func (r *refusedSeries) dueOf(now time.Time, of []seriesHash) (x seriesHash, ok bool) {
	if now.Before(r.retestAt) {
		return 0, false
	}
	for _, y := range of {
		if s := r.condemned[y]; s != nil && !now.Before(s.retest) && (!ok || s.retest.Before(r.condemned[x].retest)) {
			x, ok = y, true
		}
	}
	return x, ok
}

// retested notes that a retest was refused.
func (r *refusedSeries) retested(now time.Time, x seriesHash) {
	if s := r.condemned[x]; s != nil {
		s.retest = now.Add(r.retestWait(r.past[x].count))
	}
	r.retestAt = now.Add(retestGap)
}

// release forgets that a series is refused, and returns its name.
func (r *refusedSeries) release(x seriesHash) (name string, ok bool) {
	s := r.condemned[x]
	if s == nil {
		return "", false
	}
	delete(r.condemned, x)
	return s.name, true
}

// contradict notes that the backend accepted what it had refused. It releases
// what was condemned within the hour, and returns how many series that were.
func (r *refusedSeries) contradict(now time.Time) (released int) {
	r.contradicted = now
	for x, s := range r.condemned {
		if now.Sub(s.since) < doubtFor {
			delete(r.condemned, x)
			released++
		}
	}
	return released
}

// doubtful reports whether the backend contradicted itself within the hour.
func (r *refusedSeries) doubtful(now time.Time) bool {
	return !r.contradicted.IsZero() && now.Sub(r.contradicted) < doubtFor
}

// accept notes series that the backend accepted.
func (r *refusedSeries) accept(of []seriesHash, elsewhere bool) {
	for _, x := range of {
		if len(r.known) < r.max {
			r.known[x] = true
		}
		if elsewhere && len(r.since) < r.max {
			r.since[x] = true
		}
	}
}

// leavesOut reports whether a series is to be left out of what is sent now: it
// is refused or, while a suspect waits for an acceptance, was never accepted.
func (r *refusedSeries) leavesOut(x seriesHash) bool {
	return r.condemned[x] != nil || r.suspects[x] || len(r.suspects) > 0 && len(r.known) > 0 && !r.known[x]
}

// groupsMax bounds how many groups of series travel apart from each other.
const groupsMax = 8

// unknownGroup is the group of series that were never accepted.
const unknownGroup = -1

// group returns with which others a series may travel. One that was never
// accepted travels apart while refusals are recent: if it is bad, it does not
// hold up others.
func (r *refusedSeries) group(now time.Time, x seriesHash) int {
	if now.Sub(r.lastFound) < doubtFor && len(r.known) > 0 && len(r.known) < r.max && !r.known[x] {
		return unknownGroup
	}
	if len(r.groups) > 0 && now.Sub(r.parted) > limitLife {
		clear(r.groups)
	}
	return r.groups[x]
}

// isFormer reports whether a series, or single points of it, were condemned within
// the day, it is not now, and it travels with others.
func (r *refusedSeries) isFormer(now time.Time, x seriesHash) bool {
	p, known := r.past[x]
	known = known && now.Sub(p.last) < forgetAfter
	return (known || r.single[x] > 0) && r.condemned[x] == nil && r.group(now, x) == 0
}

// part has series travel apart from others from now on.
func (r *refusedSeries) part(now time.Time, of []seriesHash) {
	if r.lastGroup++; r.lastGroup > groupsMax {
		clear(r.groups) // so many are chance
		r.lastGroup = 1
	}
	r.parted = now
	for _, x := range of {
		if len(r.groups) < r.max {
			r.groups[x] = r.lastGroup
		}
	}
}

// final reports whether the points of a series are given up.
func (r *refusedSeries) final(now time.Time, x seriesHash) bool {
	s := r.condemned[x]
	return s != nil && !now.Before(s.final)
}

// waits reports whether nothing can be done with what is left of a batch: none of
// it may be sent, and not all of it is given up.
func (r *refusedSeries) waits(now time.Time, d *delivery) bool {
	all := d.bad.empty() || r.finalPoints(now, d)
	if r.acquits(d) {
		return false
	}
	for _, x := range d.rest {
		if !r.leavesOut(x) {
			return false
		}
		all = all && r.final(now, x)
	}
	return !all
}

// acquits reports whether the backend contradicted itself since points of a batch
// were condemned.
func (r *refusedSeries) acquits(d *delivery) bool {
	return !d.bad.empty() && r.contradicted.After(d.badSince)
}

// finalPoints reports whether condemned points of a batch are given up.
func (r *refusedSeries) finalPoints(now time.Time, d *delivery) bool {
	return now.Sub(d.badSince) >= probation
}

// forgetGone forgets condemned series that were not produced for long.
func (r *refusedSeries) forgetGone(now time.Time) {
	for x, s := range r.condemned {
		if now.Sub(s.retest) > forgetAfter {
			delete(r.condemned, x)
		}
	}
}
