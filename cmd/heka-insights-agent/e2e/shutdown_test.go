package e2e_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	shutdownTimeout = 500 * time.Millisecond // flush
	diskTimeout     = 2 * time.Second        // the most that a slow disk may add
	// shutdowns is how often the agent is shut down in each state. Package
	// agent does it hundreds of times in virtual time.
	shutdowns = 7
)

// How an endpoint may fail to answer.
func breaks(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func refuses(w http.ResponseWriter, _ *http.Request)     { http.Error(w, "no", http.StatusUnauthorized) }
func hangs(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() }

// An agent that is asked to end does so in time in every state of delivery, or
// is killed. Its last tick, and all ticks before it, arrive at once or from the
// next agent.
func TestShutdownsLoseNothing(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup
	defer running.Wait()
	for state, reach := range map[string]func(l *lane){
		"healthy": func(*lane) {},
		"down":    func(l *lane) { l.relay.set(breaks); l.agent.says(saysFailure) },
		"paused":  func(l *lane) { l.relay.set(refuses); l.agent.says("HEKA_API_KEY") },
		"hanging": func(l *lane) { l.relay.set(hangs) },
		"ramping": func(l *lane) {
			l.relay.set(breaks)
			l.agent.says(saysFailure)
			time.Sleep(l.upTo(2 * time.Second))
			l.relay.set(nil)
			l.agent.says("delivered again")
		},
		"slow disk": func(l *lane) {
			l.relay.set(breaks)
			l.agent.delayDisk(200 * time.Millisecond)
		},
	} {
		running.Go(func() {
			t.Run(state, func(t *testing.T) {
				l := newLane(t, "on_failure", 1)
				l.env = append(l.env, "HEKA_SHUTDOWN_TIMEOUT="+shutdownTimeout.String(), "HEKA_DRAIN_MULTIPLIER=1")
				l.shutDown(func() { reach(l) })
			})
		})
	}
}

func (l *lane) shutDown(reach func()) {
	var asked, ended []time.Time
	for range shutdowns {
		l.relay.set(nil)
		l.startAgent()
		l.agent.says(started)
		time.Sleep(l.upTo(700 * time.Millisecond))
		reach()
		time.Sleep(l.upTo(500 * time.Millisecond))
		asked = append(asked, time.Now())
		l.end()
		ended = append(ended, time.Now())
		maps.Copy(l.spared, l.onDisk())
	}
	l.relay.set(nil)
	l.env = append(l.env, "HEKA_DRAIN_MULTIPLIER=100")
	l.startAgent()
	l.drain()
	l.in.terminate()
	db := readDatabase(l.t, l.in.data)
	l.judge(db)
	for i := range asked {
		if !db.tickBetween(asked[i], ended[i]) {
			l.t.Errorf("shutdown %d: the last tick is missing", i+1)
		}
	}
}

// end asks the agent to end, and kills it if it is late.
func (l *lane) end() {
	l.t.Helper()
	if err := l.agent.Process.Signal(syscall.SIGTERM); err != nil {
		l.t.Fatal(err)
	}
	select {
	case <-l.agent.ended:
	case <-time.After(shutdownTimeout + diskTimeout + time.Second):
		l.agent.kill()
		l.t.Errorf("killed %s after SIGTERM", shutdownTimeout+diskTimeout+time.Second)
	}
}

// A disk that does not answer writes for seconds delays no tick, although each
// tick is written to disk before it is sent.
func TestNoTickWaitsForADiskThatHangs(t *testing.T) {
	t.Parallel()
	const interval = 500 * time.Millisecond
	in := startIngest(t)
	agent := launch(t, in.agentEnv(t, "HEKA_SPOOL_MODE=always", "HEKA_INTERVAL="+interval.String()), "heka-insights-agent")
	eventually(t, "ticks", func() error { return in.whole(3, time.Time{}) })
	lift := agent.delayDisk(8 * time.Second)
	time.Sleep(6 * time.Second) // until the agent has stopped waiting for the disk
	lift()
	lifted := time.Now()
	eventually(t, "ticks after that", func() error {
		h, err := in.host()
		if err == nil && (h.Gaps != 0 || h.LastTickMS < lifted.UnixMilli()) {
			err = fmt.Errorf("%+v", h)
		}
		return err
	})
	if code := agent.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	in.terminate()
	times := readDatabase(t, in.data).times[1:] // the first tick is out of turn
	last := len(times) - 2                      // so is the last one
	took := time.Duration(times[last]-times[0]) * time.Millisecond
	if want := int(took.Round(interval) / interval); last != want {
		t.Errorf("%d ticks in %s, want %d", last, took, want)
	}
	if strings.Contains(agent.output.String(), "ticks skipped") {
		t.Error("ticks were skipped")
	}
}

// delayDisk delays each write and fsync of the program, until it ends or lift
// is called.
func (p *process) delayDisk(delay time.Duration) (lift func()) {
	p.t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		p.t.Skip("not installed: strace")
	}
	calls := "pwrite64,fsync,fdatasync"
	cmd := exec.Command(strace, "-f", "-qq", "-o", os.DevNull, "-p", fmt.Sprint(p.Process.Pid),
		"-e", "trace="+calls, "-e", fmt.Sprintf("inject=%s:delay_enter=%d", calls, delay.Microseconds()))
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		p.t.Skip(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	lift = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
	}
	p.t.Cleanup(lift)
	for !p.traced() {
		select {
		case <-done:
			p.t.Skipf("strace: %s", said.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return lift
}

// traced reports whether each of the program's threads has a tracer.
func (p *process) traced() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.Process.Pid))
	for _, thread := range threads {
		status, err := os.ReadFile(thread)
		if err == nil && strings.Contains(string(status), "TracerPid:\t0\n") {
			return false
		}
	}
	return true
}
