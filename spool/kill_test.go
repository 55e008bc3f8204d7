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
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/spool"
)

var kills = flag.Int("kills", 200, "how many processes TestKill kills")

// TestKill kills a process that uses a spool, again and again, with SIGKILL,
// and then compares what the directory holds with what the process said: each
// record that it appended waits, with its last note, was acked, or is counted as
// evicted; and each letter is of a record that does not wait.
func TestKill(t *testing.T) {
	t.Parallel()
	modes := []spool.Fsync{spool.FsyncInterval, spool.FsyncAlways, spool.FsyncNever}
	for i, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			k := &killed{
				t: t, dir: t.TempDir(), mode: mode, waiting: map[uint64]string{}, next: 1,
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

	waiting map[uint64]string // and their notes
	next    uint64            // seq that no process has used
	stats   spool.Stats
	lost    int64 // points of the owner's own
	resent  int
}

// heard is what one process said before it died. Of what it began but did not
// report, anything may be true.
type heard struct {
	appended, acked map[uint64]bool
	notes           map[uint64]string
	lost, refused   int64
	// What the last Sync made durable.
	lostSynced, refusedSynced int64
	letter, letterSynced      uint64 // the last record of which there is a letter

	appending, acking, noting uint64
	note                      string // that of noting
	losing, refusing          int64
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
	k.judgeLetters(said, copied)
	must(k.t, s.Close(background))
	must(k.t, os.RemoveAll(copied))
}

// judgeLetters looks for the last letter that a Sync wrote, and for one of a
// record that waits.
func (k *killed) judgeLetters(h heard, dir string) {
	k.t.Helper()
	letters, err := spool.LetterEntries(dir)
	must(k.t, err)
	found := h.letterSynced == 0
	for _, l := range letters {
		if _, waits := k.waiting[l.Of.Seq]; waits {
			k.t.Errorf("record %d waits, and has a letter", l.Of.Seq)
		}
		found = found || l.Of.Seq == h.letterSynced
	}
	if !found {
		k.t.Fatalf("record %d, set aside before the last Sync, has no letter", h.letterSynced)
	}
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
	h := heard{appended: map[uint64]bool{}, acked: map[uint64]bool{}, notes: map[uint64]string{}}
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
		h.acking, h.noting = 0, 0
	case "note":
		h.noting, h.note = n>>8, noteOf(n)
	case "noted":
		h.notes[h.noting], h.noting = h.note, 0
	case "letter":
		h.letter = n
	case "lose":
		h.losing = int64(n)
	case "lost":
		h.lost, h.losing = h.lost+int64(n), 0
	case "refuse":
		h.refusing = int64(n)
	case "refused":
		h.refused, h.refusing = h.refused+int64(n), 0
	case "synced":
		h.lostSynced, h.refusedSynced, h.letterSynced = h.lost, h.refused, h.letter
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
	found := map[uint64]string{}
	s.WaitingNotes(func(seq uint64, note []byte) {
		if _, twice := found[seq]; twice {
			k.t.Errorf("record %d waits twice", seq)
		}
		found[seq] = string(note)
	})
	for seq := range h.appended {
		k.waiting[seq] = ""
		appended += items(seq)
	}
	for seq, note := range h.notes {
		k.waiting[seq] = note
	}
	delivered, dead, back := k.settle(h, found)
	for seq := range k.waiting {
		if _, waits := found[seq]; !waits && seq != h.acking {
			missing += items(seq)
		}
	}
	k.recognize(h, found)
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
	refused := h.refused + h.refusing - h.refusedSynced // may be forgotten
	within("appended", st.Appended-k.stats.Appended, appended+h.refusedSynced, items(h.appending)+refused)
	within("delivered", st.Delivered-k.stats.Delivered, delivered, items(h.acking))
	within("dead", st.Dead-k.stats.Dead, dead+h.refusedSynced, items(h.acking)+refused)
	within("evicted", st.Evicted-k.stats.Evicted, missing, items(h.acking))
	within("corrupt", st.Corrupt-k.stats.Corrupt, 0, items(h.appending))
	var lost int64
	for _, l := range s.Losses() {
		if l.Reason == "queue_full" {
			lost = l.Points
		}
	}
	within("lost by the owner", lost-k.lost, h.lostSynced, h.lost+h.losing-h.lostSynced)
	if k.t.Failed() {
		k.t.FailNow()
	}
	k.waiting, k.stats, k.lost, k.resent = found, st, lost, k.resent+back
	k.next = max(k.next, h.appending+1)
	for seq := range h.appended {
		k.next = max(k.next, seq+1)
	}
}

// settle takes what the process acknowledged from what waits, and counts what
// came back.
func (k *killed) settle(h heard, found map[uint64]string) (delivered, dead int64, back int) {
	for seq := range h.acked {
		if _, waits := found[seq]; waits {
			back++
			continue
		}
		delivered += items(seq) - deadOf(seq)
		dead += deadOf(seq)
		delete(k.waiting, seq)
	}
	return delivered, dead, back
}

// recognize checks that what waits was appended, and has the last note.
func (k *killed) recognize(h heard, found map[uint64]string) {
	k.t.Helper()
	for seq, note := range found {
		said, appended := k.waiting[seq]
		if !appended && seq != h.appending {
			k.t.Errorf("record %d waits, but nobody appended it", seq)
		}
		if note != said && (seq != h.noting || note != h.note) {
			k.t.Errorf("record %d has note %x, want %x", seq, note, said)
		}
	}
}

// drain reads everything that the last process left.
func (k *killed) drain() {
	k.t.Helper()
	s := openSpool(k.t, spool.Config{Dir: k.dir})
	for {
		r, err := s.Oldest(0, nil)
		if errors.Is(err, spool.ErrEmpty) {
			break
		}
		must(k.t, err)
		must(k.t, checkKillRecord(r))
		if _, waits := k.waiting[r.Seq]; !waits {
			k.t.Errorf("record %d came, but does not wait", r.Seq)
		}
		delete(k.waiting, r.Seq)
		s.Ack(r.ID, 0)
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

// deadOf is how many points of a record are refused.
func deadOf(seq uint64) int64 {
	if seq%3 == 0 {
		return 0
	}
	return items(seq) / int64(seq%3)
}

// noteOf is the note that a line of a child speaks of.
func noteOf(n uint64) string { return strings.Repeat(string(rune('a'+n%16)), int(n&0xff)) }

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
