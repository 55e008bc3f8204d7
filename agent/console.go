package agent

import (
	"context"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// The formats of the console.
const (
	formatJSON       = "json"
	formatPrometheus = "prometheus"
)

// consoleFormat is for people on a terminal, and for programs elsewhere.
func consoleFormat(out io.Writer) string {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return formatPrometheus
	}
	return formatJSON
}

// console is a Sender that prints batches instead of sending them.
type console struct {
	out    io.Writer
	format string
	err    error // of the last Send
}

func newConsole(out io.Writer, format string) *console { return &console{out: out, format: format} }

// Send prints one batch: a line of JSON, or its newest values as Prometheus text.
func (c *console) Send(_ context.Context, p ship.Payload) ship.Outcome {
	if c.err = c.print(p.Body); c.err != nil {
		return ship.Outcome{Verdict: ship.Retry, Cause: c.err.Error()}
	}
	return ship.Outcome{Verdict: ship.Acked}
}

// Refreshed is false: the console reads no files.
func (c *console) Refreshed() bool { return false }

func (c *console) print(body []byte) error {
	text := append(body[:len(body):len(body)], '\n')
	if c.format == formatPrometheus {
		batch, err := encode.Native{}.Decode(body)
		if err != nil {
			return err
		}
		text = append(encode.Prometheus(nil, batch), '\n')
	}
	_, err := c.out.Write(text)
	return err
}
