package ship_test

import (
	"bytes"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// tableDisk is what survives the death of a process.
type tableDisk struct {
	entries []ship.Entry
	letters map[ship.ID]ship.Letter
	dead    int64 // points, as Ack and Refuse counted them
	calls   int   // of SetAside
}

// tableSpool is one process's view of a disk. A killed process's calls come to
// nothing. It is called by one goroutine, like any spool.
type tableSpool struct {
	disk *tableDisk
	gone atomic.Bool
}

func newTableDisk() *tableDisk { return &tableDisk{letters: make(map[ship.ID]ship.Letter)} }

func (s *tableSpool) Append(e ship.Entry) error {
	if !s.gone.Load() {
		e.Payload, e.Note = bytes.Clone(e.Payload), bytes.Clone(e.Note)
		s.disk.entries = append(s.disk.entries, e)
	}
	return nil
}

func (s *tableSpool) Oldest(sinceMS int64, except []ship.ID) (ship.Entry, bool) {
	for _, e := range s.disk.entries {
		if e.TimeMS >= sinceMS && !slices.Contains(except, e.ID) {
			return e, true
		}
	}
	return ship.Entry{}, false
}

func (s *tableSpool) find(id ship.ID) int {
	return slices.IndexFunc(s.disk.entries, func(e ship.Entry) bool { return e.ID == id })
}

func (s *tableSpool) Note(id ship.ID, note []byte) bool {
	i := s.find(id)
	if i >= 0 && !s.gone.Load() {
		s.disk.entries[i].Note = bytes.Clone(note)
	}
	return i >= 0
}

func (s *tableSpool) Ack(id ship.ID, dead int64) bool {
	i := s.find(id)
	if i >= 0 && !s.gone.Load() {
		s.disk.entries = slices.Delete(s.disk.entries, i, i+1)
		s.disk.dead += dead
	}
	return i >= 0
}

func (s *tableSpool) Refuse(points int64) {
	if !s.gone.Load() {
		s.disk.dead += points
	}
}

// SetAside replaces a letter of the same id, as the agent's spool does.
func (s *tableSpool) SetAside(l ship.Letter) {
	if !s.gone.Load() {
		s.disk.calls++
		l.Payload = bytes.Clone(l.Payload)
		s.disk.letters[l.ID] = l
	}
}

func (s *tableSpool) Pending() int64  { return int64(len(s.disk.entries)) }
func (s *tableSpool) MakeRoom() error { return nil }

func (*tableSpool) Draft(ship.Entry, int) error { return nil }
func (*tableSpool) Discard() error              { return nil }

// pending returns the points of the entries.
func (d *tableDisk) pending(t *testing.T) map[tablePoint]bool {
	all := make(map[tablePoint]bool)
	for _, e := range d.entries {
		for _, p := range tableRead(t, e.Payload, e.String()).points {
			all[p] = true
		}
	}
	return all
}

// set returns the points of the letters, none of which is in two.
func (d *tableDisk) set(t *testing.T) map[tablePoint]bool {
	all := make(map[tablePoint]bool)
	for _, l := range d.letters {
		b := tableRead(t, l.Payload, l.String())
		if int64(len(b.points)) != l.Items {
			t.Errorf("letter %v says that it holds %d points, not %d", l.Entry.ID, l.Items, len(b.points))
		}
		for _, p := range b.points {
			if all[p] {
				t.Errorf("point %v is in two letters", p)
			}
			all[p] = true
		}
	}
	return all
}

// tableRead decodes a body whose id has to be as given.
func tableRead(t *testing.T, body []byte, id string) *tableBody {
	plain, err := ship.Decompress(body)
	if err != nil {
		t.Errorf("body of %s: %v", id, err)
		return &tableBody{}
	}
	batch, err := encode.Native{}.Decode(plain)
	if err != nil || batch.ID() != id {
		t.Errorf("body of %s: %v", id, err)
		return &tableBody{}
	}
	return newTableBody(batch)
}
