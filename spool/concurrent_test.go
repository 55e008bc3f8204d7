package spool_test

import (
	"context"
	"sync"
	"testing"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// TestConcurrent has every method called at once, for the race detector.
func TestConcurrent(t *testing.T) {
	s := openSpool(t, spool.Config{Dir: t.TempDir(), MaxBytes: 1 << 20})
	ctx, stop := context.WithCancel(background)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	for g := range uint64(3) {
		wg.Go(func() {
			for i := range uint64(300) {
				if err := s.Append(record(1000*g+i, 2000)); err != nil {
					t.Error(err)
				}
				s.Stats()
				s.Losses()
				s.Lose("queue_full", 1)
				if i%50 == 0 {
					_ = s.Sync(background)
				}
				switch i % 4 {
				case 0, 1:
					s.Ack(named(3, 1000*g+i), 0)
				case 2:
					s.Note(named(3, 1000*g+i-1), make([]byte, i%100))
					s.Ack(named(3, 1000*g+i), 1)
					s.SetAside(spool.Letter{Of: named(3, 1000*g+i), Reason: "400", Record: record(1000*g+i, 100)})
					s.Refuse(1)
				}
			}
		})
	}
	wg.Go(func() {
		for range 100 {
			if r, err := s.Oldest(0, nil); err == nil {
				s.Ack(r.ID, 0)
			}
		}
	})
	defer wg.Wait()
	defer stop()
	balanced(t, s)
}
