package watch

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// How often the ingest is queried: for a terminal, and for plain lines.
const (
	screenEvery = time.Second
	linesEvery  = 5 * time.Second
)

// Source is what is watched, such as a [Client].
type Source interface {
	Hosts(ctx context.Context) ([]wire.Host, error)
}

// Config says what to show, and where.
type Config struct {
	Source Source
	Out    io.Writer
	// Name is the name of the ingest on the screen: its URL.
	Name string
	// Header returns lines to show above the hosts; nil means none.
	Header func() []string
	// Redraw, if not nil, requests a fresh screen at once.
	Redraw <-chan struct{}
}

// state is the last known state of the ingest.
type state struct {
	hosts []wire.Host
	err   error
	since time.Time // when err began
}

// Run shows the hosts until ctx ends. On a terminal it redraws the screen every
// second; elsewhere it prints one line per host every 5 s.
func Run(ctx context.Context, cfg Config) error {
	width := terminalWidth(cfg.Out)
	every := linesEvery
	if width > 0 {
		every = screenEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var s state
	clear := true
	for {
		s.ask(ctx, cfg.Source)
		if ctx.Err() != nil {
			return nil
		}
		if err := s.show(cfg, clear); err != nil {
			return err
		}
		clear = false
		select {
		case <-tick.C:
		case <-cfg.Redraw:
			clear = true
		case <-ctx.Done():
			return nil
		}
	}
}

// Once shows the hosts once.
func Once(ctx context.Context, cfg Config) error {
	hosts, err := cfg.Source.Hosts(ctx)
	if err != nil {
		return fmt.Errorf("ask %s: %w", cfg.Name, err)
	}
	_, err = fmt.Fprintln(cfg.Out, strings.Join(Table(hosts, time.Now()), "\n"))
	return err
}

func (s *state) ask(ctx context.Context, source Source) {
	hosts, err := source.Hosts(ctx)
	switch {
	case err == nil:
		s.hosts, s.err = hosts, nil
	case s.err == nil:
		s.err, s.since = err, time.Now()
	default:
		s.err = err
	}
}

// lines returns the state as lines for a screen.
func (s *state) lines(cfg Config, now time.Time) []string {
	var lines []string
	if cfg.Header != nil {
		lines = append(lines, cfg.Header()...)
	}
	switch {
	case s.err != nil:
		lines = append(lines, fmt.Sprintf("%s cannot be reached since %s (%s): %v",
			cfg.Name, s.since.Format(time.TimeOnly), now.Sub(s.since).Round(time.Second), s.err))
	case len(s.hosts) == 0:
		lines = append(lines, cfg.Name+": no host yet")
	default:
		lines = append(lines, fmt.Sprintf("%s at %s", cfg.Name, now.Format(time.TimeOnly)))
	}
	if len(s.hosts) > 0 {
		lines = append(append(lines, ""), Table(s.hosts, now)...)
	}
	return lines
}

func (s *state) show(cfg Config, clear bool) error {
	lines := s.lines(cfg, time.Now())
	width := terminalWidth(cfg.Out)
	if width == 0 {
		_, err := fmt.Fprintln(cfg.Out, strings.Join(lines, "\n"))
		return err
	}
	_, err := io.WriteString(cfg.Out, screen(lines, width, clear))
	return err
}

// screen returns the text that draws lines over the previous ones without
// flicker: move to the top, write each line and erase the rest of it, erase
// everything below.
func screen(lines []string, width int, clear bool) string {
	var text strings.Builder
	if clear {
		text.WriteString("\x1b[2J")
	}
	text.WriteString("\x1b[H")
	for _, line := range lines {
		if runes := []rune(line); len(runes) > width {
			line = string(runes[:width-1]) + "…"
		}
		text.WriteString(line + "\x1b[K\r\n")
	}
	text.WriteString("\x1b[J")
	return text.String()
}

// terminalWidth returns the width of the terminal, or 0 if w is not a terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 20 {
		return 80
	}
	return width
}
