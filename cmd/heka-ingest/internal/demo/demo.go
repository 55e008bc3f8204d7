// Package demo runs an ingest and an agent side by side on one machine and
// shows what arrives.
//
//	start ingest ── healthy ──> start agent ── first batch ──> watch
//
//	Ctrl-Z          suspends the ingest and the demo, not the agent; fg resumes
//	a child dies    the screen says so; Enter starts it again
//	Ctrl-C          ends the agent, then the ingest
package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/watch"
)

const (
	// startTimeout is how long the ingest may take to answer.
	startTimeout = 30 * time.Second
	pollEvery    = 50 * time.Millisecond
	// agentPatience exceeds the agent's default time to flush and spool.
	agentPatience  = 10 * time.Second
	ingestPatience = 15 * time.Second
)

// Config says what to run.
type Config struct {
	// Ingest and Agent are command lines, with their environments.
	Ingest, Agent       []string
	IngestEnv, AgentEnv []string
	// IngestLog and AgentLog are the files that receive the output of the two
	// programs.
	IngestLog, AgentLog string
	// Client queries the ingest.
	Client *watch.Client
	// URL is the URL of the ingest, for the screen.
	URL string
	// Notes are shown at the top of the screen.
	Notes []string
	// In is read for Enter if it is a terminal.
	In  *os.File
	Out io.Writer
	// RestartAfter is how long after its death a child is started again if
	// there is no terminal.
	RestartAfter time.Duration
}

// demo is a running demo. Everything except the children's guarded fields is
// owned by Run.
type demo struct {
	cfg           Config
	ingest, agent *child
	exited        chan *child
	enter         chan struct{}
	redraw        chan struct{}
	interactive   bool
	before        int64 // batches that had arrived before the agent was first started
}

// Run runs the demo until SIGINT, SIGTERM or the end of ctx, then ends both
// programs and returns nil. It returns an error if one of them cannot start.
func Run(ctx context.Context, cfg Config) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	d := &demo{
		cfg:    cfg,
		ingest: &child{name: "ingest", command: cfg.Ingest, env: cfg.IngestEnv, logPath: cfg.IngestLog},
		agent:  &child{name: "agent", command: cfg.Agent, env: cfg.AgentEnv, logPath: cfg.AgentLog},
		exited: make(chan *child, 2), // each child ends at most once at a time
		enter:  make(chan struct{}),
		redraw: make(chan struct{}, 1),

		interactive: cfg.In != nil && term.IsTerminal(int(cfg.In.Fd())),
	}
	if err := d.startIngest(ctx); err != nil {
		return cleanEnd(ctx, err)
	}
	defer d.ingest.stop(ingestPatience)
	before, err := d.arrived(ctx)
	if err != nil {
		return cleanEnd(ctx, fmt.Errorf("ask the ingest: %w", err))
	}
	d.before = before
	if err := d.agent.start(d.exited); err != nil {
		return err
	}
	defer d.agent.stop(agentPatience)
	return cleanEnd(ctx, d.watch(ctx))
}

// cleanEnd returns nil if err only means that the demo was asked to end.
func cleanEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// startIngest starts the ingest and returns when it answers.
func (d *demo) startIngest(ctx context.Context) error {
	if err := d.ingest.start(d.exited); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for d.cfg.Client.Healthy(bounded) != nil {
		select {
		case <-poll.C:
		case <-d.exited:
			return cannotStart(d.ingest)
		case <-bounded.Done():
			d.ingest.stop(ingestPatience)
			return fmt.Errorf("the ingest did not answer within %s; it printed:\n%s", startTimeout, d.ingest.tail())
		}
	}
	return nil
}

func cannotStart(c *child) error {
	return fmt.Errorf("the %s (%s) does not start: %w; it printed:\n%s", c.name, c.command[0], c.process().err, c.tail())
}

// watch shows the hosts and supervises the children.
func (d *demo) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	shown := make(chan error, 1)
	go func() {
		shown <- watch.Run(ctx, watch.Config{
			Source: d.cfg.Client, Out: d.cfg.Out, Name: d.cfg.URL, Header: d.header, Redraw: d.redraw,
		})
	}()
	read := make(chan struct{})
	go func() { defer close(read); d.readEnter(ctx) }()
	err := d.supervise(ctx, shown)
	cancel()
	<-read
	return err
}

