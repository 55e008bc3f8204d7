package spool

import (
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// simServer stores what it is sent once, as heka-ingest does: a batch, or a
// part of one, that it has, or that a stored part covers, is a duplicate.
type simServer struct {
	books    *books
	parts    map[string][]string // by the batch's id
	points   map[int64]bool      // stored
	rejected map[int64]bool      // left out
	late     bool                // the request is a copy from long ago
	// One in so many points is poison, for which a batch is refused with a
	// status.
	poison   int64
	status   int
	poisoned int64 // the last point that can be poison, or of a declined batch
	// One in so many batches is declined, for a reason of its own.
	declines uint64
	// limit is on each request.
	limit simLimit
	// rejects is the label of a series that is left out; tells says that the
	// answer names it.
	rejects string
	tells   bool
}

func (s *simServer) isPoison(point int64) bool {
	return s.poison > 0 && point <= s.poisoned && uint64(point)*0x9e3779b97f4a7c15>>32%uint64(s.poison) == 0
}

func (s *simServer) isDeclined(b *metric.Batch) bool {
	return s.declines > 0 && b.Agent.Epoch*0x9e3779b97f4a7c15>>32%s.declines == b.Agent.Seq%s.declines && simPoints(b)[0] <= s.poisoned
}

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
	if s.isDeclined(b) {
		return ship.Outcome{Verdict: ship.Decline, Status: 451, Cause: "not here"}
	}
	for _, point := range simPoints(b) {
		switch {
		case !s.isPoison(point):
		case s.status == 500:
			return ship.Outcome{Status: 500, Cause: "poison"}
		default:
			return ship.Outcome{Verdict: ship.Reject, Status: s.status, Cause: "poison"}
		}
	}
	acked := s.leaveOut(b)
	whole := metric.BatchID(b.Agent.Epoch, b.Agent.Seq)
	for _, part := range s.parts[whole] {
		if part == b.Part || strings.HasPrefix(b.Part, part+"/") {
			return acked
		}
	}
	s.store(b, whole)
	return acked
}

// leaveOut rejects points, and says so in the answer.
func (s *simServer) leaveOut(b *metric.Batch) ship.Outcome {
	acked := ship.Outcome{Verdict: ship.Acked}
	for i, column := range b.Series {
		if column.Labels[0].Value != s.rejects {
			continue
		}
		if acked.Cause = "rejected"; s.tells {
			acked.RejectedSeries = append(acked.RejectedSeries, i)
		}
		for _, v := range column.Values {
			if !v.IsNull() {
				acked.RejectedPoints++
				s.rejected[v.Int64()] = true
			}
		}
	}
	return acked
}

// store keeps what is not rejected. A point may come twice only in a part and in
// what that was cut out of: when a crash forgot that, or the network did not.
func (s *simServer) store(b *metric.Batch, whole string) {
	again := false
	for _, part := range s.parts[whole] {
		again = again || strings.HasPrefix(part, b.Part+"/")
	}
	batch, _, _ := s.books.find(whole)
	allowed := again && (batch.unsure || s.late)
	s.parts[whole] = append(s.parts[whole], b.Part)
	for _, point := range simPoints(b) {
		if s.rejected[point] {
			continue
		}
		if s.points[point] && !allowed {
			s.books.failf("point %d of %s is stored twice", point, b.ID())
		}
		s.points[point] = true
	}
}
