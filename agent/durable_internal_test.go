package agent

import (
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// hungStore answers nothing while it hangs.
type hungStore struct {
	mu       sync.Mutex
	hang     chan struct{} // closed when it answers again
	appended int
	lost     int64
}

func (h *hungStore) do(f func()) {
	h.mu.Lock()
	hang := h.hang
	h.mu.Unlock()
	if hang != nil {
		<-hang
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *hungStore) setHang(hang chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hang = hang
}

func (h *hungStore) Append(spool.Record) error { h.do(func() { h.appended++ }); return nil }
func (h *hungStore) Oldest() (r spool.Record, err error) {
	h.do(func() { r.Seq = 7 })
	return r, nil
}

func (h *hungStore) Ack(spool.ID) bool { h.do(func() {}); return true }

func (h *hungStore) Mark(spool.ID, spool.Mark) bool { h.do(func() {}); return true }

func (h *hungStore) MakeRoom() error { h.do(func() {}); return nil }

func (h *hungStore) SetAside(spool.ID, string) error { h.do(func() {}); return nil }

func (h *hungStore) SetAsidePart(spool.ID, spool.Piece, string) (_ error) { h.do(func() {}); return }

func (h *hungStore) Lose(_ string, n int64) { h.do(func() { h.lost += n }) }
func (h *hungStore) Losses() (l []spool.Loss) {
	h.do(func() { l = []spool.Loss{{Points: h.lost}} })
	return
}

func (h *hungStore) Stats() (s spool.Stats) { h.do(func() { s.Records = int64(h.appended) }); return }

// A disk that hangs costs its patience once, whatever is asked of it, and
// nothing once it answers.
func TestADiskThatHangsIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hungStore{}
		d := newDurable(store)
		if err := d.Append(ship.Entry{}); err != nil || d.Pending() != 1 {
			t.Fatalf("Append = %v, %d pending", err, d.Pending())
		}
		hang := make(chan struct{})
		store.setHang(hang)
		began := time.Now()
		if err := d.Append(ship.Entry{}); err == nil {
			t.Error("Append on a disk that hangs = nil error")
		}
		for range 1000 {
			if err := d.Append(ship.Entry{}); err == nil {
				t.Error("Append on a disk that hangs = nil error")
			}
			if _, ok := d.Oldest(); ok || d.MakeRoom() == nil {
				t.Error("a disk that hangs gave something")
			}
			d.Ack(ship.ID{Epoch: 1, Seq: 1})
			d.Lose("x", 2)
			if d.Pending() != 1 {
				t.Errorf("%d pending, want the 1 of before", d.Pending())
			}
		}
		if took := time.Since(began); took != diskPatience {
			t.Errorf("waited %v, want %v", took, diskPatience)
		}
		store.setHang(nil)
		close(hang)
		synctest.Wait()
		if e, ok := d.Oldest(); !ok || e.Seq != 7 {
			t.Errorf("Oldest = %+v, %v after the disk answered", e, ok)
		}
		if l := d.Losses(); len(l) != 1 || l[0].Points != 2000 {
			t.Errorf("Losses = %v, want the 2000 of while it hung", l)
		}
	})
}

// A loss whose own call hung is told by that call, not twice.
func TestALossIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hungStore{}
		d := newDurable(store)
		hang := make(chan struct{})
		store.setHang(hang)
		d.Lose("x", 5)
		store.setHang(nil)
		close(hang)
		synctest.Wait()
		if l := d.Losses(); len(l) != 1 || l[0].Points != 5 {
			t.Errorf("Losses = %v, want 5", l)
		}
	})
}

// What the shipper and the spool call the same is the same on both ways.
func TestEntriesAreRecords(t *testing.T) {
	e := ship.Entry{
		ID: ship.ID{Epoch: 1, Seq: 2, Part: 3}, Items: 4, TimeMS: 5, Payload: []byte("6"),
		Marks: []ship.Mark{{Part: 7, Fate: ship.PartCut}, {Part: 8, Fate: ship.PartDelivered}, {Part: 9, Fate: ship.PartDead}},
	}
	r := toRecord(e)
	if r.Marks[0].Fate != spool.PartCut || r.Marks[1].Fate != spool.PartDelivered || r.Marks[2].Fate != spool.PartDead {
		t.Errorf("fates of the shipper become %v of the spool", r.Marks)
	}
	if back := toEntry(r); !reflect.DeepEqual(back, e) {
		t.Errorf("%+v comes back as %+v", e, back)
	}
}
