package ship

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// The phases of a simulation. The last one takes as long as draining takes.
const (
	fleetSteady = 20 * time.Minute
	fleetOutage = time.Hour
	fleetMost   = 12 * time.Hour // a fleet that has not drained by then never will
	fleetTick   = 5 * time.Second
	fleetBatch  = 15 * time.Second
	never       = time.Duration(math.MaxInt64)
)

// fleetStart is where the times of a simulation are counted from.
var fleetStart = time.Unix(1_800_000_000, 0)

// fleetConfig says which fleet to simulate.
type fleetConfig struct {
	agents     int
	multiplier float64       // HEKA_DRAIN_MULTIPLIER
	hangs      bool          // the dead server lets requests time out instead of refusing connections
	announced  bool          // the dead server answers 503, with the time of its return in Retry-After
	reboot     bool          // all agents restart when the server returns: the power was out
	restarts   time.Duration // mean time between two restarts of one agent; 0: none
	noJitter   bool          // each U(a, b) is b
}

// fleet runs the shippers of many agents against one server, in virtual time.
// What it calls is what Shipper.Run calls, in the same order; only the clock,
// the network, the disk and the bodies are replaced.
type fleet struct {
	cfg      fleetConfig
	server   *fleetServer
	rng      *rand.Rand
	snapshot *metric.Snapshot
	agents   []*fleetAgent // by number
	turns    fleetTurns
	draining int           // agents that still have a backlog of the outage
	drained  time.Duration // when the last of them had none
	ended    bool          // no more ticks
}

// fleetAgent is one agent, which may live several times.
type fleetAgent struct {
	number  int
	shipper *Shipper
	spool   *fleetSpool
	made    []uint64  // batches, in each life before this one
	took    [][]uint8 // how often the server took each batch, by life and seq
	points  int64     // put into the queue
	arrived int64     // points of batches, each counted once

	request request // what it asks the server; the zero request is none
	outcome Outcome // of the request, which it learns at answer

	tick, wake, answer, restart time.Duration // its next events
	second                      time.Duration // when the second tick is; 0 after it

	contact, fresh, drained time.Duration // since the server's return; 0: not yet
}

func newFleet(cfg fleetConfig, seed uint64) *fleet {
	f := &fleet{
		cfg:      cfg,
		server:   newFleetServer(cfg, rand.New(rand.NewPCG(seed, 1))),
		rng:      rand.New(rand.NewPCG(seed, 2)),
		snapshot: metric.NewSnapshot(0),
		draining: cfg.agents,
	}
	f.snapshot.Reset(0)
	f.snapshot.Int(&metric.Desc{Name: "fleet.point", Unit: "1"}, 1)
	for number := range cfg.agents {
		a := &fleetAgent{number: number, spool: &fleetSpool{}}
		f.start(a, 0)
		f.agents = append(f.agents, a)
		f.turns = append(f.turns, fleetTurn{f.advance(a), a})
	}
	heap.Init(&f.turns)
	return f
}

// start begins an agent's next life.
func (f *fleet) start(a *fleetAgent, now time.Duration) {
	cfg := Config{
		Agent:          metric.Agent{ID: strconv.Itoa(a.number), Version: "fleet", Epoch: fleetEpoch(a.number, len(a.made))},
		Interval:       fleetTick,
		BatchMaxPoints: 20000,
		BatchMaxBytes:  1 << 20,
		Compression:    CompressionNone,
		Mode:           SpoolOnFailure,
		Rules: Rules{
			RetryInitial: time.Second, RetryMax: time.Minute, RetryAfterMax: 15 * time.Minute,
			BatchInterval: fleetBatch, DrainMultiplier: f.cfg.multiplier,
		},
	}
	s, err := New(cfg, NewQueue(4<<20), fleetCodec{}, fleetSender{}, a.spool, &MemoryLedger{}, zerolog.Nop())
	if err != nil {
		panic(err)
	}
	var source rand.Source = rand.NewPCG(f.rng.Uint64(), 0)
	if f.cfg.noJitter {
		source = greatest{}
	}
	s.machine = newMachine(cfg.Rules, rand.New(source), fleetStart.Add(now))
	s.refused = newRefusedSeries(rand.New(source), defaultMaxSeries)
	a.shipper = s
	a.took = append(a.took, nil)
	a.wake, a.answer, a.restart = now, never, never
	phase := (s.cutPhase() - time.Duration(fleetStart.Add(now).UnixNano())) % fleetTick
	wait := (phase + fleetTick) % fleetTick
	if wait < fleetTick/10 {
		wait += fleetTick
	}
	a.tick, a.second = now, now+wait // as collect.Scheduler does
	if f.cfg.reboot && now < f.server.returns {
		a.restart = f.server.returns
	}
	if f.cfg.restarts > 0 {
		a.restart = now + time.Duration(f.rng.ExpFloat64()*float64(f.cfg.restarts))
	}
}

// greatest is a source without chance: from [a, b) it makes rand draw b, all but.
type greatest struct{}

func (greatest) Uint64() uint64 { return math.MaxUint64 }

