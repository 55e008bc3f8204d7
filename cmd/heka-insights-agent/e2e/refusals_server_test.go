package e2e_test

import (
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// spot identifies a point on the wire by its series and the time of its tick.
type spot struct {
	series string
	ms     int64
}

// picky is a backend that refuses each body with a point of certain series. It
// remembers what it received and what it accepted.
type picky struct {
	refuse func(w http.ResponseWriter)
	choose func(i, n int) bool // which of a host's n series are bad
	from   int                 // the first tick in which they are bad

	mu       sync.Mutex
	open     bool              // nothing is refused any more; guarded by mu, like the fields below
	series   []string          // in the order of the first body
	bad      map[string]bool   // series
	since    int64             // the time of the first tick in which they are bad; 0 if unknown
	shown    map[spot]bool     // received in any body
	got      map[spot]string   // accepted, with the id of the body
	told     map[string]uint64 // what an id stands for
	ticks    []int64           // of received points, ascending
	twice    map[string]int    // points received under two ids
	refusals int
	faults   []string
}

func newPicky(refuse func(w http.ResponseWriter), choose func(i, n int) bool, from int) *picky {
	return &picky{
		refuse: refuse, choose: choose, from: from,
		bad: make(map[string]bool), shown: make(map[spot]bool), got: make(map[spot]string), told: make(map[string]uint64),
		twice: make(map[string]int),
	}
}

func (s *picky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	b, err := readBody(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	if s.take(b) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"batch_id":%q}`, b.ID())
		return
	}
	s.refuse(w)
}

func readBody(body []byte) (*metric.Batch, error) {
	plain, err := ship.Decompress(body)
	if err != nil {
		return nil, err
	}
	return encode.Native{}.Decode(plain)
}

// spotsOf returns the points of a batch.
func spotsOf(b *metric.Batch) (all []spot) {
	for _, c := range b.Series {
		name := c.Name
		for _, l := range c.Labels {
			name += " " + l.Key + "=" + l.Value
		}
		for i, v := range c.Values {
			if !v.IsNull() {
				all = append(all, spot{name, b.Times[i]})
			}
		}
	}
	return all
}

// take reports whether a body is accepted.
func (s *picky) take(b *metric.Batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	spots := spotsOf(b)
	s.learn(b, spots)
	h := fnv.New64a()
	h.Write(encode.Native{}.Append(nil, &metric.Batch{Times: b.Times, Series: b.Series}))
	if sum, known := s.told[b.ID()]; known && sum != h.Sum64() {
		s.faults = append(s.faults, "the id "+b.ID()+" names other points than before")
	}
	s.told[b.ID()] = h.Sum64()
	if !s.open && slices.ContainsFunc(spots, s.isBad) {
		s.refusals++
		return false
	}
	for _, p := range spots {
		if id, known := s.got[p]; known && id != b.ID() {
			s.twice[b.ID()+" repeats points of "+id]++
		}
		s.got[p] = b.ID()
	}
	return true
}

// learn records series and ticks, and which of them are bad. mu must be held.
func (s *picky) learn(b *metric.Batch, spots []spot) {
	for _, p := range spots {
		if s.shown[p] = true; len(s.ticks) < 3 && !slices.Contains(s.series, p.series) {
			s.series = append(s.series, p.series)
		}
	}
	for _, ms := range b.Times {
		if i, known := slices.BinarySearch(s.ticks, ms); !known {
			s.ticks = slices.Insert(s.ticks, i, ms)
		}
	}
	if s.since != 0 || len(s.ticks) <= s.from {
		return
	}
	s.since = s.ticks[s.from]
	for i, name := range s.series {
		if s.choose(i, len(s.series)) {
			s.bad[name] = true
		}
	}
}

func (s *picky) isBad(p spot) bool { return s.bad[p.series] && s.since != 0 && p.ms >= s.since }

// lacks returns how many good points up to a time were received, or are in
// elsewhere, but were not accepted.
func (s *picky) lacks(elsewhere map[spot]bool, upTo int64) (n int, example spot) {
	for _, all := range []map[spot]bool{s.shown, elsewhere} {
		for p := range all {
			if _, arrived := s.got[p]; !arrived && !s.isBad(p) && p.ms <= upTo {
				n, example = n+1, p
			}
		}
	}
	return n, example
}

// fresh returns an error until every good point of some ticks after the first
// bad one has arrived, with all points before them.
func (s *picky) fresh() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	const ticks = 4 // the newest tick may be under way
	if s.refusals == 0 || len(s.ticks) < s.from+2*ticks {
		return fmt.Errorf("%d ticks, %d refusals", len(s.ticks), s.refusals)
	}
	newest := s.ticks[len(s.ticks)-2]
	if n, example := s.lacks(nil, newest); n > 0 {
		return fmt.Errorf("%d good points of %d ticks have not arrived, such as %v; %d refusals", n, len(s.ticks), example, s.refusals)
	}
	for _, ms := range s.ticks[len(s.ticks)-1-ticks : len(s.ticks)-1] {
		if n := s.holes(ms, false); n > 0 {
			return fmt.Errorf("%d good series have no point at %d; %d refusals", n, ms, s.refusals)
		}
	}
	return nil
}

// complete returns an error if a good point waits in the spool, except for the
// last tick.
func (s *picky) complete(waiting map[spot]bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, example := s.lacks(waiting, s.ticks[len(s.ticks)-2]); n > 0 {
		return fmt.Errorf("%d good points wait in the spool, such as %v", n, example)
	}
	return nil
}

// holes returns the number of series, good or bad, without an accepted point in
// a tick.
func (s *picky) holes(ms int64, bad bool) (n int) {
	for _, name := range s.series {
		p := spot{name, ms}
		if _, arrived := s.got[p]; !arrived && s.isBad(p) == bad {
			n++
		}
	}
	return n
}
