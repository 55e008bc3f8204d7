package agent

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// The spool's balance is exported whole, and each loss is in every batch, zero
// or not.
func TestTheBalanceIsExported(t *testing.T) {
	dir := t.TempDir()
	s := spool.Open(spool.Config{Dir: dir, MaxBytes: 8 << 20, MaxAge: time.Hour})
	defer s.Close(context.Background()) //nolint:errcheck // the test is over
	now := time.Now().UnixMilli()
	for seq := range uint64(7) {
		r := spool.Record{ID: spool.ID{Epoch: 1, Seq: seq}, Items: 1 << seq, TimeMS: now, Payload: make([]byte, 100)}
		if seq == 3 {
			r.TimeMS -= 2 * time.Hour.Milliseconds()
		}
		if err := s.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	s.Ack(spool.ID{Epoch: 1, Seq: 0}, 0)
	s.Ack(spool.ID{Epoch: 1, Seq: 1}, 2)
	if err := s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	spoil(t, dir, 2*(64+100)+64) // the payload of record 2
	if r, err := s.Oldest(0, nil); err != nil || r.Seq != 4 {
		t.Fatalf("oldest is %d (%v), want 4", r.Seq, err)
	}

	d := newDurable(s)
	shipper, err := ship.New(ship.Config{Compression: ship.CompressionNone}, ship.NewQueue(1<<20), encode.Native{}, nil, d, d, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	snapshot := metric.NewSnapshot(0)
	snapshot.Reset(now)
	if err := newSelf(true, shipper, s, d).Collect(context.Background(), snapshot); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, p := range snapshot.Points {
		if p.Series.Desc.Name == selfSpoolPoints.Name {
			got[p.Series.Labels[0].Value] = p.Value.Int64()
		}
	}
	want := map[string]int64{
		"appended": 127, "delivered": 1, "dead": 2, "corrupt": 4, "expired": 8, "evicted": 0, "pending": 16 + 32 + 64,
	}
	for state, points := range want {
		if v, ok := got[state]; !ok || v != points {
			t.Errorf("%s is %d (%v), want %d", state, v, ok, points)
		}
	}
	for _, l := range ship.AllLosses(d) {
		delete(want, strings.TrimPrefix(l.Reason, "spool_"))
	}
	for _, state := range []string{"dead", "corrupt", "expired", "evicted"} {
		if _, left := want[state]; left {
			t.Errorf("a batch does not say how much is %s", state)
		}
	}
}

func spoil(t *testing.T, dir string, at int64) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments %v (%v)", segments, err)
	}
	f, err := os.OpenFile(segments[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xff}, at); err != nil {
		t.Fatal(err)
	}
}

// hungLedger answers when it is let.
type hungLedger struct{ let chan struct{} }

func (hungLedger) Lose(string, int64) {}
func (l hungLedger) Losses() []metric.Loss {
	<-l.let
	return []metric.Loss{{Reason: ship.LostQueueFull, Points: 5}}
}

// A disk that hangs costs the figures of the disk alone, and a look a tenth of
// a second; when it answers again, so do they.
func TestAHungDiskHidesNoOtherFigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := hungLedger{make(chan struct{})}
		seen := &lastSeen{ledger: ledger}
		for range 3 {
			began := time.Now()
			if got := seen.look(); got.stats.Cause == nil || len(got.losses) != 0 {
				t.Errorf("a hung disk shows %+v", got)
			}
			if took := time.Since(began); took != lookPatience {
				t.Errorf("a look took %v, want %v", took, lookPatience)
			}
		}
		close(ledger.let)
		synctest.Wait()
		if got := seen.look(); got.stats.Cause != nil || got.losses[0].Points != 5 {
			t.Errorf("a disk that answers again shows %+v", got)
		}
	})
}
