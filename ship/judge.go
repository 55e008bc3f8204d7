package ship

import (
	"slices"
	"time"
)

const (
	// othersTried is how many further single series a search tries when a whole
	// descent was refused, before it concludes that it is not the series.
	othersTried = 8
	// othersOfTick is that number where only some ticks of a series are refused.
	othersOfTick = 5
	// badTicksMax is how many ticks a search looks for one by one.
	badTicksMax = 16
	// oldBatch is how many batch intervals old a batch is that may be too old.
	oldBatch = 2
	// ageMin is the lowest bound on age that is believed.
	ageMin = 10 * time.Minute
)

// leaf judges a single series that was refused. While none of its ticks is
// known to be good, it may as well be the ticks, or the batch, or everything.
func (q *search) leaf(x int, p points) {
	if !q.d.isProven(p) {
		if q.leafByTick(x, p) || !q.anotherPasses(x, p, othersTried) && !q.over && q.nothingAccepted(x, p) {
			return
		}
	}
	if q.over || q.end != endSearched {
		return
	}
	q.suspect(x, p)
}

func (q *search) suspect(x int, p points) {
	q.suspects = append(q.suspects, &suspect{series: x, points: p, at: q.shipper.acceptances})
	if r := q.shipper.refused; len(r.suspects) < r.max {
		r.suspects[q.hash(x)] = true
	}
}

// halfTicks returns the halves of the ticks of a series.
func (q *search) halfTicks(p points) (a, b points) {
	ticks := q.d.grid.ticksOf(p)
	middle := ticks[len(ticks)/2]
	a = p.and(q.d.grid.where(func(_, tick int) bool { return tick < middle }))
	return a, p.clone().without(a)
}

// leafByTick finds out whether the series is refused in some ticks only. It
// reports whether that settled the matter.
func (q *search) leafByTick(x int, p points) bool {
	if len(q.d.grid.ticksOf(p)) < 2 {
		return false
	}
	a, b := q.halfTicks(p)
	refused := a
	if q.ask(a) {
		refused = b
	} else if !q.ask(b) {
		return false
	}
	if !q.over {
		q.ticks(x, refused)
	}
	return true
}

// badTicks returns the points of a series in those ticks in which it is refused:
// one tick after the other is found by halving, and then the rest is tried.
func (q *search) badTicks(p points, most int) points {
	bad := newPoints(q.d.n)
	for rest := p; !rest.empty() && !q.over; {
		one := rest
		for len(q.d.grid.ticksOf(one)) > 1 {
			a, b := q.halfTicks(one)
			if one = a; q.ask(a) {
				one = b
			}
		}
		bad.with(one)
		rest = p.clone().without(bad).and(q.d.left)
		if rest.empty() || q.over || q.ask(rest) {
			break
		}
		if most--; most == 0 {
			return bad.with(rest)
		}
	}
	return bad
}

// ticks judges ticks in which a series was refused, while it was accepted in
// others: they are tried with other series. If these are refused as well, the
// ticks are bad.
func (q *search) ticks(x int, p points) {
	bad := q.badTicks(p, badTicksMax)
	if q.over {
		return
	}
	if q.d.isProven(bad) || q.anotherPasses(x, bad, othersOfTick) {
		q.points(x, bad)
		return
	}
	if !q.refusedLater(bad) {
		return
	}
	of := q.d.grid.ticksOf(bad)
	gone := q.d.in(q.root).and(q.d.grid.where(func(_, tick int) bool { return slices.Contains(of, tick) }))
	q.d.condemn(q.now(), gone)
	s := q.shipper
	s.say.foundTicks(s.log, q.now(), q.d.id, len(of), gone.count(), q.d.reason, s.spool != nil)
	q.stack = nil // what is left of the batch is tried as one
	if rest := q.left(q.root); !rest.empty() {
		q.stack = []*node{{part: q.root}}
	}
}

// refusedLater reports whether p is refused once more after something else was
// accepted: other series in ticks that are known to be good or, where there are
// none, another batch.
func (q *search) refusedLater(p points) bool {
	at := q.shipper.acceptances
	good := q.left(q.root).without(p).and(q.d.grid.where(func(_, tick int) bool { return q.d.proven[tick] }))
	q.anyPasses(good, othersOfTick)
	for waited := 0; q.shipper.acceptances == at && !q.over; waited++ {
		if waited > q.shipper.patience() {
			q.stack = nil
			return false // the batch waits for better times
		}
		q.idle()
	}
	accepted := q.ask(p)
	if accepted {
		q.shipper.contradicted(q.now())
	}
	return !accepted && !q.over
}

