package spool

import (
	"cmp"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	crashImages = flag.Uint64("images", 20_000, "crash images that TestCrash looks at")
	crashSeed   = flag.Uint64("crash.seed", 0, "the one seed that TestCrash replays, with every operation")
)

// generations is how many processes use one disk, each with a crash at its end.
const generations = 4

// TestCrash has processes use a spool on a memFS, each for some operations and
// until a crash: kill or power cut, at any operation of the file system. An
// oracle checks the spool after every operation, and the disk after every
// crash; see observe and judge for what it checks. Everything follows from the
// seed but the salts of segments, on which nothing depends.
func TestCrash(t *testing.T) {
	if *crashSeed != 0 {
		runSeed(t, *crashSeed, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
		return
	}
	var seed atomic.Uint64
	for worker := range 2 {
		t.Run(fmt.Sprint("worker ", worker), func(t *testing.T) {
			t.Parallel()
			for !t.Failed() {
				n := seed.Add(1)
				if n > (*crashImages+generations-1)/generations {
					return
				}
				runSeed(t, n, func(string, ...any) {})
			}
		})
	}
}

// runSeed runs one seed in a bubble, so that hours pass in no time.
func runSeed(t *testing.T, seed uint64, log func(string, ...any)) {
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(seed, log)
		defer func() {
			if r := recover(); r != nil {
				t.Fatalf("%s: panic: %v\n%s", p, r, debug.Stack())
			}
		}()
		for p.generation = range generations {
			if err := p.live(); err != nil {
				t.Fatalf("%s: oracle: %v", p, err)
			}
			if err := p.die(); err != nil {
				t.Fatalf("%s: oracle: %v", p, err)
			}
		}
	})
}

// process is one process after the other on one disk.
type process struct {
	seed       uint64
	generation int
	how        crash
	log        func(string, ...any)

	rng    *rand.Rand
	cfg    Config
	disk   *memFS
	s      *Spool
	o      *oracle
	seq    uint64
	drafts int     // records of the draft
	born   uint64  // first segment of this process
	up     bool    // the spool was mounted when last looked at
	wild   float64 // how likely an operation fails when it may

	early  int64 // points told to Refuse before the spool was mounted
	parsed map[*inode]parsedLetter
	// Letters by name: those that this process has seen, and those that are durable.
	there, written map[string]bool
}

func newProcess(seed uint64, log func(string, ...any)) *process {
	rng := rand.New(rand.NewPCG(seed, 1))
	return &process{
		seed: seed, log: log, rng: rng, disk: newMemFS(rng), o: newOracle(), parsed: map[*inode]parsedLetter{}, written: map[string]bool{},
		cfg: Config{
			MaxBytes: 8<<10 + rng.Int64N(56<<10), MaxAge: time.Hour, MinFree: 1 << 20,
			Fsync: []Fsync{FsyncInterval, FsyncAlways, FsyncNever, FsyncInterval, FsyncAlways}[rng.IntN(5)],
		},
		wild: []float64{0, 0, 0.01, 0.05, 0.2}[rng.IntN(5)],
	}
}

func (p *process) String() string {
	return fmt.Sprintf("seed %d, generation %d, %s, crash %+v at operation %d of the disk (go test ./spool -run 'TestCrash$' -crash.seed %d)",
		p.seed, p.generation, p.cfg.Fsync, p.how, p.disk.ops, p.seed)
}

// live opens the spool and uses it until a crash or the end of the work.
func (p *process) live() error {
	p.disk.revive(1+p.rng.IntN([]int{20, 200, 1000}[p.rng.IntN(3)]), p.wild)
	p.found()
	p.how, p.up, p.early, p.drafts = crash{syncs: p.disk.syncFaults}, false, 0, 0
	p.s = open(p.cfg, p.disk)
	if err := p.check("open", effect{}); err != nil {
		return err
	}
	for n := 10 + p.rng.IntN(100); n > 0 && !p.disk.dead; n-- {
		name, do := p.choose()
		if err := p.check(name, do()); err != nil {
			return err
		}
	}
	if !p.disk.dead && p.rng.IntN(3) == 0 {
		return p.shut()
	}
	return nil
}

// check asks the oracle about an operation. Before the spool has read the
// whole disk there is nothing to ask.
func (p *process) check(name string, did effect) error {
	p.log("%d.%d %s %v, cause %v", p.generation, p.disk.ops, name, did, p.s.cause)
	if p.s.draft == nil && p.drafts > 0 {
		p.endDraft() // the spool gave it up: it has no promise after an fsync failed, or for want of room
	}
	if !p.s.mounted || !p.up && p.disk.dead {
		if p.disk.dead {
			p.o.doubt(p.disk.syncFaults == p.how.syncs)
		}
		p.early += did.direct
		return nil
	}
	if !p.up {
		p.up, p.born = true, p.s.next
		p.o.trust(p.s, p.disk.syncFaults == p.how.syncs)
		did.direct += p.early
	}
	if err := p.o.observe(p.s, did, p.born); err != nil {
		return err
	}
	return p.settleLetters()
}

// choose draws what to do next.
func (p *process) choose() (string, func() effect) {
	n := p.rng.IntN(100)
	if p.s.cause != nil && p.rng.IntN(4) == 0 {
		return "probe", p.probe // or little would happen on a disk that fails
	}
	switch {
	case n < 12:
		return "draft", p.draft
	case n < 15:
		return "discard", p.discard
	case n < 45:
		return "append", p.append
	case n < 58:
		return "drain", p.drain
	case n < 68:
		return "ack", p.ackAny
	case n < 73:
		return "note", p.note
	case n < 78:
		return "tick", p.tick
	case n < 83:
		return "sync", p.sync
	case n < 86:
		return "lose", p.lose
	case n < 88:
		return "make room", func() effect { _ = p.s.MakeRoom(); return effect{} }
	case n < 90:
		return "set aside", p.setAsideFirst
	case n < 92:
		return "refuse", p.refuse
	case n < 93:
		return "replay", p.replay
	case n < 96:
		return "probe", p.probe
	case n < 97:
		return "grow old", p.growOld
	default:
		return "weather", p.weather
	}
}

