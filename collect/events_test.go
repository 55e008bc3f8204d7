package collect_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/rs/zerolog"
)

// eventful is a simulated host on which things happen, with a record of the
// work it did.
type eventful struct {
	rnd   *rand.Rand
	cpus  []*simCPU
	nics  []*simDevice
	disks []*simDevice
	names int
	did   map[string]float64 // by metric: the sum over all devices
}

// simCPU is a CPU's time in ticks.
type simCPU struct {
	user, idle, wait int64
	offline          bool
}

// simDevice is a simulated disk or interface.
type simDevice struct {
	name   string
	count  uint64 // its own counter
	narrow bool   // the counter has 32 bits
	gone   bool
	before string // a former name, which it may get back
}

func newEventful(seed uint64) *eventful {
	h := &eventful{rnd: rand.New(rand.NewPCG(seed, 1)), did: map[string]float64{}}
	for range 4 {
		h.cpus = append(h.cpus, &simCPU{user: h.rnd.Int64N(1e9), idle: h.rnd.Int64N(1e9), wait: h.rnd.Int64N(1e6)})
	}
	for i := range 3 {
		h.nics = append(h.nics, &simDevice{name: fmt.Sprintf("eth%d", i), count: h.rnd.Uint64N(1e15), narrow: i == 0})
		h.disks = append(h.disks, &simDevice{name: fmt.Sprintf("sd%c", 'a'+i), count: h.rnd.Uint64N(1e12) + 1, narrow: i == 0})
	}
	h.names = 3
	return h
}

// run simulates five seconds of work.
func (h *eventful) run() {
	for _, c := range h.cpus {
		if c.offline {
			continue
		}
		busy, waits := h.rnd.Int64N(400), h.rnd.Int64N(100)
		c.user, c.wait, c.idle = c.user+busy, c.wait+waits, c.idle+500-busy-waits
		h.did["user"] += float64(busy) / 100
		h.did["wait"] += float64(waits) / 100
		h.did["idle"] += float64(500-busy-waits) / 100
	}
	for kind, list := range map[string][]*simDevice{"nic": h.nics, "disk": h.disks} {
		for _, d := range list {
			if n := h.rnd.Uint64N(1 << 24); !d.gone {
				d.count += n
				h.did[kind] += float64(n)
			}
		}
	}
}

// happen simulates a random event.
func (h *eventful) happen() {
	cpu := h.cpus[h.rnd.IntN(len(h.cpus))]
	list := [][]*simDevice{h.nics, h.disks}[h.rnd.IntN(2)]
	d := list[h.rnd.IntN(len(list))]
	switch h.rnd.IntN(9) {
	case 0: // the estimate of a CPU steps back
		cpu.wait -= min(cpu.wait, h.rnd.Int64N(200))
	case 1: // a CPU is removed or added, and may lose its idle time
		cpu.offline = !cpu.offline
		if h.rnd.IntN(2) == 0 {
			cpu.idle, cpu.wait = h.rnd.Int64N(cpu.idle+1), 0
		}
	case 2: // one CPU is removed and another added
		other := h.cpus[h.rnd.IntN(len(h.cpus))]
		cpu.offline, other.offline = other.offline, cpu.offline
	case 3: // a device is replaced, or its driver reloaded
		d.count = 0
	case 4:
		d.gone = !d.gone
	case 5:
		d.gone, d.count = !d.gone, 0
	case 6: // an interface gets a new name
		h.names++
		h.nics[1].before, h.nics[1].name = h.nics[1].name, fmt.Sprintf("lan%d", h.names)
	case 7: // it gets its old name back
		if h.nics[1].before != "" {
			h.nics[1].name = h.nics[1].before
		}
	case 8: // a burst of work, after which a 32-bit counter is about to wrap
		before := list[0].count
		list[0].count |= 1<<32 - 1<<20
		h.did["nic"] += float64(list[0].count - before)
		h.did["disk"] += float64(list[0].count - before)
	}
	if !slices.ContainsFunc(h.cpus, func(c *simCPU) bool { return !c.offline }) {
		h.cpus[0].offline = false
	}
}

