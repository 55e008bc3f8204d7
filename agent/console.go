package agent

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// The formats of the console.
const (
	formatJSON       = "json"
	formatPrometheus = "prometheus"
)

// ConsoleFormat is the format of what is printed to out: "prometheus" for people on a
// terminal, "json" for programs elsewhere.
func ConsoleFormat(out io.Writer) string {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return formatPrometheus
	}
	return formatJSON
}

// consoleFormat is the format in which the exporter console prints: the Python
// agent printed for people into a pipe too.
func consoleFormat(cfg Config, out io.Writer) string {
	if cfg.PythonAgent {
		return formatPrometheus
	}
	return ConsoleFormat(out)
}

// console is a Sender that prints batches instead of sending them.
type console struct {
	out     io.Writer
	format  string
	printed chan error // the answer of the print under way; nil when there is none
	err     error      // of the last print
}

func newConsole(out io.Writer, format string) *console { return &console{out: out, format: format} }

// Send prints one batch: a line of JSON, or its newest values as Prometheus
// text. When nobody reads what is printed, the batch after it has to wait.
func (c *console) Send(ctx context.Context, p ship.Payload) ship.Outcome {
	if c.printed != nil { // an earlier batch, given up for the time being
		c.wait(ctx)
	}
	if c.printed == nil {
		c.printed = make(chan error, 1)
		go func(printed chan<- error) { printed <- c.print(p.Body) }(c.printed)
		c.wait(ctx)
	}
	if c.err != nil {
		return ship.Outcome{Verdict: ship.Retry, Cause: c.err.Error()}
	}
	return ship.Outcome{Verdict: ship.Acked}
}

// wait waits for the print under way, at most until ctx is done.
func (c *console) wait(ctx context.Context) {
	select {
	case c.err = <-c.printed:
		c.printed = nil
	case <-ctx.Done():
		c.err = errors.New("nobody reads the output")
	}
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
		addHelp(batch)
		text = append(encode.Prometheus(nil, batch), '\n')
	}
	_, err := c.out.Write(text)
	return err
}

// addHelp gives the metrics of a decoded batch, whose descriptions are its own,
// the help that the wire format leaves out.
func addHelp(batch *metric.Batch) {
	descs := append(selfDescs(), collect.SchedulerDescs()...)
	for _, builtin := range collect.Builtins() {
		descs = append(descs, builtin.Descs...)
	}
	help := make(map[string]string, len(descs))
	for _, d := range descs {
		help[d.Name] = d.Help
	}
	for i := range batch.Series {
		d := batch.Series[i].Desc
		d.Help = help[d.Name]
	}
}
