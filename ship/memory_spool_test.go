package ship_test

import (
	"bytes"
	"errors"
	"slices"
	"sync"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// memorySpool is a Spool that can be broken.
type memorySpool struct {
	mu       sync.Mutex
	broken   bool
	entries  []ship.Entry
	dead     []ship.Entry
	reasons  []string
	appended int
}

func (s *memorySpool) Append(e ship.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return errors.New("disk full")
	}
	e.Payload = bytes.Clone(e.Payload)
	s.entries = append(s.entries, e)
	s.appended++
	return nil
}

func (s *memorySpool) Oldest() (ship.Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.entries) == 0 {
		return ship.Entry{}, false
	}
	return s.entries[0], true
}

// take removes an entry, and returns it.
func (s *memorySpool) take(id ship.ID) (e ship.Entry, ok bool) {
	i := slices.IndexFunc(s.entries, func(e ship.Entry) bool { return e.ID == id })
	if i < 0 {
		return e, false
	}
	e = s.entries[i]
	s.entries = slices.Delete(s.entries, i, i+1)
	return e, true
}

func (s *memorySpool) Ack(id ship.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.take(id)
	return ok
}

func (s *memorySpool) Mark(id ship.ID, m ship.Mark) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.entries {
		if s.entries[i].ID == id {
			s.entries[i].Marks = append(slices.Clone(s.entries[i].Marks), m)
			return true
		}
	}
	return false
}

func (s *memorySpool) SetAside(id ship.ID, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return errors.New("disk full")
	}
	if e, ok := s.take(id); ok {
		s.dead, s.reasons = append(s.dead, e), append(s.reasons, reason)
	}
	return nil
}

func (s *memorySpool) SetAsidePart(id ship.ID, p ship.Piece, reason string) error {
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken {
		return errors.New("disk full")
	}
	plain, err := ship.Decompress(p.Payload)
	if err != nil {
		panic(err)
	}
	batch, err := encode.Native{}.Decode(plain)
	if err != nil {
		panic(err)
	}
	if s.Mark(id, ship.Mark{Part: p.Part, Fate: ship.PartDead}) {
		s.mu.Lock()
		defer s.mu.Unlock()
		part := ship.ID{Epoch: id.Epoch, Seq: id.Seq, Part: p.Part}
		s.dead = append(s.dead, ship.Entry{ID: part, Items: batch.Points(), Payload: p.Payload})
		s.reasons = append(s.reasons, reason)
	}
	return nil
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
