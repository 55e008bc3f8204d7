package store_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/store"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
	"github.com/rs/zerolog"
)

// TestTwins distinguishes clones, whose batches alternate, from an agent that
// restarts and then delivers the backlog of its previous process.
func TestTwins(t *testing.T) {
	at := func(epoch, seq uint64, tick int64) *wire.Batch {
		return batchAt("a", epoch, seq, base+tick*interval, 3)
	}
	for name, c := range map[string]struct {
		batches []*wire.Batch
		lines   int
	}{
		"clones":              {[]*wire.Batch{at(7, 1, 0), at(8, 1, 1), at(7, 2, 3), at(8, 2, 4), at(7, 3, 6)}, 1},
		"restart, backlog":    {[]*wire.Batch{at(7, 1, 0), at(7, 3, 6), at(8, 1, 9), at(7, 2, 3), at(8, 2, 12)}, 0},
		"backlog before live": {[]*wire.Batch{at(7, 1, 0), at(7, 2, 3), at(8, 1, 6), at(8, 2, 9), at(9, 1, 12)}, 0},
	} {
		var log bytes.Buffer
		s, stop := startWith(t, t.TempDir(), store.Config{Retention: time.Hour * 24 * 7, QueueBatches: 9, Log: zerolog.New(&log)})
		for _, b := range c.batches {
			add(t, s, b, wire.Accepted)
		}
		stop()
		if got := strings.Count(log.String(), "two agents may share one id"); got != c.lines || c.lines > 0 && !strings.Contains(log.String(), `"agent_id":"a"`) {
			t.Errorf("%s: %d lines, want %d:\n%s", name, got, c.lines, log.String())
		}
	}
}
