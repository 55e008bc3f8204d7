package spool_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// childDir, if set, makes this binary the process that TestKill kills.
const childDir = "HEKA_SPOOL_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}

// TestKill kills a process that appends, with SIGKILL, twenty times. What it
// said it had appended must be there; what it said it had acked before the
// record after was appended must not come back.
func TestKill(t *testing.T) {
	exe, err := os.Executable()
	must(t, err)
	for _, mode := range []spool.Fsync{spool.FsyncInterval, spool.FsyncAlways, spool.FsyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			waiting, maybe := map[uint64]bool{}, map[uint64]bool{}
			var seq uint64
			var died int
			for round := range 20 {
				cmd := exec.CommandContext(background, exe)
				cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", childDir, mode, seq, round)+" "+dir)
				out, err := cmd.StdoutPipe()
				must(t, err)
				must(t, cmd.Start())
				lines := bufio.NewScanner(out)
				for n := 0; lines.Scan(); n++ {
					var what string
					var which uint64
					if _, err := fmt.Sscan(lines.Text(), &what, &which); err != nil {
						break // cut short by the kill
					}
					switch what {
					case "appended":
						waiting[which] = true
						seq = which + 1
					case "acking":
						delete(waiting, which)
						maybe[which] = true
					case "acked":
						delete(maybe, which)
					default:
						t.Fatalf("child says %q", lines.Text())
					}
					if n == 100+17*round {
						must(t, cmd.Process.Kill())
					}
				}
				_ = cmd.Wait()
				seq += 10 // the child may have got further than it could say
				died++

				s := openSpool(t, spool.Config{Dir: dir})
				st := balanced(t, s)
				if st.Evicted+st.Expired != 0 || st.Corrupt > int64(died)*10 {
					t.Fatalf("round %d: %+v", round, st)
				}
				must(t, s.Close(background))
			}
			s := openSpool(t, spool.Config{Dir: dir})
			got := map[uint64]bool{}
			for _, seq := range drain(t, s) {
				got[seq] = true
			}
			for seq := range waiting {
				if !got[seq] {
					t.Errorf("record %d was appended and is lost", seq)
				}
			}
			// What was not reported: one append a kill.
			var extra int
			for seq := range got {
				if !waiting[seq] && !maybe[seq] {
					extra++
				}
			}
			if extra > died {
				t.Errorf("%d records came back after their ack", extra)
			}
		})
	}
}

// child appends and acks for ever and says so on stdout.
func child(args string) {
	var mode spool.Fsync
	var name, dir string
	var seq, round uint64
	if _, err := fmt.Sscan(args, &name, &seq, &round, &dir); err != nil {
		panic(err)
	}
	if err := mode.UnmarshalText([]byte(name)); err != nil {
		panic(err)
	}
	s := spool.Open(spool.Config{Dir: dir, MaxBytes: 64 << 20, Fsync: mode})
	go func() { _ = s.Run(background) }()
	for ; ; seq++ {
		if err := s.Append(record(seq, 3000)); err != nil {
			panic(err)
		}
		_, _ = io.WriteString(os.Stdout, fmt.Sprintf("appended %d\n", seq))
		if seq%3 == 0 {
			_, _ = io.WriteString(os.Stdout, fmt.Sprintf("acking %d\n", seq))
			s.Ack(3, seq)
			_, _ = io.WriteString(os.Stdout, fmt.Sprintf("acked %d\n", seq))
		}
	}
}
