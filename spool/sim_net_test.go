package spool

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// netFault is what may become of a request.
type netFault string

const (
	netSound        netFault = "sound"
	netRefused      netFault = "connection refused"
	netResetBefore  netFault = "reset before the server had it"
	netResetAfter   netFault = "reset after the server had it"
	netTimeout      netFault = "no answer, but the server had it"
	netSlow         netFault = "slow"
	netTwice        netFault = "delivered twice"
	netLate         netFault = "reset, and delivered later"
	netTooMany      netFault = "429"
	netUnavailable  netFault = "503"
	netBroken       netFault = "500"
	netUnauthorized netFault = "401"
	netPortal       netFault = "200 of a portal"
	netRefusal      netFault = "400"
	netTooLarge     netFault = "413 over a limit"
)

// simNet is the way to the server: requests meet its weather.
type simNet struct {
	rng     *rand.Rand
	server  *simServer
	fault   netFault
	p       float64
	limit   int64 // points that netTooLarge lets pass
	after   time.Duration
	renewed bool // credentials were, since the last Send
	late    []lateRequest
}

// lateRequest is a copy of a request that the network still holds.
type lateRequest struct {
	at      time.Time
	payload ship.Payload
}

// Refreshed reports new credentials.
func (n *simNet) Refreshed() bool { return n.renewed }

// instant is how long after the shipper decided on a request it is under way.
const instant = time.Microsecond

// Send is one request.
func (n *simNet) Send(ctx context.Context, p ship.Payload) ship.Outcome {
	// The shipper may still be busy at this instant: what it does shall not be
	// beside this.
	time.Sleep(n.between(1, instant))
	b := n.server.books.sent(p.ID)
	if b == nil {
		return ship.Outcome{Cause: "dead"}
	}
	n.renewed = false
	defer func() { b.flying-- }()
	fault := netSound
	if n.rng.Float64() < n.p {
		fault = n.fault
	}
	o := n.attempt(ctx, p, fault)
	n.server.books.answered(b, p, fault, o)
	return o
}

func (n *simNet) attempt(ctx context.Context, p ship.Payload, fault netFault) ship.Outcome {
	if !n.travel(ctx, fault) {
		return ship.Outcome{Cause: "cancelled"}
	}
	retry := ship.Outcome{Cause: string(fault)}
	switch fault {
	case netRefused, netResetBefore:
		return retry
	case netLate:
		p.Body = append([]byte(nil), p.Body...)
		n.late = append(n.late, lateRequest{time.Now().Add(n.between(0, 2*time.Minute)), p})
		n.server.books.find(p.ID).flying++
		return retry
	case netTooMany, netUnavailable:
		retry.Overload, retry.After = true, n.after
		return retry
	case netBroken, netPortal:
		return retry
	case netUnauthorized:
		return ship.Outcome{Verdict: ship.Pause, Cause: string(fault)}
	case netRefusal:
		return ship.Outcome{Verdict: ship.Reject, Cause: string(fault)}
	case netTooLarge:
		if p.Points > n.limit {
			return ship.Outcome{Verdict: ship.Reject, Cause: string(fault)}
		}
	case netTwice:
		n.server.take(p)
	}
	o := n.server.take(p)
	if fault == netTimeout && !n.sleep(ctx, 30*time.Second) || !n.travel(ctx, fault) {
		return ship.Outcome{Cause: "cancelled"}
	}
	switch fault {
	case netResetAfter:
		return retry
	case netTimeout:
		retry.Overload = true
		return retry
	}
	return o
}

// travel is half a round trip.
func (n *simNet) travel(ctx context.Context, fault netFault) bool {
	if fault == netSlow {
		return n.sleep(ctx, n.between(0, 12*time.Second))
	}
	return n.sleep(ctx, n.between(0, 100*time.Millisecond))
}

func (n *simNet) sleep(ctx context.Context, d time.Duration) bool {
	n.server.books.meet()
	defer n.server.books.meet()
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func (n *simNet) between(low, high time.Duration) time.Duration {
	return low + time.Duration(n.rng.Int64N(int64(high-low)))
}

// deliverLate delivers the copies that are due.
func (n *simNet) deliverLate(all bool) {
	var left []lateRequest
	for _, l := range n.late {
		if !all && time.Now().Before(l.at) {
			left = append(left, l)
			continue
		}
		n.server.take(l.payload)
		n.server.books.find(l.payload.ID).flying--
	}
	n.late = left
}

// simServer stores what it is sent once, as heka-ingest does: a batch, or a
// part of one, that it has, or that a stored part covers, is a duplicate.
type simServer struct {
	books  *books
	parts  map[string][]string // of the batch's id
	points map[int64]bool
	// One in so many points is poison, for which a batch is refused, or refused
	// by itself.
	poison, rejects int64
	poisoned        int64 // the last point that can be poison
}

// is says whether a point is one in n, by its value.
func (s *simServer) is(point, n int64) bool {
	return n > 0 && uint64(point)*0x9e3779b97f4a7c15>>32%uint64(n) == 0
}

func (s *simServer) isPoison(point int64) bool   { return point <= s.poisoned && s.is(point, s.poison) }
func (s *simServer) isRejected(point int64) bool { return s.is(point+1<<40, s.rejects) }

// has says that a batch, or a part of it, arrived.
func (s *simServer) has(b *simBatch) bool { return len(s.parts[metric.BatchID(b.epoch, b.seq)]) > 0 }

// take is the server's side of one request.
func (s *simServer) take(p ship.Payload) ship.Outcome {
	body, err := ship.Decompress(p.Body)
	if err != nil {
		s.books.failf("batch %s: %v", p.ID, err)
	}
	b, err := encode.Native{}.Decode(body)
	if err != nil || b.ID() != p.ID || b.Points() != p.Points {
		s.books.failf("the body of %s is not that batch: %v", p.ID, err)
		return ship.Outcome{}
	}
	points := pointsOf(b)
	var rejected int64
	for _, id := range points {
		if s.isPoison(id) {
			return ship.Outcome{Verdict: ship.Reject, Cause: "poison"}
		}
		if s.isRejected(id) {
			rejected++
		}
	}
	whole := metric.BatchID(b.Agent.Epoch, b.Agent.Seq)
	acked := ship.Outcome{Verdict: ship.Acked, RejectedPoints: rejected}
	for _, part := range s.parts[whole] {
		if part == b.Part || strings.HasPrefix(b.Part, part+"/") {
			return acked
		}
	}
	s.parts[whole] = append(s.parts[whole], b.Part)
	for _, id := range points {
		if s.isRejected(id) {
			continue
		}
		if s.points[id] {
			s.books.failf("point %d of %s is stored twice", id, p.ID)
		}
		s.points[id] = true
	}
	return acked
}

// pointsOf lists the values of a batch.
func pointsOf(b *metric.Batch) (points []int64) {
	for _, column := range b.Series {
		for _, v := range column.Values {
			if !v.IsNull() {
				points = append(points, v.Int64())
			}
		}
	}
	return points
}
