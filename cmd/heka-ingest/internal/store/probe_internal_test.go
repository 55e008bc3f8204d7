package store

import (
	"context"
	"testing"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// Like a batch, a probe must not succeed while the disk accepts no writes.
func TestAProbeAsksTheDisk(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir(), Config{Retention: 1 << 40, QueueBatches: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	probe := &wire.Batch{ID: wire.FormatEpoch(1) + wire.FormatEpoch(1), Agent: wire.Agent{ID: "a", Epoch: 1, Seq: 1}}
	for _, writable := range []bool{true, false, true} {
		mode := "PRAGMA query_only = OFF"
		if !writable {
			mode = "PRAGMA query_only = ON"
		}
		if _, err := s.writer.ExecContext(t.Context(), mode); err != nil {
			t.Fatal(err)
		}
		ack, err := s.Add(probe)
		if writable && (err != nil || ack.BatchID != probe.ID || ack.Status != wire.Accepted) || !writable && err == nil {
			t.Errorf("writable %t: %+v, %v", writable, ack, err)
		}
	}
	if hosts, err := s.Hosts(t.Context()); err != nil || len(hosts) != 0 {
		t.Errorf("probes made hosts: %v, %v", hosts, err)
	}
}
