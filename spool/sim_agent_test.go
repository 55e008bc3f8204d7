package spool

import (
	"context"
	"strconv"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
)

// drainMax is how long the last life may take to deliver everything.
const drainMax = 6 * time.Hour

var pointDesc = &metric.Desc{Name: "test.point", Unit: "1"}

// agent is one life.
type agent struct {
	*world
	last     bool
	settled  bool // the weather stays
	fails    bool // delivery did, before it was killed
	s        *Spool
	interval time.Duration
	next     time.Time
	queue    *ship.Queue
	shipper  *ship.Shipper
	snapshot *metric.Snapshot
	cancel   context.CancelFunc
	done     chan struct{}
}

// live is one process, from its start to its end.
func (w *world) live(last bool) {
	syncs, born := w.disk.syncFaults, time.Now()
	a := w.start(last)
	a.work(w.between(0, oneOf[time.Duration](w.rng, 6, 6, 6, 30)*time.Minute))
	if last {
		w.clearUp()
		w.books.server.poisoned = w.produced
		a.drain()
	}
	how := a.end()
	how.unsynced = w.disk.syncFaults > syncs
	how.faulty = !w.disk.failed.Before(born) || w.disk.crashAt > 0
	w.disk.shaken = w.disk.shaken || how.unsynced && (how.kill || how.unclosed)
	w.books.log("ended: %+v", how)
	if w.books.draftable(how) {
		w.books.tickUnderWay(w.mode, a.fails, int64(a.series))
	}
	w.books.died(a.s, how, w.mode)
	if how.power {
		w.disk.cutPower()
	}
}

func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)))
}

func (w *world) start(last bool) *agent {
	crashAt := 0
	if !last && w.rng.IntN(3) == 0 {
		crashAt = 1 + w.rng.IntN(400)
	}
	w.disk.revive(0, 0)
	w.books.exorcise(w.cfg.Fsync == FsyncNever)
	w.disk.revive(crashAt, 0)
	w.clearUp()
	w.changeWeather()
	w.books.server.limit = w.limit(last)
	cfg := w.shipConfig()
	w.books.born(cfg.Agent.Epoch)
	a := &agent{
		world: w, last: last, interval: cfg.Interval, next: time.Now().Add(cfg.Interval),
		queue: ship.NewQueue(w.queueBytes), snapshot: metric.NewSnapshot(0), done: make(chan struct{}),
	}
	w.books.log("life %d: limit %+v, %+v", w.life, w.books.server.limit, cfg)
	w.disk.s = nil
	a.s = open(w.cfg, w.disk)
	w.disk.s = a.s
	w.books.observe(a.s, "open", simName{})
	store := simSpool{a.s, w.disk, w.books}
	var err error
	a.shipper, err = ship.New(cfg, a.queue, simCodec{books: w.books}, w.net, store, store, zerolog.Nop())
	if err != nil {
		panic(err)
	}
	var ctx context.Context
	ctx, a.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(a.done)
		defer a.books.caught()
		_ = a.shipper.Run(ctx)
	}()
	synctest.Wait()
	return a
}

// work lives for a while, unless the process dies.
func (a *agent) work(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end) && !a.disk.dead; {
		a.step()
	}
}

// step is a second, and what is due in it. The odd nanoseconds keep any two
// timers from expiring at once, in no certain order.
func (a *agent) step() {
	a.sleep(time.Second - time.Duration(a.rng.Int64N(1e6)))
	a.net.deliverLate(false)
	a.tick()
	if time.Now().Before(a.next) || a.disk.dead {
		return
	}
	a.next = a.next.Add(a.interval)
	if a.rng.IntN(8) == 0 && !a.settled {
		a.changeWeather()
	}
	a.collect()
	synctest.Wait()
	if used := a.shipper.Stats().MemoryBytes; used > a.queueBytes {
		a.books.failf("%d bytes in memory, the bound is %d", used, a.queueBytes)
	}
}

// tick is what the spool's Run does every second.
func (a *agent) tick() {
	if !a.disk.busy {
		if a.resends && a.rng.IntN(300) == 0 && !a.settled {
			a.disk.resend()
		}
		a.s.tick()
		a.books.observe(a.s, opTick, simName{})
	}
}

// sleep lets the shipper and the network do what is due.
func (a *agent) sleep(d time.Duration) {
	a.books.meet()
	time.Sleep(d)
	synctest.Wait()
}

