//go:build unix

package spool_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
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
// record that it appended, and each part of one, waits, was acked, lies in dead/,
// or is counted as evicted.
func TestKill(t *testing.T) {
	t.Parallel()
	modes := []spool.Fsync{spool.FsyncInterval, spool.FsyncAlways, spool.FsyncNever}
	for i, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			k := &killed{
				t: t, dir: t.TempDir(), mode: mode, waiting: map[uint64][]spool.PartFate{}, next: 1,
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

	waiting map[uint64][]spool.PartFate // what became of their points
	next    uint64                      // seq that no process has used
	stats   spool.Stats
	lost    int64    // points of the owner's own
	maimed  partSaid // the last part that was set aside, if nothing was since
	resent  int
}

// heard is what one process said before it died. Of what it began but did not
// report, anything may be true.
type heard struct {
	appended, acked, dead map[uint64]bool
	parts                 []partSaid
	lost, synced          int64
	lastDead              uint64

	appending, acking, burying uint64
	parting, lastMaimed        partSaid
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
	k.findLetter(copied)
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
		h.acking, h.parting = 0, partSaid{}
	case "bury":
		h.burying, h.lastMaimed = n, partSaid{}
	case "dead":
		h.dead[n], h.lastDead, h.burying = true, n, 0
	case "mark", "maim":
		h.parting = newPartSaid(what == "maim", n)
		if what == "maim" {
			h.lastDead, h.lastMaimed = 0, partSaid{} // the cap may take their letters
		}
	case "marked":
		if h.parting.Fate == spool.PartDead {
			h.lastMaimed = h.parting
		}
		h.parts, h.parting = append(h.parts, h.parting), partSaid{}
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
	found := map[uint64][]spool.PartFate{}
	s.WaitingParts(func(seq uint64, points []spool.PartFate) {
		if found[seq] != nil {
			k.t.Errorf("record %d waits twice", seq)
		}
		found[seq] = points
	})
	for seq := range h.appended {
		k.waiting[seq] = make([]spool.PartFate, items(seq))
		appended += items(seq)
	}
	partsDelivered, partsDead := k.apply(h, found)
	back := 0
	settled := func(seqs map[uint64]bool) (points int64) {
		for seq := range seqs {
			if found[seq] != nil {
				back++
				continue
			}
			points += left(k.waiting[seq])
			delete(k.waiting, seq)
		}
		return points
	}
	delivered, dead := settled(h.acked), settled(h.dead)
	for seq, points := range k.waiting {
		if found[seq] == nil && seq != h.acking && seq != h.burying && seq != h.parting.seq {
			missing += left(points)
		}
	}
	for seq := range found {
		if k.waiting[seq] == nil && seq != h.appending {
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
	within("delivered", st.Delivered-k.stats.Delivered, delivered+partsDelivered, items(h.acking)+items(h.parting.seq))
	within("dead", st.Dead-k.stats.Dead, dead+partsDead, items(h.burying)+items(h.parting.seq))
	within("evicted", st.Evicted-k.stats.Evicted, missing, items(h.acking)+items(h.burying)+items(h.parting.seq))
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
		if k.waiting[r.Seq] == nil {
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
