package ship_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	to "github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// linePoint is a point in the format of the tests' own backend: one JSON line.
type linePoint struct {
	Series string
	TimeMS int64
	Value  json.Number
}

// lines is that format.
type lines struct{}

// lineAnswer says of points, by their number in the body, what became of them;
// of those that it does not name, all were stored.
type lineAnswer struct {
	Stored    bool
	Bad, Busy []int
	From      int   // those from here on were not looked at; 0: all were; -1: none was
	Unnamed   int64 // points that were dropped
	Invalid   *int  // the first bad point, for which nothing was stored
}

func lineBackend(limits to.Limits) to.Backend {
	return to.Backend{
		Name: "lines", Format: lines{}, ContentType: "application/jsonl", KeyHeader: "X-Api-Key",
		TokenParameter: "token", Compressions: []string{"gzip"}, Limits: limits,
	}
}

func eachPoint(b *metric.Batch, f func(at metric.Place, p linePoint)) {
	for tick, ms := range b.Times {
		for i, c := range b.Series {
			if v := c.Values[tick]; !v.IsNull() {
				f(metric.Place{Series: i, Time: tick}, linePoint{fmt.Sprint(c.Name, c.Series.Labels), ms, json.Number(v.Append(nil))})
			}
		}
	}
}

func (lines) Append(dst []byte, b *metric.Batch) []byte {
	eachPoint(b, func(_ metric.Place, p linePoint) {
		line, _ := json.Marshal(p)
		dst = append(append(dst, line...), '\n')
	})
	return dst
}

func (lines) Judge(sent to.Sent, a to.Answer) (j to.Judgement, known bool) {
	var said lineAnswer
	if a.Status == http.StatusBadRequest && json.Unmarshal(a.Body, &said) == nil && said.Invalid != nil && sent.Points > 1 {
		j.Verdict, j.Cause = to.Reject, "bad point"
		n := 0
		eachPoint(sent.Batch, func(at metric.Place, _ linePoint) {
			if n++; n-1 == *said.Invalid {
				j.Rejected = metric.Rejected{Points: 1, Places: []metric.Place{at}, Reason: "bad point"}
			} else {
				j.Again = append(j.Again, at)
			}
		})
		return j, true
	}
	if a.Status != http.StatusOK || json.Unmarshal(a.Body, &said) != nil || !said.Stored {
		return j, false
	}
	var places []metric.Place
	eachPoint(sent.Batch, func(at metric.Place, _ linePoint) { places = append(places, at) })
	j = to.Judgement{Verdict: to.Acked, Rejected: metric.Rejected{Points: int64(len(said.Bad)) + said.Unnamed, Reason: "bad point"}}
	for _, n := range said.Bad {
		j.Rejected.Places = append(j.Rejected.Places, places[n])
	}
	for _, n := range said.Busy {
		j.Verdict, j.Cause, j.Overload = to.Retry, "busy", true
		j.Again = append(j.Again, places[n])
	}
	if said.From != 0 {
		j.Again = append(j.Again, places[max(said.From, 0):]...)
	}
	return j, true
}

// lineServer stores points.
type lineServer struct {
	t  *testing.T
	mu sync.Mutex
	// refuses is the status of every answer, unless it is 0. bad points are refused for good, busy ones for
	// now; dropped ones are counted. atMost points are stored of a body, unless
	// it is 0; none if it is negative.
	refuses         int
	bad, busy, drop func(linePoint) bool
	atMost          int
	strict          bool // refuses all of a body for its first bad point

	sight
}

// sight is what it has seen.
type sight struct {
	stored    map[linePoint]int
	requests  int
	received  int // points, of all bodies
	plainMost int
	bodyMost  int64
	plain     int // bodies that were not compressed
	tokens    map[string]bool
}

// seen is a copy.
func (s *lineServer) seen() sight {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.sight
	now.stored, now.tokens = maps.Clone(s.stored), maps.Clone(s.tokens)
	return now
}

func newLineServer(t *testing.T) *lineServer {
	none := func(linePoint) bool { return false }
	return &lineServer{t: t, bad: none, busy: none, drop: none, sight: sight{stored: make(map[linePoint]int), tokens: make(map[string]bool)}}
}

