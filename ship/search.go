package ship

import (
	"iter"
	"slices"
	"time"
)

const (
	// searchPoll is how long a search waits at a time for other answers.
	searchPoll = time.Second
	// A backend that contradicted itself within the hour has to refuse a whole
	// so many times, and a single series so many times after an acceptance.
	doubtfulWholes   = 6
	doubtfulRefusals = 4
)

// searchEnd is what a search concludes of the batch as a whole.
type searchEnd uint8

const (
	// endSearched: what is bad was found, or nothing is.
	endSearched searchEnd = iota
	// endEverything: nothing at all is accepted, so it is not the data.
	endEverything
	// endBatch: other batches are accepted, and nothing of this one.
	endBatch
)

// search finds out what of a refused batch is bad. It goes down the fixed tree
// of the batch, and both halves of what is refused are sent: nothing is inferred
// about a point that was not sent, and nothing is condemned before something was
// accepted after its refusal. docs/delivery.md has the rules.
//
// Its run reads like a program that sends bodies and looks at the answers. It is
// a coroutine: each question goes out when the shipper has time for it, and run
// goes on when the answer is there. Owned by Shipper.Run.
type search struct {
	shipper *Shipper
	held    *held
	d       *delivery
	root    part
	// byProbe: a probe was accepted, so something is; it never ends in a pause.
	byProbe bool
	// lenient is which failures count as refusals; rule 7 of docs/delivery.md.
	lenient leniency

	resume func() (question, bool)
	stop   func()
	yield  func(question) bool
	over   bool // nobody answers any more

	pending question // to be asked next
	due     time.Time
	answer  bool // to the last question

	began    uint64 // acceptances of any requests before it
	live     uint64 // live batches that were answered before it
	stack    []*node
	suspects []*suspect
	taken    []portion // bodies of the batch that were accepted
	first    bool      // no parts were sent before the search
	end      searchEnd
	// ahead is how much later than its batch those are that are tried in strict
	// order while it waits.
	ahead time.Duration
	// otherMS is the time of the last tick of the other batch that was asked for,
	// zero if there is none, and otherAge how old its first one was then.
	otherMS  int64
	otherAge time.Duration
}

// leniency is which failures a search takes for refusals.
type leniency uint8

const (
	strict          leniency = iota
	contentFailures          // those that may be about the body
	allFailures              // all but a request for less
)

// question is a body that a search wants to have sent. Without points it waits
// for other requests to be answered.
type question struct {
	points  points
	wait    time.Duration
	variant bodyVariant
	// idle: only answers to other requests can help.
	idle bool
	// With untilMS the question is another batch that waits, the oldest whose
	// newest tick is not before sinceMS, and is before untilMS.
	sinceMS, untilMS int64
}

// node is a part under search.
type node struct {
	part
	parent             *node
	points             points
	children, accepted int
	largest            int64 // points of the largest accepted child
}

// suspect is a single series that was refused.
type suspect struct {
	series   int
	points   points
	at       uint64 // acceptances before its last refusal
	refusals int    // after an acceptance
}

func newSearch(s *Shipper, h *held, d *delivery, now time.Time) *search {
	q := &search{shipper: s, held: h, d: d, root: d.todo[len(d.todo)-1], began: s.acceptances, live: s.liveAnswers}
	clear(s.refused.since)
	var next func() (question, bool)
	next, q.stop = iter.Pull(func(yield func(question) bool) {
		q.yield = yield
		q.run()
	})
	q.resume = next
	q.due = now
	return q
}

// advance goes on to the next question, after so many points were sent for the
// last one. It reports false when there is none.
func (q *search) advance(now time.Time, sent int64) bool {
	next, ok := q.resume()
	if !ok {
		return false
	}
	q.pending = next
	q.due = now.Add(max(next.wait, q.shipper.searchGap(sent)))
	return true
}

// abandon ends the search without a conclusion.
func (q *search) abandon() {
	q.over = true
	q.stop()
	for _, x := range q.suspects {
		delete(q.shipper.refused.suspects, q.hash(x.series))
	}
}

// ask sends points of the batch, and reports whether the backend accepts them.
func (q *search) ask(p points) bool { return q.put(question{points: p}) }

func (q *search) put(ask question) bool {
	if q.over || !q.yield(ask) {
		q.over = true
		return false
	}
	return q.answer
}

// idle waits until something else was answered.
func (q *search) idle() { q.put(question{wait: searchPoll, idle: true}) }

func (q *search) hash(series int) seriesHash { return q.d.grid.hashes[series] }
func (q *search) accepted() bool             { return q.shipper.acceptances > q.began }
func (q *search) now() time.Time             { return time.Now() }

func (q *search) run() {
	whole := q.d.in(q.root)
	if !q.byProbe {
		if !q.refusedAgain(whole) || q.over {
			return
		}
		if q.put(question{wait: q.shipper.searchSpread(whole)}); q.over {
			return
		}
	}
	portion := &q.d.portions[len(q.d.portions)-1]
	q.first, portion.parts = !portion.parts, true
	q.shipper.keepNote(q.held, q.d)
	root := &node{part: q.root, points: whole}
	if q.byProbe {
		q.stack = append(q.stack, root)
	} else {
		q.descend(root)
	}
	q.walk()
	if q.end == endBatch && !q.over {
		q.compareAges()
	}
	for _, x := range q.suspects {
		delete(q.shipper.refused.suspects, q.hash(x.series))
	}
}