// run simulates until every agent has drained, and a minute more; then it ends
// the ticks and goes on until nothing waits. Agents meet only at the server, so
// each may run ahead to its next request; requests are answered in their order,
// but for those of the outage, which all fare the same.
func (f *fleet) run() error {
	for {
		a, now := f.turns[0].agent, f.turns[0].at
		switch {
		case now == never:
			return f.audit()
		case now > fleetMost:
			return fmt.Errorf("after %v %d of %d agents still have a backlog", now, f.draining, len(f.agents))
		case f.draining == 0 && now > f.drained+time.Minute:
			f.ended = true
		}
		f.ask(a, now)
		if f.ended && a.tick != never {
			a.tick, a.restart, a.wake = never, never, now
			a.shipper.cutNow = true
		}
		f.turns[0].at = f.advance(a)
		heap.Fix(&f.turns, 0)
	}
}

// advance lets the agent live up to its next request of a server that is not
// dead, and returns when that is.
func (f *fleet) advance(a *fleetAgent) time.Duration {
	for {
		now := min(a.tick, a.wake, a.answer, a.restart)
		switch now {
		case never:
			return never
		case a.restart:
			f.stop(a, now)
			f.start(a, now)
		default:
			f.turn(a, now)
		}
		switch {
		case a.request.ctx == nil:
		case f.server.isDead(now):
			f.ask(a, now)
		default:
			return now
		}
	}
}

// turn is one round of Shipper.Run: something has happened, and what is due
// is done.
func (f *fleet) turn(a *fleetAgent, now time.Duration) {
	at, s := fleetStart.Add(now), a.shipper
	if now == a.answer {
		a.answer = never
		s.settle(at, a.outcome)
	}
	if now == a.tick {
		if a.tick += fleetTick; a.second > 0 {
			a.tick, a.second = a.second, 0
		}
		a.points++
		f.snapshot.TimeMS = at.UnixMilli()
		s.queue.Put(f.snapshot)
	}
	s.step(context.Background(), at)
	select {
	case a.request = <-s.requests:
	default:
	}
	a.wake = now + s.wakeIn(at)
	if a.tick == never && a.idle() {
		a.wake = never
	}
	if a.drained == 0 && a.contact > 0 && s.machine.phase == healthy && !s.hasBacklog() {
		a.drained = now - f.server.returns
		f.drained = max(f.drained, now)
		f.draining--
	}
}

// idle reports whether the agent has delivered everything.
func (a *fleetAgent) idle() bool {
	s := a.shipper
	return s.inflight == nil && s.waiting() == 0 && s.queue.state().ticks == 0
}

// ask brings the agent's request to the server, if it has one.
func (f *fleet) ask(a *fleetAgent, now time.Duration) {
	if a.request.ctx == nil {
		return
	}
	s := f.server
	outcome, took, at := s.request(now)
	a.outcome, a.answer = outcome, at
	if took && a.take(a.request.payload) && now >= s.returns {
		newest := time.UnixMilli(a.shipper.inflight.TimeMS).Sub(fleetStart)
		if a.contact == 0 {
			a.contact = at - s.returns
		}
		if a.fresh == 0 && newest >= s.returns {
			a.fresh = at - s.returns
		}
	}
	a.request = request{}
}

// take notes which batch the server took, by nothing but its id, and reports
// whether it is new to the server.
func (a *fleetAgent) take(p Payload) bool {
	epoch, errEpoch := strconv.ParseUint(p.ID[:16], 16, 64)
	seq, errSeq := strconv.ParseUint(p.ID[16:], 16, 64)
	life := int(epoch & 0xffff)
	if errEpoch != nil || errSeq != nil || epoch != fleetEpoch(a.number, life) {
		panic("agent " + strconv.Itoa(a.number) + " sends batch " + p.ID)
	}
	for uint64(len(a.took[life])) <= seq {
		a.took[life] = append(a.took[life], 0)
	}
	a.took[life][seq]++
	if a.took[life][seq] > 1 {
		return false
	}
	a.arrived += p.Points
	return true
}

func fleetEpoch(number, life int) uint64 { return uint64(number+1)<<16 | uint64(life) }

// stop ends an agent's life as Shipper.flush does with a backend that does not
// answer in time. What was under way may have arrived.
func (f *fleet) stop(a *fleetAgent, now time.Duration) {
	s, at := a.shipper, fleetStart.Add(now)
	if s.inflight != nil {
		s.settle(at, Outcome{Cause: "cancelled"})
	}
	s.cut(at)
	s.store()
	a.made = append(a.made, s.seq)
}

// audit wants the server to have every batch, and every tick to be in one.
func (f *fleet) audit() error {
	for _, a := range f.agents {
		for life, made := range append(slices.Clone(a.made), a.shipper.seq) {
			for seq := uint64(1); seq <= made; seq++ {
				if took := a.took[life]; uint64(len(took)) <= seq || took[seq] == 0 {
					return fmt.Errorf("agent %d: batch %d of life %d never arrived", a.number, seq, life)
				}
			}
		}
		if a.arrived != a.points {
			return fmt.Errorf("agent %d: %d points arrived of %d", a.number, a.arrived, a.points)
		}
	}
	return nil
}

// fleetTurn says when it is an agent's turn: at its next request, or never.
type fleetTurn struct {
	at    time.Duration
	agent *fleetAgent
}

// fleetTurns is a heap. Of several turns at one time the lowest number's is first.
type fleetTurns []fleetTurn

func (t fleetTurns) Len() int { return len(t) }
func (t fleetTurns) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].agent.number < t[j].agent.number
}
func (t fleetTurns) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *fleetTurns) Push(any)     { panic("the fleet is complete") }
func (t *fleetTurns) Pop() any     { panic("the fleet is complete") }