func (s *lineServer) set(change func(s *lineServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *lineServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.tokens[r.URL.Query().Get("token")] = true
	if r.Header.Get("Content-Type") != "application/jsonl" || r.Header.Get("X-Api-Key") != apiKey {
		s.t.Errorf("headers: %v", r.Header)
	}
	if s.refuses != 0 {
		w.WriteHeader(s.refuses)
		return
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") != "" {
		unzipped, err := gzip.NewReader(r.Body) // the one compression that it takes
		if err != nil {
			s.t.Error(err)
			return
		}
		body = unzipped
	} else {
		s.plain++
	}
	counted := &countingReader{Reader: body}
	answer := lineAnswer{Stored: true}
	var taken []linePoint
	scanner := bufio.NewScanner(counted)
	for n := 0; scanner.Scan(); n++ {
		var p linePoint
		if err := json.Unmarshal(scanner.Bytes(), &p); err != nil {
			s.t.Error(err)
		}
		s.received++
		switch {
		case s.atMost < 0:
			answer.From = -1
		case s.atMost > 0 && n >= s.atMost:
			if answer.From == 0 {
				answer.From = n
			}
		case s.bad(p):
			answer.Bad = append(answer.Bad, n)
		case s.busy(p):
			answer.Busy = append(answer.Busy, n)
		case s.drop(p):
			answer.Unnamed++
		default:
			taken = append(taken, p)
		}
	}
	s.bodyMost = max(s.bodyMost, r.ContentLength)
	s.plainMost = max(s.plainMost, counted.n)
	if s.strict && len(answer.Bad) > 0 {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(lineAnswer{Invalid: &answer.Bad[0]})
		return
	}
	for _, p := range taken {
		s.stored[p]++
	}
	_ = json.NewEncoder(w).Encode(answer)
}

type countingReader struct {
	io.Reader
	n int
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += n
	return n, err
}

// newLineWorld is an agent that ships to a lineServer.
func newLineWorld(t *testing.T, limits to.Limits, change func(s *settings)) (*world, *lineServer) {
	t.Helper()
	server := newLineServer(t)
	w := newWorld(t, plain, func(_ *world, s *settings) {
		s.handler, s.client.Backend, s.client.Decode = server, lineBackend(limits), encode.Native{}.Decode
		if change != nil {
			change(s)
		}
	})
	return w, server
}

// lineClient is a client of its own.
func (w *world) lineClient(limits to.Limits) *ship.Client {
	w.t.Helper()
	client, err := ship.NewClient(ship.ClientConfig{
		Endpoint: parse(w.t, plain.endpoint()), Timeout: time.Minute, DialContext: w.network.DialContext,
		Backend: lineBackend(limits), Decode: encode.Native{}.Decode,
		Authorize: func(h http.Header, _ bool) error { h.Set("X-Api-Key", apiKey); return nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

// books ends the world and checks that each point made is stored once, or is a
// dead letter, or is counted as lost, and returns how many are which.
func (w *world) books(s *lineServer) (stored, dead, lost int64) {
	w.t.Helper()
	w.drain()
	w.end()
	now := s.seen()
	letters := make(map[linePoint]bool)
	for _, b := range w.letters() {
		eachPoint(b, func(_ metric.Place, p linePoint) {
			if letters[p] || now.stored[p] > 0 {
				w.t.Errorf("%+v is a dead letter, and stored or a letter twice", p)
			}
			letters[p] = true
		})
	}
	for p, times := range now.stored {
		if times > 1 {
			w.t.Errorf("%+v was stored %d times", p, times)
		}
	}
	for _, l := range w.ledger.Losses() {
		lost += l.Points
	}
	stored, dead = int64(len(now.stored)), int64(len(letters))
	if made := w.producer.Ticks() * 10; stored+dead+lost != made {
		w.t.Errorf("%d points made; %d stored, %d dead letters, %d lost", made, stored, dead, lost)
	}
	return stored, dead, lost
}

func withMode(mode ship.SpoolMode) func(s *settings) {
	return func(s *settings) { s.ship.Mode = mode }
}

func (w *world) outage(s *lineServer, lasts time.Duration) {
	s.set(func(s *lineServer) { s.refuses = 502 })
	time.Sleep(lasts)
	s.set(func(s *lineServer) { s.refuses = 0 })
}