// supervise handles signals, Enter, and children that end.
func (d *demo) supervise(ctx context.Context, shown <-chan error) error {
	stops := make(chan os.Signal, 1)
	signal.Notify(stops, syscall.SIGTSTP)
	defer signal.Stop(stops)
	restart := time.NewTimer(0)
	restart.Stop()
	defer restart.Stop()
	for {
		select {
		case err := <-shown:
			return err
		case <-ctx.Done():
			return <-shown
		case <-stops:
			d.suspend(ctx)
		case c := <-d.exited:
			if c == d.agent && !d.agentArrived(ctx) {
				return cannotStart(c)
			}
			if !d.interactive {
				restart.Reset(d.cfg.RestartAfter)
			}
		case <-d.enter:
			d.restartEnded()
		case <-restart.C:
			d.restartEnded()
		}
		d.drawAgain()
	}
}

func (d *demo) drawAgain() {
	select {
	case d.redraw <- struct{}{}:
	default: // a notification is pending already
	}
}

// agentArrived reports whether a batch of the agent has reached the ingest. It
// also returns true if the ingest is down, because the agent may still have
// worked.
func (d *demo) agentArrived(ctx context.Context) bool {
	arrived, err := d.arrived(ctx)
	return err != nil || arrived > d.before
}

// arrived returns how many batches agents have sent to the ingest.
func (d *demo) arrived(ctx context.Context) (batches int64, err error) {
	hosts, err := d.cfg.Client.Hosts(ctx)
	for i := range hosts {
		batches += hosts[i].Batches + hosts[i].Duplicates
	}
	return batches, err
}

// restartEnded starts the children that have ended. If one does not start, the
// screen shows it as ended, with the reason.
func (d *demo) restartEnded() {
	for _, c := range []*child{d.ingest, d.agent} {
		if c.process().running() {
			continue
		}
		if err := c.start(d.exited); err != nil {
			fmt.Fprintf(d.cfg.Out, "%v\n", err)
		}
	}
}

// suspend stops the ingest and the demo itself, as the shell expects after
// Ctrl-Z. It returns when both have resumed.
func (d *demo) suspend(ctx context.Context) {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	d.ingest.signal(syscall.SIGSTOP)
	fmt.Fprintf(d.cfg.Out, "\nthe ingest is suspended, the agent (pid %d) goes on; fg resumes the ingest\n", d.agent.process().pid)
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGSTOP); err == nil {
		// The kernel may let this thread run for a moment longer.
		select {
		case <-continued:
		case <-ctx.Done():
		}
	}
	d.ingest.signal(syscall.SIGCONT)
}

// header returns the lines above the hosts. It is called by the screen's
// goroutine.
func (d *demo) header() []string {
	lines := append([]string{d.ingest.String(), d.agent.String()}, d.cfg.Notes...)
	switch {
	case d.ingest.process().running() && d.agent.process().running():
		return append(lines, "")
	case d.interactive:
		return append(lines, "press Enter to restart what has ended", "")
	default:
		return append(lines, fmt.Sprintf("what has ended is restarted after %s", d.cfg.RestartAfter), "")
	}
}

// readEnter sends on enter for each line that is typed.
func (d *demo) readEnter(ctx context.Context) {
	if !d.interactive {
		return
	}
	lines := bufio.NewReader(&pollReader{ctx: ctx, fd: int(d.cfg.In.Fd())})
	for {
		if _, err := lines.ReadString('\n'); err != nil {
			return
		}
		select {
		case d.enter <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// Env returns base with the given variables set.
func Env(base []string, set ...string) []string {
	out := make([]string, 0, len(base)+len(set))
	for _, entry := range base {
		name, _, _ := strings.Cut(entry, "=")
		replaced := false
		for _, other := range set {
			replaced = replaced || strings.HasPrefix(other, name+"=")
		}
		if !replaced {
			out = append(out, entry)
		}
	}
	return append(out, set...)
}