func (p *process) append() effect {
	p.seq++
	of := &offer{Record: p.record()}
	of.say(of.Note)
	p.o.offered[of.ID] = of
	faults := p.disk.syncFaults
	err := p.s.Append(of.Record)
	of.unsure = p.disk.dead
	if err == nil || of.unsure || p.disk.syncFaults > faults { // it may be there
		p.o.supersede()
	}
	if err != nil {
		return effect{refused: of}
	}
	return effect{appended: of}
}

// record makes a record. Some hold one of another segment, as a host's data
// might, and some end where a sector ends.
func (p *process) record() Record {
	size := p.rng.IntN([]int{20, 400, 1500, 4000}[p.rng.IntN(4)])
	if p.rng.IntN(8) == 0 {
		size = max(0, size/sectorBytes*sectorBytes-headerBytes)
	}
	b := make([]byte, size)
	for i := 0; i+8 <= size; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], p.rng.Uint64())
	}
	if p.rng.IntN(4) == 0 {
		inner := header{kind: typeData, salt: p.rng.Uint32(), ID: named(9, p.seq), items: 1, before: 1 << 40}
		for at := p.rng.IntN(100); at+headerBytes <= size; at += headerBytes {
			inner.encode(b[at:])
		}
	}
	now := time.Now()
	if p.rng.IntN(4) == 0 {
		now = now.AddDate(10, 0, 0) // never expires
	}
	return Record{ID: named(100+uint64(p.generation), p.seq), Items: 1 + p.rng.Int64N(300), TimeMS: now.UnixMilli(), Payload: b, Note: p.someNote()}
}

func (p *process) drain() effect {
	r, err := p.s.Oldest(0, nil)
	if err != nil {
		return effect{}
	}
	of := p.o.waiting[r.ID]
	if of == nil {
		return effect{wrong: fmt.Errorf("record %v comes back", r.ID)}
	}
	return p.ack(of, sameRecord(r, of.Record))
}

// ack settles a record; of some, points are refused, and have a letter.
func (p *process) ack(of *offer, wrong error) effect {
	did := effect{wrong: wrong}
	var dead int64
	if p.rng.IntN(3) == 0 {
		dead = p.rng.Int64N(of.Items + 1)
	}
	if !p.s.Ack(of.ID, dead) {
		return did
	}
	if dead > 0 && p.rng.IntN(4) > 0 {
		p.setAside(of.ID, dead, 0)
	}
	did.delivered, did.dead = of.Items-dead, dead
	return did
}

func (p *process) ackAny() effect {
	if of := p.pick(); of != nil {
		return p.ack(of, nil)
	}
	return effect{}
}

// pick draws a record that waits, nil if none does.
func (p *process) pick() *offer {
	if len(p.o.waiting) == 0 {
		return nil
	}
	ids := slices.SortedFunc(maps.Keys(p.o.waiting), func(a, b ID) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Epoch, b.Epoch)) })
	return p.o.waiting[ids[p.rng.IntN(len(ids))]]
}

func (p *process) tick() effect {
	time.Sleep(syncEvery)
	p.s.tick()
	return effect{}
}

func (p *process) sync() effect { return effect{synced: p.s.Sync(background) == nil} }

func (p *process) lose() effect {
	p.s.Lose([]string{"queue_full", "rejected"}[p.rng.IntN(2)], 1+p.rng.Int64N(9))
	return effect{}
}

func (p *process) probe() effect {
	time.Sleep(probeMax)
	return p.tick()
}

func (p *process) growOld() effect {
	time.Sleep(time.Duration(p.rng.Int64N(int64(2 * p.cfg.MaxAge))))
	return p.tick()
}

// weather changes how likely operations fail, on disks on which they may.
func (p *process) weather() effect {
	p.disk.rate = p.wild * []float64{0, 0.2, 1, 4}[p.rng.IntN(4)]
	return effect{}
}

// shut stops the spool in order.
func (p *process) shut() error {
	faults := p.disk.syncFaults
	err := p.s.Close(background)
	if p.disk.syncFaults > faults {
		p.endDraft() // Close may have given it up
	}
	p.log("%d.%d close: %v", p.generation, p.disk.ops, err)
	p.o.closed(p.s, err, p.up)
	if !p.up { // Close may have mounted it
		p.o.now.Appended, p.o.now.Dead, p.o.unsaved = p.o.now.Appended+p.early, p.o.now.Dead+p.early, p.o.unsaved+p.early
	}
	return p.settleLetters()
}

// die ends the process, or the machine, and has the oracle judge what is left.
func (p *process) die() error {
	p.how = crash{
		power: p.rng.IntN(2) == 0, cuts: p.disk.failedCuts, syncs: p.disk.syncFaults,
		lost: p.o.bad && p.disk.syncFaults > p.how.syncs, marked: p.wild == 0,
	}
	p.log("%d.%d crash %+v", p.generation, p.disk.ops, p.how)
	if p.how.power {
		p.disk.cutPower()
	}
	if err := p.judgeLetters(p.disk.clone()); err != nil {
		return err
	}
	return p.o.judge(p.cfg, p.disk.clone(), p.how)
}
