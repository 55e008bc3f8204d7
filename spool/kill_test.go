//go:build unix

package spool_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/spool"
)

var kills = flag.Int("kills", 200, "how many processes TestKill kills")

// TestKill kills a process that uses a spool, again and again, with SIGKILL,
// and then compares what the directory holds with what the process said: each
// record that it appended waits, was acked, lies in dead/, or is counted as
// evicted.
func TestKill(t *testing.T) {
	t.Parallel()
	modes := []spool.Fsync{spool.FsyncInterval, spool.FsyncAlways, spool.FsyncNever}
	for i, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			k := &killed{
				t: t, dir: t.TempDir(), mode: mode, waiting: map[uint64]bool{}, next: 1,
				rng: rand.New(rand.NewPCG(uint64(i), 4711)),
			}
			for range *kills/len(modes) + 1 {
				k.round()
			}
			k.drain()
			t.Logf("%d points appended, %d delivered, %d dead, %d evicted, %d lost by the owner; %d records came back after their ack",
				k.stats.Appended, k.stats.Delivered, k.stats.Dead, k.stats.Evicted, k.lost, k.resent)
		})
	}
}

// killed is a directory, and what it must hold.
type killed struct {
	t    *testing.T
	dir  string
	mode spool.Fsync
	rng  *rand.Rand

	waiting map[uint64]bool
	next    uint64 // seq that no process has used
	stats   spool.Stats
	lost    int64 // points of the owner's own
	resent  int
}

// heard is what one process said before it died. Of what it began but did not
// report, anything may be true.
type heard struct {
	appended, acked, dead map[uint64]bool
	lost, synced          int64
	lastDead              uint64

	appending, acking, burying uint64
	losing                     int64
}

// round starts a process, kills it somewhere, and looks at what is left. It
// looks at a copy, so that the next process finds what the kill left.
func (k *killed) round() {
	k.t.Helper()
	said := k.run(k.rng.IntN(300))
	copied := k.t.TempDir()
	must(k.t, os.CopyFS(copied, os.DirFS(k.dir)))
	segments, err := filepath.Glob(filepath.Join(copied, "*.seg"))
	must(k.t, err)
	s := openSpool(k.t, spool.Config{Dir: copied})
	k.compare(said, s, len(segments))
	if letters, err := filepath.Glob(filepath.Join(copied, "dead", fmt.Sprintf("*-%016x.dead", said.lastDead))); said.lastDead != 0 && said.burying == 0 {
		must(k.t, err)
		if len(letters) != 1 {
			k.t.Fatalf("record %d, set aside last, has no letter", said.lastDead)
		}
	}
	must(k.t, s.Close(background))
	must(k.t, os.RemoveAll(copied))
}

// run starts a process and kills it after that many lines.
func (k *killed) run(lines int) heard {
	k.t.Helper()
	exe, err := os.Executable()
	must(k.t, err)
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d %d %s", childEnv,
		k.mode, (1+k.rng.Int64N(3))<<20, k.next, k.rng.Uint64(), k.dir))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(k.t, err)
	must(k.t, cmd.Start())
	h := heard{appended: map[uint64]bool{}, acked: map[uint64]bool{}, dead: map[uint64]bool{}}
	in := bufio.NewScanner(out)
	// Half of them die in a sync, or just after: there the order of writes counts.
	inSync, alive := k.rng.IntN(2) == 0, true
	for n := 0; in.Scan(); n++ {
		if !h.hear(in.Text()) {
			k.t.Fatalf("the process says %q", in.Text())
		}
		if alive && n >= lines && (!inSync || in.Text() == "sync 0") {
			alive = false
			time.Sleep(time.Duration(k.rng.IntN(2000)) * time.Microsecond)
			must(k.t, cmd.Process.Kill())
		}
	}
	_ = cmd.Wait()
	if status := cmd.ProcessState.String(); status != "signal: killed" || ctx.Err() != nil {
		k.t.Fatalf("the process ended by itself or not at all: %s", status)
	}
	return h
}