// points gives up single points of a series, once the backend refused them
// again. A series with such points in two batches is a suspect.
func (q *search) points(x int, bad points) {
	single := q.shipper.refused.single
	if len(single) < q.shipper.refused.max {
		single[q.hash(x)]++
	}
	if single[q.hash(x)] > 1 {
		q.suspect(x, bad)
		return
	}
	tries := 1
	if q.doubts() {
		tries = doubtfulRefusals
	}
	accepted := false
	for ; tries > 0 && !accepted && !q.over; tries-- {
		accepted = q.ask(bad)
	}
	if accepted {
		q.shipper.contradicted(q.now())
	} else if !q.over {
		q.d.condemn(q.now(), bad)
		s := q.shipper
		s.say.gaveUp(s.log, q.now(), q.d.id, bad.count(), seriesName(q.d, x)+": "+q.d.reason, s.spool != nil)
	}
}

// anotherPasses tries other single series, spread over the batch, in the ticks
// of p until one is accepted.
func (q *search) anotherPasses(x int, p points, most int) bool {
	ticks := q.d.grid.ticksOf(p)
	others := q.d.grid.where(func(series, tick int) bool { return series != x && slices.Contains(ticks, tick) })
	return q.anyPasses(q.left(q.root).and(others), most)
}

// anyPasses tries single series of p, spread over the batch, until one is
// accepted.
func (q *search) anyPasses(p points, most int) bool {
	all := q.d.grid.seriesOf(p)
	step := max(1, len(all)/most)
	for i, tried := step/2, 0; i < len(all) && tried < most && !q.over; i, tried = i+step, tried+1 {
		if q.ask(p.and(q.d.grid.where(func(series, _ int) bool { return series == all[i] }))) {
			return true
		}
	}
	return false
}

// nothingAccepted decides what it means that a whole descent and other series
// spread over the batch were refused. It reports whether that settles the search.
func (q *search) nothingAccepted(x int, p points) bool {
	patience := q.shipper.patience() / 2
	if q.shipper.strict() {
		patience *= 4 // batches ever further ahead are tried meanwhile
	}
	for waited := 0; !q.accepted() && q.shipper.liveAnswers == q.live && waited < patience && !q.over; waited++ {
		q.idle()
	}
	switch {
	case q.over:
		return true
	case !q.accepted() && (q.byProbe || q.lenient != strict):
		return false
	case !q.accepted():
		if q.anotherBody(p) {
			q.stack = []*node{{part: q.root}}
		} else {
			q.end = endEverything
		}
		return true
	case q.shipper.refused.since[q.hash(x)]:
		// The series passes with other batches.
		if len(q.d.grid.ticksOf(q.d.in(q.root))) > 1 {
			if bad := q.badTicks(p, badTicksMax/4); !bad.covers(p) {
				q.ticks(x, bad)
				return true
			}
		}
		if q.refusedLater(p) && !q.shipper.refused.doubtful(q.now()) {
			q.end = endBatch
		}
		return true
	}
	return false
}

// anotherBody tries one series in other forms of the body, and keeps the one
// that the backend takes.
func (q *search) anotherBody(p points) bool {
	for _, v := range q.shipper.otherBodies() {
		if q.put(question{points: p, variant: v}) {
			q.shipper.adopt(v)
			return true
		}
	}
	return false
}

// compareAges finds out, when nothing of a batch was accepted that is not fresh,
// whether the backend has a bound on age: other batches that wait, with series that
// pass with fresh ones, are tried halfway in time between the newest that was
// refused and the oldest that was accepted. If they are refused up to ones that no bound on age would
// rule out, the backend refuses what is older than the newest that it has.
func (q *search) compareAges() {
	s := q.shipper
	if q.now().Sub(time.UnixMilli(q.held.TimeMS)) < oldBatch*s.cfg.Rules.BatchInterval {
		return
	}
	older := false        // than the newest it has is what it takes
	var age time.Duration // of the oldest tick of the newest batch that was refused
	refused := 0
	for from, to := q.held.TimeMS+1, s.newestMS; from < to && !q.over; {
		middle := from + (to-from)/2
		q.otherMS = 0
		passes := q.put(question{sinceMS: middle, untilMS: to})
		switch {
		case q.otherMS == 0, passes:
			older = older || q.otherMS != 0
			to = middle
		default:
			from, age = q.otherMS+1, q.otherAge
			refused++
		}
	}
	if age > 0 && !q.over && (age >= ageMin || !older && refused > 1 && !s.refused.doubtful(q.now())) {
		s.tooOld(q.now(), age, refused > 1)
	}
}
