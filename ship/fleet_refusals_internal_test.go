package ship

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

const (
	// refusalSeries is how many series each agent has, one of which is refused.
	refusalSeries = 98
	// refusalBegins is when that begins, refusalOutage how long everything is
	// refused later on, and refusalRest how long agents live on after that.
	refusalBegins = 2 * time.Minute
	refusalOutage = 30 * time.Second
	refusalRest   = 12 * time.Minute
)

// refusalRun is a fleet whose backend refuses one series of each agent, another
// one of each, and what becomes of it.
type refusalRun struct {
	name     string
	outage   time.Duration // from the first refusal until everything is refused
	limits   refusalFigures
	agents   int
	figures  refusalFigures
	accounts refusalAccounts
}

// refusalRuns are what such a fleet goes through.
func refusalRuns() []*refusalRun {
	return []*refusalRun{
		{name: "refuses one series of each, then everything", outage: 10 * time.Minute, limits: refusalFigures{points: 3.5, requests: 6}},
		{name: "the same, everything amid the searches", outage: 30 * time.Second, limits: refusalFigures{points: 3.5, requests: math.Inf(1)}},
	}
}

// A fleet whose searches for refused series begin together does not overrun its
// backend, and nothing but what is refused is given up.
func TestRefusingFleet(t *testing.T) {
	runs := refusalRuns()
	t.Run("fleet", func(t *testing.T) {
		for _, r := range runs {
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				r.simulate(t)
			})
		}
	})
	fmt.Fprintf(t.Output(), "%d agents\n%s", *fleetAgents, refusalTable(runs))
}

// refusalFigures sum a run up.
type refusalFigures struct {
	points, requests float64 // in the busiest second after the first refusal, to steady
	mean             float64 // requests from the first refusal on, to steady
	fresh50, fresh99 time.Duration
}

// refusalAccounts are of all agents.
type refusalAccounts struct {
	missing, twice int   // good points that did not arrive, or did so twice
	deadGood, dead int64 // points set aside
	refusedLess    int   // agents that leave out another series than the one refused
}

func (r *refusalRun) row() string {
	f := r.figures
	return fmt.Sprintf("| %s | %.2f | %.2f | %.2f | %.0f s | %.0f s | %d |\n",
		r.name, f.points, f.requests, f.mean, f.fresh50.Seconds(), f.fresh99.Seconds(), r.accounts.deadGood)
}

// refusalTable says how it went.
func refusalTable(runs []*refusalRun) string {
	table := "| the backend | peak/steady in points | in requests | mean/steady in requests | fresh data p50 | p99 | dead of good series |\n|---|---|---|---|---|---|---|\n"
	for _, r := range runs {
		table += r.row()
	}
	return table + fmt.Sprintf("| **must be** | ≤ %g | ≤ %g in the first | | | | 0 |\n", runs[0].limits.points, runs[0].limits.requests)
}

func (r *refusalRun) simulate(t *testing.T) {
	r.agents = min(*fleetAgents, fleetPageAgents)
	synctest.Test(t, func(*testing.T) {
		f := newRefusalFleet(r.agents, r.outage)
		f.run()
		r.figures, r.accounts = f.figures(), f.accounts()
	})
	fmt.Fprint(t.Output(), r.row())
	if f, most := r.figures, r.limits; f.points > most.points || f.requests > most.requests {
		t.Errorf("peak/steady: %.3g in points and %.3g in requests, want at most %g and %g", f.points, f.requests, most.points, most.requests)
	}
	if a := r.accounts; a.missing+a.twice+a.refusedLess != 0 || a.deadGood != 0 || a.dead == 0 {
		t.Errorf("%+v: want each good point once, and dead none but bad ones", a)
	}
}

// refusalFleet runs the shippers of a [fleet] against a backend that decides by
// content. It takes their events in the order of time, in a bubble whose clock
// follows: a search asks for the time by itself.
type refusalFleet struct {
	fleet
	codec   *refusalCodec
	agents  []*refusalAgent
	chance  *rand.Rand    // of the backend
	from    time.Duration // everything is refused from then on
	end     time.Duration // of the ticks
	seconds []refusalSecond
}

// refusalSecond counts what arrived in one second, by purpose.
type refusalSecond struct{ requests, points [ofRetestOthers + 1]int }

// refusalAgent is one agent.
type refusalAgent struct {
	fleetAgent
	spool *refusalSpool
	bad   int      // the series that is refused
	got   []uint64 // bits of the points that arrived, by tick and series
	twice int
	fresh time.Duration // since the first refusal: all good series of a newer tick have arrived
}

func newRefusalFleet(agents int, outage time.Duration) *refusalFleet {
	f := &refusalFleet{chance: rand.New(rand.NewPCG(fleetSeed, 3)), from: refusalBegins + outage}
	f.fleet = fleet{cfg: fleetConfig{multiplier: 4}, server: &fleetServer{}, rng: rand.New(rand.NewPCG(fleetSeed, 2)), snapshot: metric.NewSnapshot(0)}
	f.end = f.from + refusalOutage + refusalRest
	f.snapshot.Reset(0)
	desc := &metric.Desc{Name: "fleet.point", Unit: "1"}
	for i := range refusalSeries {
		f.snapshot.Int(desc, 1, metric.L("n", strconv.Itoa(i)))
	}
	f.codec = newRefusalCodec(f.snapshot.Points)
	for number := range agents {
		a := &refusalAgent{fleetAgent: fleetAgent{number: number}, spool: &refusalSpool{}, bad: f.chance.IntN(refusalSeries)}
		f.start(&a.fleetAgent, 0)
		a.shipper.codec, a.shipper.spool = f.codec, a.spool
		f.agents = append(f.agents, a)
		f.turns = append(f.turns, fleetTurn{a.next(), &a.fleetAgent})
	}
	heap.Init(&f.turns)
	return f
}

