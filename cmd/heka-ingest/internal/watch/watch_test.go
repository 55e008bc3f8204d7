package watch_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/watch"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

func ptr(v float64) *float64 { return &v }

func TestTable(t *testing.T) {
	now := time.UnixMilli(1_000_000_000)
	hosts := []wire.Host{
		{
			Host: "web-1", LastSeenMS: now.UnixMilli() - 3500, Batches: 12, Points: 3456, Duplicates: 1, Gaps: 2, Ticks: 36, MissingTicks: 6,
			Loss: map[string]int64{"queue_full": 3, "spool_evicted": 4},
			Latest: wire.Latest{
				CPU: ptr(0.123), MemoryUsed: ptr(3 << 30), MemoryLimit: ptr(8 << 30), DiskRead: ptr(0), DiskWrite: ptr(1_500_000),
				Filesystems: []wire.Filesystem{{Mountpoint: "/", Used: 1, Size: 10}, {Mountpoint: "/data", Used: 9, Size: 10}, {Mountpoint: "/none"}},
			},
		},
		{Host: "ein-\x1b[31mböser\x07\u202e" + strings.Repeat("x", 50), LastSeenMS: now.UnixMilli() - 7200_000},
	}
	want := []string{
		"HOST                          SEEN    CPU         MEMORY  READ/s  WRITE/s    FULLEST  BATCHES  POINTS  TICKS  MISSING  GAPS  DUP  LOST",
		"web-1                           3s  12.3%  3.0G/8.0G 38%      0B     1.4M  /data 90%       12    3456     36        6     2    1     7",
		"ein-?[31mböser??xxxxxxxxxxx…    2h      -              -       -        -          -        0       0      0        0     0    0     0",
	}
	got := watch.Table(hosts, now)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("table:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// source is an ingest that becomes unreachable and recovers.
type source struct {
	asked int
	down  func(asked int) bool
}

func (s *source) Hosts(context.Context) ([]wire.Host, error) {
	s.asked++
	if s.down(s.asked) {
		return nil, errors.New("connection refused")
	}
	return []wire.Host{{Host: "web-1", LastSeenMS: time.Now().UnixMilli()}}, nil
}

func TestRunSaysSinceWhenItIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		since := "since " + time.Now().Add(5*time.Second).Format(time.TimeOnly)
		ctx, cancel := context.WithTimeout(context.Background(), 21*time.Second)
		defer cancel()
		err := watch.Run(ctx, watch.Config{
			Source: &source{down: func(asked int) bool { return asked == 2 || asked == 3 }},
			Out:    &out, Name: "ingest", Header: func() []string { return []string{"above"} },
		})
		if err != nil {
			t.Fatal(err)
		}
		blocks := strings.Split(strings.TrimPrefix(out.String(), "above\n"), "above\n")
		if len(blocks) != 5 { // at 0, 5, 10, 15 and 20 s
			t.Fatalf("%d blocks of lines, want 5:\n%s", len(blocks), out.String())
		}
		for i, want := range []string{
			"ingest at ", "ingest cannot be reached " + since + " (0s): connection refused",
			"ingest cannot be reached " + since + " (5s): connection refused", "ingest at ", "ingest at ",
		} {
			if !strings.HasPrefix(blocks[i], want) || !strings.Contains(blocks[i], "web-1") {
				t.Errorf("block %d = %q, want %q and the last known hosts", i, blocks[i], want)
			}
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Error("escape sequences where there is no terminal")
		}
	})
}

func TestOnceFails(t *testing.T) {
	var out bytes.Buffer
	err := watch.Once(context.Background(), watch.Config{
		Source: &source{down: func(int) bool { return true }}, Out: &out, Name: "ingest",
	})
	if err == nil || out.Len() > 0 {
		t.Errorf("Once = %v, printed %q", err, out.String())
	}
}
