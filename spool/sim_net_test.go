package spool

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
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
	netForbidden    netFault = "403"
	netTooLarge     netFault = "413 over a limit"
	netUnsupported  netFault = "415 of a compression"
)

var statusOf = map[netFault]int{
	netTooMany: 429, netUnavailable: 503, netBroken: 500, netPortal: 200, netUnauthorized: 401, netRefusal: 400, netForbidden: 403,
}

// slanders are the faults that may be taken for refusals of what is sent.
var slanders = []netFault{netBroken, netRefusal, netForbidden, netTooLarge, netResetBefore, netResetAfter, netLate}

// simNet is the way to the server: requests meet its weather.
type simNet struct {
	rng     *rand.Rand
	server  *simServer
	fault   netFault
	p       float64
	limit   simLimit // of netTooLarge
	after   time.Duration
	renewed bool // credentials were, since the last Send
	late    []lateRequest
}

// lateRequest is a copy of a request that the network still holds.
type lateRequest struct {
	at    time.Time
	batch *metric.Batch
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
	n.renewed = false
	b := n.server.books.sent(p.ID)
	if b == nil {
		return ship.Outcome{Cause: "dead"}
	}
	defer func() { b.flying-- }()
	m := n.server.read(p)
	if m == nil {
		return ship.Outcome{Cause: "not sound"}
	}
	fault := netSound
	if n.rng.Float64() < n.p {
		fault = n.fault
	}
	o := n.attempt(ctx, p, m, fault)
	n.server.books.trials.slandered = n.server.books.trials.slandered || slices.Contains(slanders, fault)
	n.server.books.answered(b, p, m, fault, o)
	return o
}

func (n *simNet) attempt(ctx context.Context, p ship.Payload, m *metric.Batch, fault netFault) ship.Outcome {
	if !n.travel(ctx, fault) {
		return ship.Outcome{Cause: "cancelled"}
	}
	if !n.server.limit.allows(p) {
		return ship.Outcome{Verdict: ship.TooLarge, Status: 413, Cause: "over the limit"}
	}
	retry := ship.Outcome{Cause: string(fault), Status: statusOf[fault]}
	switch fault {
	case netRefused:
		retry.NoConnection = true
		return retry
	case netResetBefore, netBroken:
		retry.MayBeContent = true
		return retry
	case netLate:
		n.late = append(n.late, lateRequest{time.Now().Add(n.between(0, 2*time.Minute)), m})
		n.server.books.find(p.ID).flying++
		retry.MayBeContent = true
		return retry
	case netTooMany, netUnavailable:
		retry.Overload, retry.After = true, n.after
		return retry
	case netPortal:
		return retry
	case netUnauthorized, netForbidden:
		retry.Verdict, retry.MayBeContent = ship.Pause, fault == netForbidden
		return retry
	case netRefusal:
		retry.Verdict = ship.Reject
		return retry
	case netUnsupported:
		if p.Compression != ship.CompressionNone {
			return ship.Outcome{Verdict: ship.Unsupported, Cause: string(fault)}
		}
	case netTooLarge:
		if !n.limit.allows(p) {
			return ship.Outcome{Verdict: ship.TooLarge, Cause: string(fault)}
		}
	case netTwice:
		n.server.take(m)
	}
	o := n.server.take(m)
	if fault == netTimeout && !n.sleep(ctx, 30*time.Second) || !n.travel(ctx, fault) {
		return ship.Outcome{Cause: "cancelled"}
	}
	switch fault {
	case netResetAfter:
		retry.MayBeContent = true
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
		n.server.late = true
		n.server.take(l.batch)
		n.server.late = false
		n.server.books.find(l.batch.ID()).flying--
	}
	n.late = left
}