func (a *refusalAgent) next() time.Duration { return min(a.tick, a.wake, a.answer) }

// run ends the ticks in time, and goes on for as long as a retry may wait.
func (f *refusalFleet) run() {
	for f.turns[0].at < f.end+10*time.Minute {
		now := f.turns[0].at
		time.Sleep(time.Until(fleetStart.Add(now)))
		a := f.agents[f.turns[0].agent.number]
		if a.tick != never && now >= f.end {
			a.tick = never
			a.shipper.cutNow = true
		}
		f.turn(&a.fleetAgent, now)
		if a.request.ctx != nil {
			f.ask(a, now)
		}
		f.turns[0].at = a.next()
		heap.Fix(&f.turns, 0)
	}
	for _, a := range f.agents {
		a.shipper.endSearch()
	}
}

// ask answers the agent's request.
func (f *refusalFleet) ask(a *refusalAgent, now time.Duration) {
	b := f.codec.read(a.request.payload.Body)
	f.count(now, a.shipper.inflight.purpose, a.request.payload.Points)
	a.outcome = Outcome{Verdict: Acked}
	all := now >= f.from && now < f.from+refusalOutage
	if all || now >= refusalBegins && slices.Contains(b.series, byte(a.bad)) {
		a.outcome = outcomeOf(answer{status: http.StatusBadRequest})
	} else {
		a.accept(b, now)
	}
	a.answer = now + fleetFast + time.Duration(f.chance.Int64N(int64(fleetSlow-fleetFast)))
	a.request = request{}
}

func (f *refusalFleet) count(now time.Duration, p purpose, points int64) {
	i := int(now / time.Second)
	for len(f.seconds) <= i {
		f.seconds = append(f.seconds, refusalSecond{})
	}
	f.seconds[i].requests[p]++
	f.seconds[i].points[p] += int(points)
}

// tickOf numbers ticks by their time: the first is at once, the second a tenth of
// an interval later at least.
func tickOf(ms int64) int {
	since := ms - fleetStart.UnixMilli()
	if since == 0 {
		return 0
	}
	every := fleetTick.Milliseconds()
	return 1 + int((since-every/10)/every)
}

// accept takes a body's points.
func (a *refusalAgent) accept(b refusalBody, now time.Duration) {
	for at, i := range b.series {
		for tick, ms := range b.times {
			if b.present[at]>>tick&1 == 0 {
				continue
			}
			n := tickOf(ms)*refusalSeries + int(i)
			for len(a.got) <= n/64 {
				a.got = append(a.got, 0)
			}
			if a.got[n/64]>>(n%64)&1 != 0 {
				a.twice++
			}
			a.got[n/64] |= 1 << (n % 64)
		}
	}
	if newest := b.times[len(b.times)-1]; a.fresh == 0 && newest >= fleetStart.Add(refusalBegins).UnixMilli() && a.lacks(tickOf(newest)) == 0 {
		a.fresh = now - refusalBegins
	}
}

// lacks counts the good points of a tick that did not arrive.
func (a *refusalAgent) lacks(tick int) (n int) {
	for i := range refusalSeries {
		at := tick*refusalSeries + i
		if i != a.bad && (at/64 >= len(a.got) || a.got[at/64]>>(at%64)&1 == 0) {
			n++
		}
	}
	return n
}

// figures are of windows like those of the other rows.
func (f *refusalFleet) figures() refusalFigures {
	requests := func(s refusalSecond) [ofRetestOthers + 1]int { return s.requests }
	points := func(s refusalSecond) [ofRetestOthers + 1]int { return s.points }
	from, end := int(refusalBegins/time.Second), int(f.end/time.Second)
	rate := func(from, to int, of func(refusalSecond) [ofRetestOthers + 1]int) (rate float64) {
		for _, second := range f.seconds[from:to] {
			for _, n := range of(second) {
				rate += float64(n)
			}
		}
		return rate / float64(to-from)
	}
	steadyRequests, steadyPoints := rate(from/4, from, requests), rate(from/4, from, points)
	width := int(math.Ceil(fleetPeak / steadyRequests))
	r := refusalFigures{mean: rate(from, end, requests) / steadyRequests}
	for at := from; at+width <= end; at += width {
		r.requests = max(r.requests, rate(at, at+width, requests)/steadyRequests)
		r.points = max(r.points, rate(at, at+width, points)/steadyPoints)
	}
	var fresh []time.Duration
	for _, a := range f.agents {
		fresh = append(fresh, a.fresh)
	}
	slices.Sort(fresh)
	r.fresh50, r.fresh99 = fresh[(len(fresh)*50+99)/100-1], fresh[(len(fresh)*99+99)/100-1]
	return r
}

// accounts adds up what became of all points.
func (f *refusalFleet) accounts() (sum refusalAccounts) {
	for _, a := range f.agents {
		for tick := range int(a.points) {
			sum.missing += a.lacks(tick)
		}
		sum.twice += a.twice
		sum.dead += a.spool.dead
		for _, l := range a.spool.letters {
			if b := f.codec.read(l); len(b.series) != 1 || int(b.series[0]) != a.bad {
				sum.deadGood++
			}
		}
		for x := range a.shipper.refused.condemned {
			if x != hashOf(f.codec.series[a.bad]) {
				sum.refusedLess++
			}
		}
	}
	return sum
}
