package agent

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

func printable(seq uint64) ship.Payload {
	desc := &metric.Desc{Name: "test.value", Unit: "By"}
	batch := metric.Batch{
		Agent: metric.Agent{ID: "a", Epoch: 1, Seq: seq}, Times: []int64{1000},
		Series: []metric.Column{{Series: &metric.Series{Desc: desc}, Values: []metric.Value{metric.Int(int64(seq))}}},
	}
	return ship.Payload{ID: batch.ID(), Points: 1, Body: encode.Native{}.Append(nil, &batch)}
}

func TestConsoleFormats(t *testing.T) {
	for format, want := range map[string]string{
		formatJSON:       `{"schema":"heka.batch/1"`,
		formatPrometheus: "# TYPE test_value_bytes gauge\ntest_value_bytes 1\n",
	} {
		var out bytes.Buffer
		if o := newConsole(&out, format).Send(t.Context(), printable(1)); o.Verdict != ship.Acked || !strings.HasPrefix(out.String(), want) {
			t.Errorf("%s: %+v, %q; want it to begin with %q", format, o, out.String(), want)
		}
	}
}

// An output that nobody reads does not hold up a shutdown, and when it is read
// again each batch comes whole.
func TestConsoleThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, writer := io.Pipe()
		c := newConsole(writer, formatJSON)
		for seq := range uint64(2) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if o := c.Send(ctx, printable(seq+1)); o.Verdict != ship.Retry {
				t.Errorf("batch %d: %+v, want a retry", seq+1, o)
			}
			cancel()
		}
		var read bytes.Buffer
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(&read, reader)
		}()
		if o := c.Send(t.Context(), printable(3)); o.Verdict != ship.Acked {
			t.Errorf("batch 3: %+v, want it printed", o)
		}
		writer.Close()
		<-done
		if lines := strings.Split(strings.TrimSpace(read.String()), "\n"); len(lines) != 2 || !strings.Contains(lines[1], `"seq":3`) {
			t.Errorf("%d lines, want the first batch and the third:\n%s", len(lines), read.String())
		}
	})
}
