package spool

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// simServer stores what it is sent once, as heka-ingest does: a batch, or a
// part of one, that it has, or that a stored one covers which leaves nothing
// out, is a duplicate.
type simServer struct {
	books    *books
	began    time.Time
	ids      map[simName][]string // stored
	points   map[int64]string     // stored, by which id
	rejected map[simPlace]bool    // left out of what was stored
	late     bool                 // the request is a copy from long ago

	// What it refuses for good, with a status: series for a while, one in so many
	// points, and all points of one in so many ticks.
	bad           []badSeries
	poison, ticks uint64
	status        int
	poisoned      int64 // the last point that can be poison, in a bad tick, or of an unreadable batch
	// One in so many batches cannot be read, which is refused with a verdict.
	unreadable uint64
	unread     ship.Verdict
	// limit is on each request.
	limit simLimit
	// tells says that an answer names the series that were left out; judges, that
	// a duplicate is refused like anything else.
	tells, judges bool
}

// simPlace is a point of a batch.
type simPlace struct {
	simName
	point int64
}

// badSeries is one that is refused, or left out of what is stored, for a while.
type badSeries struct {
	name     string
	from, to time.Duration // since the server began
	leftOut  bool
}

// forever is longer than any simulation.
const forever = 1000 * time.Hour

// draw makes up what a server refuses: in a third of all seeds nothing.
func (s *simServer) draw(rng *rand.Rand, series int) {
	s.began, s.poisoned = time.Now(), 1<<62
	s.status, s.tells, s.judges = oneOf(rng, 400, 422, 500, 403, 0), rng.IntN(2) == 0, rng.IntN(2) == 0
	s.unread = oneOf(rng, ship.Decline, ship.Reject)
	if rng.IntN(3) == 0 {
		return
	}
	s.poison, s.ticks = oneOf[uint64](rng, 0, 0, 0, 2000, 300), oneOf[uint64](rng, 0, 0, 200, 40)
	s.unreadable = oneOf[uint64](rng, 0, 0, 0, 20)
	for _, i := range rng.Perm(series)[:min(rng.IntN(5), series-1)] {
		b := badSeries{name: strconv.Itoa(i), to: forever, leftOut: rng.IntN(4) == 0}
		if rng.IntN(2) == 0 {
			b.from = time.Duration(rng.Int64N(int64(40 * time.Minute)))
		}
		if rng.IntN(3) == 0 {
			b.to = b.from + time.Duration(rng.Int64N(int64(40*time.Minute)))
		}
		s.bad = append(s.bad, b)
	}
}

func (s *simServer) String() string {
	return fmt.Sprintf("bad %+v, poison %d, ticks %d, status %d, unreadable %d, tells %t, judges %t", s.bad, s.poison, s.ticks, s.status, s.unreadable, s.tells, s.judges)
}

func oneIn(n, x uint64) bool { return n > 0 && x*0x9e3779b97f4a7c15>>32%n == 0 }

// isBad says that a point is refused now or, with leftOut, is left out.
func (s *simServer) isBad(p simPoint, leftOut bool) bool {
	if !leftOut && p.value <= s.poisoned && (oneIn(s.poison, uint64(p.value)) || oneIn(s.ticks, uint64(p.timeMS))) {
		return true
	}
	age := time.Since(s.began)
	return slices.ContainsFunc(s.bad, func(b badSeries) bool {
		return b.name == p.series && b.leftOut == leftOut && b.from <= age && age < b.to
	})
}

// culpable says that there may be a reason to refuse a point of a batch, or its
// series, for good.
func (s *simServer) culpable(b *simBatch, p simPoint) bool {
	return slices.ContainsFunc(s.bad, func(b badSeries) bool { return b.name == p.series }) || s.isBad(p, false) || s.poison > 0 || s.isUnreadable(b.simName, b.points[0].value) ||
		s.limit.bytes > 0 && s.limit.bytes <= 600
}

func (s *simServer) isUnreadable(name simName, first int64) bool {
	return s.unreadable > 0 && name.epoch*0x9e3779b97f4a7c15>>32%s.unreadable == name.seq%s.unreadable && first <= s.poisoned
}

// has says that a point is stored.
func (s *simServer) has(p simPoint) bool { return s.points[p.value] != "" }

// simLimit is how large a request may be; 0 is no limit.
type simLimit struct {
	bytes  int
	points int64
}