func (h *heard) hear(line string) bool {
	var what string
	var n uint64
	if _, err := fmt.Sscan(line, &what, &n); err != nil {
		return false
	}
	switch what {
	case "open", "sync":
	case "append":
		h.appending = n
	case "appended":
		h.appended[n], h.appending = true, 0
	case "ack":
		h.acking = n
	case "acked":
		h.acked[n], h.acking = true, 0
	case "gone":
		h.acking = 0
	case "bury":
		h.burying = n
	case "dead":
		h.dead[n], h.lastDead, h.burying = true, n, 0
	case "lose":
		h.losing = int64(n)
	case "lost":
		h.lost, h.losing = h.lost+int64(n), 0
	case "synced":
		h.synced = h.lost
	default:
		return false
	}
	return true
}

// compare holds what the process said against what opening the directory
// finds, and makes the latter what the next process starts from.
func (k *killed) compare(h heard, s *spool.Spool, segments int) {
	k.t.Helper()
	st := balanced(k.t, s)
	var missing, appended int64
	found := map[uint64]bool{}
	for _, seq := range s.Waiting() {
		if found[seq] {
			k.t.Errorf("record %d waits twice", seq)
		}
		found[seq] = true
	}
	for seq := range h.appended {
		k.waiting[seq] = true
		appended += items(seq)
	}
	back := 0
	settled := func(seqs map[uint64]bool) (points int64) {
		for seq := range seqs {
			if found[seq] {
				back++
				continue
			}
			delete(k.waiting, seq)
			points += items(seq)
		}
		return points
	}
	delivered, dead := settled(h.acked), settled(h.dead)
	for seq := range k.waiting {
		if !found[seq] && seq != h.acking && seq != h.burying {
			missing += items(seq)
		}
	}
	for seq := range found {
		if !k.waiting[seq] && seq != h.appending {
			k.t.Errorf("record %d waits, but nobody appended it", seq)
		}
	}
	// The last fate in a segment is told to the disk by its removal, which comes
	// later: a re-send.
	if back > segments {
		k.t.Errorf("%d records came back after their ack, from %d segments", back, segments)
	}
	within := func(what string, got, least, unsure int64) {
		k.t.Helper()
		if got < least || got > least+unsure {
			k.t.Errorf("%s: %d points counted, want %d and at most %d more: %+v", what, got, least, unsure, st)
		}
	}
	within("appended", st.Appended-k.stats.Appended, appended, items(h.appending))
	within("delivered", st.Delivered-k.stats.Delivered, delivered, items(h.acking))
	within("dead", st.Dead-k.stats.Dead, dead, items(h.burying))
	within("evicted", st.Evicted-k.stats.Evicted, missing, items(h.acking)+items(h.burying))
	within("corrupt", st.Corrupt-k.stats.Corrupt, 0, items(h.appending))
	var lost int64
	for _, l := range s.Losses() {
		if l.Reason == "queue_full" {
			lost = l.Points
		}
	}
	within("lost by the owner", lost-k.lost, h.synced, h.lost+h.losing-h.synced)
	if k.t.Failed() {
		k.t.FailNow()
	}
	k.waiting, k.stats, k.lost, k.resent = found, st, lost, k.resent+back
	k.next = max(k.next, h.appending+1)
	for seq := range h.appended {
		k.next = max(k.next, seq+1)
	}
}

// drain reads everything that the last process left.
func (k *killed) drain() {
	k.t.Helper()
	s := openSpool(k.t, spool.Config{Dir: k.dir})
	for {
		r, err := s.Oldest()
		if errors.Is(err, spool.ErrEmpty) {
			break
		}
		must(k.t, err)
		must(k.t, checkKillRecord(r))
		if !k.waiting[r.Seq] {
			k.t.Errorf("record %d came, but does not wait", r.Seq)
		}
		delete(k.waiting, r.Seq)
		s.Ack(r.ID)
	}
	if len(k.waiting) != 0 {
		k.t.Errorf("%d records that waited did not come", len(k.waiting))
	}
	k.stats = balanced(k.t, s)
	must(k.t, s.Close(background))
}