// refusedAgain sends the refused body once more, unchanged. A backend that then
// accepts it contradicts itself.
func (q *search) refusedAgain(whole points) bool {
	tries := 1
	if q.shipper.refused.doubtful(q.now()) {
		tries = doubtfulWholes - 1
	}
	for range tries {
		if q.ask(whole) {
			q.shipper.contradicted(q.now())
			return false
		}
	}
	return true
}

// walk tries the parts on the stack, and condemns suspects as soon as it can.
func (q *search) walk() {
	for waited := 0; !q.over && q.end == endSearched; {
		if x := q.confirmable(); x != nil {
			q.confirm(x)
			continue
		}
		if len(q.stack) == 0 {
			if len(q.suspects) == 0 || waited > q.shipper.patience() {
				return
			}
			waited++
			q.idle()
			continue
		}
		n := q.stack[len(q.stack)-1]
		q.stack = q.stack[:len(q.stack)-1]
		q.try(n)
	}
}

// left returns the points of a part that are still to be judged.
func (q *search) left(p part) points {
	left := q.d.in(p).without(q.d.of(func(x seriesHash) bool { return q.shipper.refused.condemned[x] != nil }))
	for _, x := range q.suspects {
		left.without(x.points)
	}
	return left
}

// try sends a part. If it is refused its halves are next, down to one series.
func (q *search) try(n *node) {
	n.points = q.left(n.part)
	switch {
	case n.points.empty():
		n.parent.accept(q, 0)
	case n.parent != nil && n.points.covers(n.parent.points):
		q.descend(n) // its parent, which was refused, holds no other points
	case q.ask(n.points):
		n.parent.accept(q, n.points.count())
	default:
		q.descend(n)
	}
}

// descend goes on with the halves of a part that was refused.
func (q *search) descend(n *node) {
	series := q.d.grid.seriesOf(n.points)
	if len(series) == 1 {
		q.leaf(series[0], n.points)
		return
	}
	halves := n.halves()
	n.children = len(halves)
	for _, half := range slices.Backward(halves) {
		q.stack = append(q.stack, &node{part: half, parent: n})
	}
}

// accept notes that a half of n was accepted, or holds nothing. If both were,
// though n was refused, nothing in n is bad: either two series are refused only
// together, or n was too large.
func (n *node) accept(q *search, count int64) {
	if n == nil {
		return
	}
	n.accepted++
	n.largest = max(n.largest, count)
	if n.accepted < n.children || q.shipper.refused.doubtful(q.now()) {
		return
	}
	series := q.d.grid.seriesOf(n.points)
	size := n.points.count()
	if len(series) > 2 && q.shipper.sizes.refused(q.now(), q.d.id, size, n.largest) {
		return
	}
	var second []seriesHash
	for _, i := range series {
		if i >= n.halves()[1].fromSeries {
			second = append(second, q.hash(i))
		}
	}
	if len(second) < len(series) {
		q.shipper.refused.part(q.now(), second)
	}
}

// confirmable returns a suspect since whose refusal something was accepted.
func (q *search) confirmable() *suspect {
	for _, x := range q.suspects {
		if q.shipper.acceptances > x.at {
			return x
		}
	}
	return nil
}

// confirm sends a suspect again, in two halves, since it may be some of its ticks
// that are refused. It is condemned if both are refused again.
func (q *search) confirm(x *suspect) {
	first, second := q.askHalves(x)
	if q.over {
		return
	}
	x.at = q.shipper.acceptances
	if x.refusals++; first == nil && second == nil && q.doubts() && x.refusals < doubtfulRefusals {
		return
	}
	q.suspects = slices.DeleteFunc(q.suspects, func(y *suspect) bool { return y == x })
	if first == nil && second == nil {
		q.shipper.condemn(q.now(), q.d, x.series, false)
		return
	}
	delete(q.shipper.refused.suspects, q.hash(x.series))
	switch {
	case second == nil && first != nil:
		q.ticks(x.series, x.points.clone().without(first))
	case first == nil && second != nil:
		q.ticks(x.series, x.points.clone().without(second))
	default:
		q.shipper.contradicted(q.now())
	}
}

// doubts reports whether a refusal may be chance.
func (q *search) doubts() bool { return q.lenient != strict || q.shipper.refused.doubtful(q.now()) }

// askHalves sends the ticks of a suspect in two bodies, one if there is one tick,
// and returns what of them was accepted.
func (q *search) askHalves(x *suspect) (first, second points) {
	if len(q.d.grid.ticksOf(x.points)) < 2 {
		if q.ask(x.points) {
			return x.points, x.points
		}
		return nil, nil
	}
	a, b := q.halfTicks(x.points)
	if q.ask(a) {
		first = a
	}
	if !q.over && q.ask(b) {
		second = b
	}
	return first, second
}
