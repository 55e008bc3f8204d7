package demo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// child is a program started by the demo. It runs in a process group of its
// own, so that only the demo receives the terminal's Ctrl-C and Ctrl-Z.
type child struct {
	name    string
	command []string
	env     []string
	logPath string

	mu  sync.Mutex
	now *process // the last process started; guarded by mu
}

// process is one run of a child.
type process struct {
	pid  int
	done chan struct{} // closed when it has ended
	err  error         // why it ended; set before done is closed, read after
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (c *child) process() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// start starts the program, which must not be running, and appends its output
// to the log. When the program ends, start sends the child on exited.
func (c *child) start(exited chan<- *child) error {
	log, err := os.OpenFile(c.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	defer func() { _ = log.Close() }() // the child has its own copy
	//nolint:noctx // a context would kill it; it is to end in order
	cmd := exec.Command(c.command[0], c.command[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, log, log
	cmd.SysProcAttr = processAttributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	p := &process{pid: cmd.Process.Pid, done: make(chan struct{})}
	c.mu.Lock()
	c.now = p
	c.mu.Unlock()
	go func() {
		if p.err = cmd.Wait(); p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.done)
		exited <- c
	}()
	return nil
}

// signal sends s to the process group of the program, unless the program has
// ended.
func (c *child) signal(s syscall.Signal) {
	if p := c.process(); p.running() {
		_ = syscall.Kill(-p.pid, s) // the program may end between the check and the call
	}
}

// stop asks the program to end, and kills it after patience.
func (c *child) stop(patience time.Duration) {
	c.signal(syscall.SIGTERM)
	c.signal(syscall.SIGCONT) // a stopped program would not handle the signal
	timer := time.NewTimer(patience)
	defer timer.Stop()
	done := c.process().done
	select {
	case <-done:
	case <-timer.C:
		c.signal(syscall.SIGKILL)
		<-done
	}
}

// String describes the state of the program, for the screen.
func (c *child) String() string {
	p := c.process()
	if p.running() {
		return fmt.Sprintf("%s: pid %d, log %s", c.name, p.pid, c.logPath)
	}
	return fmt.Sprintf("%s: ENDED (%v), log %s", c.name, p.err, c.logPath)
}

// tail returns the last lines of the program's log.
func (c *child) tail() string {
	const most = 2048
	text, err := os.ReadFile(c.logPath)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}