func (l simLimit) allows(p ship.Payload) bool {
	return (l.bytes == 0 || len(p.Body) <= l.bytes) && (l.points == 0 || p.Points <= l.points)
}

// read decodes a request and checks what it says of itself. It returns nil for
// one that is not sound.
func (s *simServer) read(p ship.Payload) *metric.Batch {
	b, err := decodeBody(p.Body)
	if err != nil || b.ID() != p.ID || b.Points() != p.Points {
		s.books.failf("the body of %s is not that batch: %v", p.ID, err)
		return nil
	}
	s.books.keyed(p.ID, simPoints(b))
	return b
}

func decodeBody(body []byte) (*metric.Batch, error) {
	plain, err := ship.Decompress(body)
	if err != nil {
		return nil, err
	}
	return encode.Native{}.Decode(plain)
}

// take is the server's side of one request.
func (s *simServer) take(b *metric.Batch) ship.Outcome {
	name, points := simName{b.Agent.Epoch, b.Agent.Seq}, simPoints(b)
	if s.isUnreadable(name, points[0].value) {
		return ship.Outcome{Verdict: s.unread, Status: 451, Cause: "of another version"}
	}
	duplicate := slices.ContainsFunc(s.ids[name], func(id string) bool { return covers(id, b.ID()) })
	if !duplicate || s.judges {
		for _, p := range points {
			if s.isBad(p, false) {
				s.disown(name, b.ID())
				return refusal(s.status)
			}
		}
	}
	acked := s.leaveOut(b, name)
	if !duplicate {
		s.store(b.ID(), name, points)
	}
	return acked
}

// disown notes that what is stored is refused when it comes again.
func (s *simServer) disown(name simName, id string) {
	for _, stored := range s.ids[name] {
		if covers(stored, id) {
			sent := s.books.ids[stored]
			sent.disowned = true
			s.books.ids[stored] = sent
		}
	}
}

// fails says that the server refuses as one in an outage does.
func (s *simServer) fails() bool { return refusal(s.status).MayBeContent }

// refusal is the answer for something bad; a status of 0 is a reset.
func refusal(status int) ship.Outcome {
	o := ship.Outcome{Verdict: ship.Reject, Status: status, Cause: "bad"}
	switch status {
	case 0, 500:
		o.Verdict, o.MayBeContent = ship.Retry, true
	case 403:
		o.Verdict, o.MayBeContent = ship.Pause, true
	}
	return o
}

// covers says that what has one id makes another a duplicate.
func covers(stored, id string) bool {
	path, _, _ := strings.Cut(id, "-")
	return stored == id || !strings.Contains(stored, "-") && (path == stored || strings.HasPrefix(path, stored+"/"))
}

// leaveOut rejects points, the same ones each time, and says so in the answer.
func (s *simServer) leaveOut(b *metric.Batch, name simName) ship.Outcome {
	acked := ship.Outcome{Verdict: ship.Acked, Status: 200}
	for i, column := range b.Series {
		some := false
		for tick, v := range column.Values {
			if v.IsNull() {
				continue
			}
			p := simPoint{v.Int64(), column.Labels[0].Value, b.Times[tick]}
			at := simPlace{name, p.value}
			if s.rejected[at] = s.rejected[at] || !s.has(p) && s.isBad(p, true); !s.rejected[at] {
				delete(s.rejected, at)
				continue
			}
			acked.RejectedPoints++
			acked.Cause, some = "rejected", true
			if s.tells {
				acked.RejectedPlaces = append(acked.RejectedPlaces, metric.Place{Series: i, Time: tick})
			}
		}
		if some && s.tells && !slices.ContainsFunc(column.Values, func(v metric.Value) bool { return !v.IsNull() && !s.rejected[simPlace{name, v.Int64()}] }) {
			acked.RejectedSeries = append(acked.RejectedSeries, i)
		}
	}
	return acked
}

// store keeps what is not rejected. A point may come twice only when a crash
// forgot under which id it was sent, or the network did not.
func (s *simServer) store(id string, name simName, points []simPoint) {
	batch := s.books.batches[name]
	s.ids[name] = append(s.ids[name], id)
	for _, p := range points {
		if s.rejected[simPlace{name, p.value}] {
			continue
		}
		if as := s.points[p.value]; as != "" && !s.books.mayRepeat(batch, as, id) && !s.late {
			s.books.failf("point %d is stored as %s, and again as %s", p.value, as, id)
		}
		s.points[p.value] = id
	}
}
