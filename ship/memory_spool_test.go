package ship_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// memorySpool is a Spool that can be broken: it takes no further entry then, and
// loses letters, while what it has can still be noted and acknowledged.
type memorySpool struct {
	mu      sync.Mutex
	broken  bool
	entries []ship.Entry
	// dead are the letters, and reasons is what they are for.
	dead    []ship.Entry
	reasons []string
	of      []ship.ID // of the letters

	draft   []ship.Entry
	drafted int // how many records that ever had

	appended    int
	appendedPts int64 // points
	delivered   int64 // points, as Ack says
	deadPoints  int64 // points, as Ack and Refuse say
	refused     int64 // of these, as Refuse says
	unkept      int64 // points of letters that were lost
}

func (s *memorySpool) Append(e ship.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return errors.New("disk full")
	}
	s.append(e)
	return nil
}

// append is called with mu held.
func (s *memorySpool) append(e ship.Entry) {
	e.Payload, e.Note = bytes.Clone(e.Payload), bytes.Clone(e.Note)
	s.entries = append(s.entries, e)
	s.appended++
	s.appendedPts += e.Items
}

// Draft keeps what a real spool would. A draft that does not follow on, or one of
// ticks that are in a batch by now, is a mistake of the shipper's.
func (s *memorySpool) Draft(e ship.Entry, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return errors.New("disk full")
	}
	if n == 0 {
		s.draft = nil
	}
	if n != len(s.draft) || n > 0 && e.Seq != s.draft[0].Seq+uint64(n) {
		panic(fmt.Sprintf("draft record %d, seq %d, follows on %d of them", n, e.Seq, len(s.draft)))
	}
	e.Payload = bytes.Clone(e.Payload)
	s.draft = append(s.draft, e)
	s.drafted++
	return nil
}

func (s *memorySpool) Discard() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draft = nil
	return nil
}

func (s *memorySpool) Oldest(sinceMS int64, except []ship.ID) (ship.Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.oldest(sinceMS, except)
}

// oldest is called with mu held.
func (s *memorySpool) oldest(sinceMS int64, except []ship.ID) (ship.Entry, bool) {
	for _, e := range s.entries {
		if e.TimeMS >= sinceMS && !slices.Contains(except, e.ID) {
			e.Note = bytes.Clone(e.Note)
			return e, true
		}
	}
	return ship.Entry{}, false
}

// first returns the oldest entry of all.
func (s *memorySpool) first() (ship.Entry, bool) { return s.Oldest(0, nil) }

// take removes an entry, and returns it. It is called with mu held.
func (s *memorySpool) take(id ship.ID) (e ship.Entry, ok bool) {
	i := slices.IndexFunc(s.entries, func(e ship.Entry) bool { return e.ID == id })
	if i < 0 {
		return e, false
	}
	e = s.entries[i]
	s.entries = slices.Delete(s.entries, i, i+1)
	return e, true
}

func (s *memorySpool) Note(id ship.ID, note []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.entries {
		if s.entries[i].ID == id {
			s.entries[i].Note = bytes.Clone(note)
			return true
		}
	}
	return false
}

func (s *memorySpool) Ack(id ship.ID, dead int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.take(id)
	if !ok {
		return false
	}
	if dead < 0 || dead > e.Items {
		panic("more points are dead than there were")
	}
	s.delivered += e.Items - dead
	s.deadPoints += dead
	return true
}

func (s *memorySpool) Refuse(points int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadPoints += points
	s.refused += points
}

func (s *memorySpool) SetAside(l ship.Letter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		s.unkept += l.Items
		return
	}
	l.Payload = bytes.Clone(l.Payload)
	s.dead, s.reasons, s.of = append(s.dead, l.Entry), append(s.reasons, l.Reason), append(s.of, l.Of)
}

func (s *memorySpool) Pending() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.entries))
}

func (s *memorySpool) MakeRoom() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return errors.New("disk full")
	}
	return nil
}

func (s *memorySpool) setBroken(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken
}
