//go:build unix

package spool_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// childEnv, if set, makes this binary a process that a test watches: one that
// obeys, or, with any other value, the one that TestKill kills.
const (
	childEnv = "HEKA_SPOOL_TEST_CHILD"
	obeying  = "obey"
)

func TestMain(m *testing.M) {
	switch arg := os.Getenv(childEnv); arg {
	case "":
		os.Exit(m.Run())
	case obeying:
		obey(os.Stdin, os.Stdout)
	default:
		churn(arg)
	}
}

// request is what a test wants of its child, one line of JSON.
type request struct {
	Do string // a case of (*host).do

	Script     string        // sh
	UID        int           // setuid
	Dir, Fsync string        // open
	MaxBytes   int64         // open
	MaxAge     time.Duration // open

	Seq  uint64 // append
	Size int    // append
	Lost int64  // lose
}

// answer is what came of it, with the spool's figures after it.
type answer struct {
	Err    string // empty if there was none
	Output string // of the script
	Seqs   []uint64
	Stats  spool.Stats // without Cause
	Cause  string
	Losses []spool.Loss
	Told   []string // by Notify since open; "" says usable
}

// host is the child's side: one spool that runs.
type host struct {
	s    *spool.Spool
	stop func()

	mu   sync.Mutex
	told []string // guarded by mu
}

// obey does what comes in until that ends, as it does when the test dies.
func obey(in io.Reader, out io.Writer) {
	h := &host{stop: func() {}}
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var r request
		if err := requests.Decode(&r); err != nil {
			return
		}
		a, err := h.do(r)
		if err != nil {
			a.Err = err.Error()
		}
		if h.s != nil {
			a.Stats, a.Losses = h.s.Stats(), h.s.Losses()
			if cause := a.Stats.Cause; cause != nil {
				a.Stats.Cause, a.Cause = nil, cause.Error()
			}
		}
		h.mu.Lock()
		a.Told = h.told
		h.mu.Unlock()
		if err := answers.Encode(a); err != nil {
			return
		}
	}
}

func (h *host) do(r request) (a answer, err error) {
	switch r.Do {
	case "sh":
		out, err := exec.CommandContext(background, "sh", "-ec", r.Script).CombinedOutput()
		return answer{Output: string(out)}, err
	case "setuid":
		return a, errors.Join(syscall.Setgid(r.UID), syscall.Setuid(r.UID))
	case "open":
		return a, h.open(r)
	case "append":
		return a, h.s.Append(record(r.Seq, r.Size))
	case "next":
		a.Seqs, err = h.next()
		return a, err
	case "lose":
		h.s.Lose("queue_full", r.Lost)
		return a, nil
	case "sync":
		return a, h.s.Sync(background)
	case "close":
		err := h.s.Close(background)
		h.stop()
		return a, err
	case "stats":
		return a, nil
	}
	return a, fmt.Errorf("what is %q?", r.Do)
}

func (h *host) open(r request) error {
	cfg := spool.Config{Dir: r.Dir, MaxBytes: r.MaxBytes, MaxAge: r.MaxAge, Notify: func(cause error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if cause == nil {
			h.told = append(h.told, "")
		} else {
			h.told = append(h.told, cause.Error())
		}
	}}
	if err := cfg.Fsync.UnmarshalText([]byte(r.Fsync)); err != nil {
		return err
	}
	h.mu.Lock()
	h.told = nil
	h.mu.Unlock()
	h.s = spool.Open(cfg)
	ctx, stop := context.WithCancel(background)
	done := make(chan struct{})
	go func() { _ = h.s.Run(ctx); close(done) }()
	h.stop = func() { stop(); <-done }
	return nil
}

// next reads the oldest record and acks it.
func (h *host) next() ([]uint64, error) {
	r, err := h.s.Oldest(0, nil)
	if errors.Is(err, spool.ErrEmpty) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(r.Payload, record(r.Seq, len(r.Payload)).Payload) {
		return nil, fmt.Errorf("record %d is not what was appended", r.Seq)
	}
	h.s.Ack(r.ID, 0)
	return []uint64{r.Seq}, nil
}

// process is the test's side of a child.
type process struct {
	t   testing.TB
	cmd *exec.Cmd
	in  *json.Encoder
	out *json.Decoder
}

// startChild runs this binary again, to obey. It dies with the test, at the
// latest because its input ends. A process that may not be made with such
// attributes skips the test.
func startChild(t testing.TB, attr *syscall.SysProcAttr) *process {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	ctx, cancel := context.WithTimeout(background, 3*time.Minute)
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), childEnv+"="+obeying)
	cmd.SysProcAttr, cmd.Stderr = attr, os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	if err := cmd.Start(); err != nil {
		cancel()
		if attr != nil && errors.Is(err, syscall.EPERM) {
			t.Skipf("no privilege for a mount namespace: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	return &process{t, cmd, json.NewEncoder(in), json.NewDecoder(out)}
}

// ask has the child do something and checks that it lives, and that its totals
// add up whatever came of it.
func (p *process) ask(r request) answer {
	p.t.Helper()
	if err := p.in.Encode(r); err != nil {
		p.t.Fatalf("the process is gone before %s: %v", r.Do, err)
	}
	var a answer
	if err := p.out.Decode(&a); err != nil {
		p.t.Fatalf("the process died of %s: %v", r.Do, err)
	}
	if st := a.Stats; st.Appended != st.Delivered+st.Evicted+st.Expired+st.Corrupt+st.Dead+st.Points {
		p.t.Fatalf("after %s the totals do not add up: %+v", r.Do, st)
	}
	return a
}

// want is ask for what must succeed.
func (p *process) want(r request) answer {
	p.t.Helper()
	a := p.ask(r)
	if a.Err != "" {
		p.t.Fatalf("%s: %s %s", r.Do, a.Err, a.Output)
	}
	return a
}

// kill ends the child with SIGKILL and waits until it is gone.
func (p *process) kill() {
	p.t.Helper()
	must(p.t, p.cmd.Process.Kill())
	_ = p.cmd.Wait()
}

// refused says that an answer is the spool's refusal because of cause.
func (a answer) refused(cause string) bool {
	return strings.Contains(a.Err, spool.ErrUnavailable.Error()) && strings.Contains(a.Err, cause)
}
