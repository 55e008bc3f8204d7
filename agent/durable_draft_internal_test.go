package agent

import (
	"testing"
	"testing/synctest"

	"github.com/heka-insights/heka-insights-agent/ship"
)

type countStore struct {
	hungStore
	discarded int
}

func (c *countStore) Discard() error { c.do(func() { c.discarded++ }); return nil }

// A draft that was to end while the disk hung ends when the disk answers.
func TestADraftThatEndsWhileTheDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countStore{}
		d := newDurable(store)
		hang := make(chan struct{})
		store.setHang(hang)
		if d.Draft(ship.Entry{}, 0) == nil || d.Discard() == nil {
			t.Error("a disk that hangs took something")
		}
		store.setHang(nil)
		close(hang)
		synctest.Wait()
		_ = d.Pending()
		if store.discarded != 1 {
			t.Errorf("discarded %d times, want once", store.discarded)
		}
	})
}
