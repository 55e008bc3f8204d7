package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/watch"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// demoRun is a running `heka-ingest demo` with the fake agent.
type demoRun struct {
	*exec.Cmd
	out    *output
	dir    string
	client *watch.Client
}

func startDemo(t *testing.T) demoRun {
	t.Helper()
	d := newDemo(t, t.TempDir())
	d.Stdout, d.Stderr = d.out, d.out
	d.start(t)
	return d
}

func newDemo(t *testing.T, dir string) demoRun {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return demoRun{
		Cmd: program(t, "demo", "--agent", self, "--data", dir, "--restart-after", "100ms"),
		out: &output{}, dir: dir,
	}
}

func (d *demoRun) start(t *testing.T) {
	t.Helper()
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.ProcessState == nil {
			_ = d.Process.Signal(syscall.SIGCONT)
			_ = d.Process.Signal(syscall.SIGTERM)
			_ = d.Wait()
		}
	})
	url := d.out.find(t, `(https://127.0.0.1:\d+)[: ]`)[1]
	client, err := watch.NewClient(url, filepath.Join(d.dir, "ingest", "tls", "ca.pem"), filepath.Join(d.dir, "api-key"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	d.client = client
}

func (d demoRun) pid(t *testing.T, child string) int {
	t.Helper()
	pid, err := strconv.Atoi(d.out.find(t, child+`: pid (\d+)`)[1])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// arrives waits until that many batches have arrived without a gap.
func (d demoRun) arrives(t *testing.T, batches int64) wire.Host {
	t.Helper()
	var host wire.Host
	until(t, "batches to arrive", func() bool {
		hosts, err := d.client.Hosts(context.Background())
		if err != nil || len(hosts) != 1 {
			return false
		}
		host = hosts[0]
		return host.Batches >= batches
	})
	if host.Gaps != 0 || host.MissingTicks != 0 || host.Batches != host.Ticks {
		t.Errorf("host = %+v, want no gap and no missing tick", host)
	}
	return host
}

// state returns the state letter of a process, or "" if there is no such
// process.
func state(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return after[:1]
}

func (d demoRun) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	ingest, agent := d.pid(t, "ingest"), d.pid(t, "agent")
	if err := d.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	if err := d.Wait(); err != nil {
		t.Errorf("demo ended with %v:\n%s", err, d.out)
	}
	for _, pid := range []int{ingest, agent} {
		if s := state(t, pid); s != "" {
			t.Errorf("process %d is left (%s)", pid, s)
		}
	}
}

func TestDemoSurvivesItsIngest(t *testing.T) {
	d := startDemo(t)
	before := d.arrives(t, 3)
	killed := d.pid(t, "ingest")
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.out.find(t, `ingest: ENDED \(signal: killed\)`)
	d.out.find(t, `what has ended is restarted`)
	d.arrives(t, before.Batches+10)
	until(t, "the new ingest's pid", func() bool { return d.pid(t, "ingest") != killed })
	d.end(t, syscall.SIGTERM)
}

func TestDemoSuspends(t *testing.T) {
	d := startDemo(t)
	before := d.arrives(t, 3)
	ingest, agent := d.pid(t, "ingest"), d.pid(t, "agent")
	if err := d.Process.Signal(syscall.SIGTSTP); err != nil {
		t.Fatal(err)
	}
	until(t, "ingest and demo to stop", func() bool {
		return state(t, ingest) == "T" && state(t, d.Process.Pid) == "T"
	})
	if s := state(t, agent); s == "T" || s == "" {
		t.Errorf("the agent's state is %q, want it running", s)
	}
	if err := d.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	d.arrives(t, before.Batches+10)
	d.end(t, syscall.SIGINT)
}

// On a terminal the screen is redrawn in place, and Enter restarts what has
// ended.
func TestDemoOnTerminal(t *testing.T) {
	keyboard, screen := openTerminal(t)
	d := newDemo(t, t.TempDir())
	d.Stdin, d.Stdout, d.Stderr = screen, screen, screen
	go func() { _, _ = io.Copy(d.out, keyboard) }() // ends when the test closes the terminal
	d.start(t)
	before := d.arrives(t, 3)
	killed := d.pid(t, "ingest")
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.out.find(t, "press Enter to restart what has ended")
	if _, err := io.WriteString(keyboard, "\n"); err != nil {
		t.Fatal(err)
	}
	d.arrives(t, before.Batches+10)
	d.out.find(t, "\x1b\\[Hingest: pid ")
	until(t, "the new ingest's pid", func() bool { return d.pid(t, "ingest") != killed })
	d.end(t, syscall.SIGTERM)
}

// openTerminal returns both ends of a new pseudo-terminal.
func openTerminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	return keyboard, screen
}

func TestDemoCannotStart(t *testing.T) {
	for agent, want := range map[string]string{
		"/nowhere/agent": "start agent: fork/exec /nowhere/agent: no such file",
		"/bin/false":     "the agent (/bin/false) does not start: exit status 1",
	} {
		cmd := program(t, "demo", "--agent", agent, "--data", t.TempDir())
		text, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(string(text), want) {
			t.Errorf("agent %s: %v\n%s\nwant exit 1 and %q", agent, err, text, want)
		}
	}
}