func (a *agent) collect() {
	a.snapshot.Reset(time.Now().Add(a.skew).UnixMilli())
	for i := range a.series {
		a.produced++
		a.books.produced++
		a.snapshot.Int(pointDesc, a.produced, metric.L("n", strconv.Itoa(i)))
	}
	a.queue.Put(a.snapshot)
}

// drain lives until nothing waits.
func (a *agent) drain() {
	a.settled = true
	waits := true
	began := time.Now()
	for end := began.Add(drainMax); waits && a.books.err == nil; {
		a.step()
		waits = a.s.Stats().Records > 0 || a.shipper.Stats().WaitingBatches > 0
		if waits && time.Now().After(end) {
			if a.books.server.fails() || a.shipper.Stats().RefusedSeries > 0 {
				break // what fails is not always told from a bad network in that time; probation is renewed
			}
			a.books.failf("after %v with all well %d batches wait: %+v", drainMax, a.shipper.Stats().WaitingBatches, a.shipper.Stats())
		}
	}
	a.books.log("drained in %v", time.Since(began))
	a.net.deliverLate(true)
}

// end ends the process, in order or not.
func (a *agent) end() (how ending) {
	if !a.last && a.rng.IntN(2) == 0 {
		a.presage()
	}
	power := !a.disk.shaken && a.rng.IntN(2) == 0
	if !a.last && !a.disk.dead && a.rng.IntN(2) == 0 {
		a.sleep(a.between(0, time.Second))
		phase := a.shipper.Stats().Phase
		a.fails = phase == "down" || phase == "paused"
		a.disk.dead = true
		a.books.look()
	}
	if !a.disk.dead {
		how.unclosed = a.stop() != nil
	}
	a.books.meet()
	a.cancel()
	<-a.done
	if a.disk.dead {
		how.kill, how.power = !power, power
	}
	return how
}

// presage is what may come before an end: no answers for a while, or an outage
// with a disk that has been sound for long.
func (a *agent) presage() {
	a.settled = true
	a.net.p = 1
	if a.rng.IntN(2) == 0 {
		a.net.fault = netTimeout
		a.work(a.between(0, time.Minute))
		return
	}
	a.net.fault = netRefused
	a.disk.p = 0
	a.work(3 * time.Minute)
}

// stop is what agent.Run does at its end.
func (a *agent) stop() error {
	a.books.meet()
	a.queue.Close()
	for flushing := true; flushing; {
		a.sleep(time.Second - time.Duration(a.rng.Int64N(1e6)))
		a.tick()
		select {
		case <-a.done:
			flushing = false
		default:
		}
	}
	a.books.refresh(a.s)
	return a.s.Close(background)
}

// simLimits are such that a point may get through, or not.
var simLimits = []simLimit{{bytes: 300}, {bytes: 600}, {bytes: 2000}, {points: 1}, {points: 5}, {points: 50}}

// limit is what the server takes in a life. In the last one what is made while
// it drains is within it, as anything of up to 8 KiB has to be, and nothing else
// takes as many requests as a server that fails.
func (w *world) limit(last bool) simLimit {
	switch {
	case w.rng.IntN(2) == 0, last && w.books.server.fails():
		return simLimit{}
	case last:
		return oneOf(w.rng, simLimit{bytes: 2000}, simLimit{points: 20})
	default:
		return oneOf(w.rng, simLimits...)
	}
}

// clearUp makes all well.
func (w *world) clearUp() {
	w.disk.fault, w.disk.p = diskSound, 0
	w.net.fault, w.net.p = netSound, 0
	w.skew = 0
}

func (w *world) changeWeather() {
	w.disk.fault, w.disk.p = oneOf(w.rng, w.faults...), oneOf(w.rng, 0, 0, 0.1, 0.5, 1)
	w.net.fault = oneOf(w.rng, netRefused, netTimeout, netSlow, netTwice, netTooMany, netUnavailable, netUnauthorized, netPortal, netUnsupported)
	if w.slanders && w.rng.IntN(2) == 0 {
		w.net.fault = oneOf(w.rng, slanders...)
	}
	w.net.p = oneOf(w.rng, 0, 0.3, 0.9, 1)
	w.net.limit = oneOf(w.rng, simLimits...)
	w.net.after = oneOf[time.Duration](w.rng, 0, 1, 20, 1e6) * time.Second
	w.net.renewed = w.rng.IntN(3) == 0
	w.skew = oneOf(w.rng, 0, 0, w.skew, -time.Hour, time.Hour)
	w.books.log("disk %s (%.1f), network %s (%.1f), clock %v", w.disk.fault, w.disk.p, w.net.fault, w.net.p, w.skew)
}