func items(seq uint64) int64 {
	if seq == 0 {
		return 0 // no such record
	}
	return int64(seq%97) + 1
}

// killRecord is record seq: most are small, one in 64 has a segment to itself.
func killRecord(seq uint64) spool.Record {
	rng := rand.New(rand.NewPCG(seq, seq))
	size := 8 + rng.IntN(4000)
	switch rng.IntN(64) {
	case 0:
		size = 300_000
	case 1, 2, 3, 4:
		size *= 10
	}
	r := record(seq, size)
	r.Items = items(seq)
	return r
}

func checkKillRecord(r spool.Record) error {
	if want := killRecord(r.Seq); r.Items != want.Items || !bytes.Equal(r.Payload, want.Payload) {
		return fmt.Errorf("record %d is not what was appended", r.Seq)
	}
	return nil
}

// churn is the process that is killed: it appends, acks, loses and syncs at
// random, and says so on stdout before and after.
func churn(args string) {
	var mode spool.Fsync
	var name, dir string
	var maxBytes int64
	var seq, seed uint64
	if _, err := fmt.Sscan(args, &name, &maxBytes, &seq, &seed, &dir); err != nil {
		panic(err)
	}
	if err := mode.UnmarshalText([]byte(name)); err != nil {
		panic(err)
	}
	c := &churner{rng: rand.New(rand.NewPCG(seed, seed)), seq: seq}
	c.say("open", 0)
	c.s = spool.Open(spool.Config{Dir: dir, MaxBytes: maxBytes, Fsync: mode})
	go func() { _ = c.s.Run(background) }()
	for {
		if err := c.step(); err != nil {
			panic(err)
		}
	}
}

type churner struct {
	s    *spool.Spool
	rng  *rand.Rand
	seq  uint64
	mine []uint64 // appended by this process, not acked
}

func (c *churner) step() error {
	switch n := c.rng.IntN(32); {
	case n < 16:
		c.say("append", c.seq)
		if err := c.s.Append(killRecord(c.seq)); err != nil {
			return err
		}
		c.say("appended", c.seq)
		c.mine = append(c.mine, c.seq)
		c.seq++
	case n < 21 && len(c.mine) > 0:
		i := c.rng.IntN(len(c.mine))
		c.ack(c.mine[i])
		c.mine[i] = c.mine[len(c.mine)-1]
		c.mine = c.mine[:len(c.mine)-1]
	case n < 29:
		r, err := c.s.Oldest()
		if errors.Is(err, spool.ErrEmpty) {
			return nil
		}
		if err := errors.Join(err, checkKillRecord(r)); err != nil {
			return err
		}
		if n > 27 {
			return c.bury(r)
		}
		c.ack(r.Seq)
	case n < 31:
		points := 1 + c.rng.Int64N(1000)
		c.say("lose", uint64(points))
		c.s.Lose("queue_full", points)
		c.say("lost", uint64(points))
	default:
		c.say("sync", 0)
		if err := c.s.Sync(background); err != nil {
			return err
		}
		c.say("synced", 0)
	}
	return nil
}

func (c *churner) ack(seq uint64) {
	c.say("ack", seq)
	if c.s.Ack(record(seq, 0).ID) {
		c.say("acked", seq)
	} else {
		c.say("gone", seq)
	}
}

func (c *churner) bury(r spool.Record) error {
	c.say("bury", r.Seq)
	if err := c.s.SetAside(r.ID, "killed"); err != nil {
		return err
	}
	c.say("dead", r.Seq)
	return nil
}

// say writes a line at once: what is in the pipe outlives the process.
func (*churner) say(what string, n uint64) {
	_, _ = io.WriteString(os.Stdout, fmt.Sprintf("%s %d\n", what, n))
}
