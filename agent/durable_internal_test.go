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
	refused  int64
	letters  []spool.Letter
	dropped  int64 // points of letters
	except   []spool.ID
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

func (h *hungStore) Append(spool.Record) error     { h.do(func() { h.appended++ }); return nil }
func (h *hungStore) Draft(spool.Record, int) error { h.do(func() { h.appended++ }); return nil }
func (h *hungStore) Discard() error                { h.do(func() {}); return nil }
func (h *hungStore) Oldest(_ int64, except []spool.ID) (r spool.Record, err error) {
	h.do(func() { r.Seq, h.except = 7, except })
	return r, nil
}

func (h *hungStore) Note(spool.ID, []byte) bool { h.do(func() {}); return true }

func (h *hungStore) Ack(spool.ID, int64) bool { h.do(func() {}); return true }

func (h *hungStore) MakeRoom() error { h.do(func() {}); return nil }

func (h *hungStore) SetAside(l spool.Letter) { h.do(func() { h.letters = append(h.letters, l) }) }

func (h *hungStore) LoseLetters(n int64) { h.do(func() { h.dropped += n }) }

func (h *hungStore) Refuse(n int64) { h.do(func() { h.refused += n }) }

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
			if _, ok := d.Oldest(0, nil); ok || d.MakeRoom() == nil {
				t.Error("a disk that hangs gave something")
			}
			if id := (ship.ID{Epoch: 1, Seq: 1}); d.Ack(id, 1) || d.Note(id, nil) {
				t.Error("a disk that hangs says that a batch waits")
			}
			d.Lose("x", 2)
			d.Refuse(3)
			d.SetAside(ship.Letter{Entry: ship.Entry{Items: 4}})
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
		if e, ok := d.Oldest(0, nil); !ok || e.Seq != 7 {
			t.Errorf("Oldest = %+v, %v after the disk answered", e, ok)
		}
		if l := d.Losses(); len(l) != 1 || l[0].Points != 2000 {
			t.Errorf("Losses = %v, want the 2000 of while it hung", l)
		}
		if store.refused != 3000 || store.dropped != 4000 || len(store.letters) != 0 {
			t.Errorf("%d points refused, %d without a letter, %d letters; want 3000, 4000, 0", store.refused, store.dropped, len(store.letters))
		}
	})
}

// A loss whose own call hung is told by that call, not twice, and so is a refusal.
func TestALossIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hungStore{}
		d := newDurable(store)
		hang := make(chan struct{})
		store.setHang(hang)
		d.Lose("x", 5)
		store.setHang(nil)
		close(hang)
		hang = make(chan struct{})
		store.setHang(hang)
		d.Refuse(6)
		store.setHang(nil)
		close(hang)
		synctest.Wait()
		if l := d.Losses(); len(l) != 1 || l[0].Points != 5 {
			t.Errorf("Losses = %v, want 5", l)
		}
		if store.refused != 6 {
			t.Errorf("%d points refused, want 6", store.refused)
		}
	})
}

// What the shipper and the spool call the same is the same on both ways.
func TestEntriesAreRecords(t *testing.T) {
	e := ship.Entry{ID: ship.ID{Epoch: 1, Seq: 2}, Items: 4, TimeMS: 5, Payload: []byte("6"), Note: []byte("7")}
	if back := toEntry(toRecord(e)); !reflect.DeepEqual(back, e) {
		t.Errorf("%+v comes back as %+v", e, back)
	}
	store := &hungStore{}
	d := newDurable(store)
	d.SetAside(ship.Letter{Of: ship.ID{Epoch: 3, Seq: 4}, Reason: "400", Entry: e})
	want := spool.Letter{Of: spool.ID{Epoch: 3, Seq: 4}, Reason: "400", Record: toRecord(e)}
	if !reflect.DeepEqual(store.letters, []spool.Letter{want}) {
		t.Errorf("letters %+v, want %+v", store.letters, want)
	}
	if _, ok := d.Oldest(1, []ship.ID{e.ID}); !ok || !reflect.DeepEqual(store.except, []spool.ID{{Epoch: 1, Seq: 2}}) {
		t.Errorf("Oldest leaves out %v", store.except)
	}
}