// files returns the kernel files of such a host.
func (h *eventful) files() tree {
	files := tree{"proc/1/net/dev": netHeader, "proc/diskstats": "", "sys/block/loop0/size": "1\n"}
	var all simCPU
	var lines, online []string
	for i, c := range h.cpus {
		all.user, all.idle, all.wait = all.user+c.user, all.idle+c.idle, all.wait+c.wait
		if !c.offline {
			lines = append(lines, c.line(fmt.Sprintf("cpu%d", i)))
			online = append(online, fmt.Sprint(i))
		}
	}
	files["proc/stat"] = all.line("cpu ") + strings.Join(lines, "")
	files["sys/devices/system/cpu/online"] = strings.Join(online, ",") + "\n"
	for _, d := range h.nics {
		if !d.gone {
			files["proc/1/net/dev"] += nic(d.name, d.read(), 0)
		}
	}
	for _, d := range h.disks {
		if !d.gone {
			files["proc/diskstats"] += fmt.Sprintf("8 0 %s %d 0 0 0 1 0 0 0 0 0 0\n", d.name, d.read())
			files["sys/block/"+d.name+"/device"] = "-> ../../0:0:0:0"
		}
	}
	return files
}

func (c *simCPU) line(name string) string {
	return fmt.Sprintf("%s %d 0 0 %d %d 0 0 0 0 0\n", name, c.user, c.idle, c.wait)
}

func (d *simDevice) read() uint64 {
	if d.narrow {
		return d.count % (1 << 32)
	}
	return d.count
}

// TestNothingThatHappensLooksLikeWork simulates random events and adds up the
// counters as a server would. The sums must never be negative or exceed the
// work that was done.
func TestNothingThatHappensLooksLikeWork(t *testing.T) {
	for seed := range uint64(30) {
		for _, perCore := range []bool{false, true} {
			testEvents(t, seed, perCore)
		}
	}
}

// bound returns the work that a series counts, or "" if the test does not
// follow it.
func bound(series string) string {
	for prefix, kind := range map[string]string{
		"system.cpu.time{state=user": "user", "system.cpu.time{state=idle": "idle", "system.cpu.time{state=wait": "wait",
		"system.network.io{": "nic", "system.disk.operations{": "disk",
	} {
		if strings.HasPrefix(series, prefix) {
			return kind
		}
	}
	return ""
}

func testEvents(t *testing.T, seed uint64, perCore bool) {
	synctest.Test(t, func(t *testing.T) {
		sim := newEventful(seed)
		h := newHost(t, sim.files())
		cfg := collect.Config{PerCore: perCore, OmitSelf: true}
		var clock time.Duration
		var done []map[string]float64 // by tick
		k := &sink{after: func(int) {
			done = append(done, maps.Clone(sim.did))
			sim.run()
			for range sim.rnd.IntN(3) {
				sim.happen()
			}
			if sim.rnd.IntN(8) == 0 { // the clock is set, or the host resumes
				clock += time.Duration(sim.rnd.Int64N(int64(4*time.Hour))) - 2*time.Hour
			}
			h.write(t, sim.files())
		}}
		s := collect.NewScheduler(cfg, h.collectors(cfg, "cpu", "network", "disk"), k, zerolog.Nop())
		s.SetWall(func() time.Time { return time.Now().Add(clock) })
		began := time.Now()
		const ticks = 25
		check(t, s.Take(h.ctx, ticks, 5*time.Second))
		if took := time.Since(began); took != (ticks-1)*5*time.Second || len(k.ticks) != ticks {
			t.Errorf("seed %d: %d ticks in %v", seed, len(k.ticks), took)
		}
		checkDeltas(t, fmt.Sprintf("seed %d, per core %v", seed, perCore), k.ticks, done)
	})
}

func checkDeltas(t *testing.T, which string, ticks []tick, done []map[string]float64) {
	t.Helper()
	seen := map[string]int{}
	for i, now := range ticks {
		for series, p := range now {
			v := p.value.Float64()
			if strings.HasPrefix(series, "system.cpu.utilization") && (v < 0 || v > 1) {
				t.Errorf("%s, tick %d: %s = %v", which, i, series, v)
			}
			kind := bound(series)
			if kind == "" {
				continue
			}
			before, known := seen[series]
			seen[series] = i
			if !known {
				continue
			}
			delta := v
			if last := ticks[before][series]; last.startMS == p.startMS {
				delta -= last.value.Float64()
			} else if p.startMS >= p.timeMS { // a clock that is set back later cannot undo what was sent
				t.Errorf("%s, tick %d: %s starts at %d, after its time %d", which, i, series, p.startMS, p.timeMS)
			}
			if most := done[i][kind] - done[before][kind]; delta < 0 || delta > most+1e-6 {
				t.Errorf("%s, tick %d: %s rose by %v since tick %d, and no more than %v was done", which, i, series, delta, before, most)
			}
		}
	}
}
