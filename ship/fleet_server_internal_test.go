package ship

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

const (
	// fleetCapacity is how many times the fleet's steady rate the server can do.
	fleetCapacity = 3
	// fleetQueue is how much work may wait there; what comes on top is refused.
	fleetQueue = 500 * time.Millisecond
	// An answer takes from fleetFast to fleetSlow, beside the waiting and the work.
	fleetFast, fleetSlow = 5 * time.Millisecond, 100 * time.Millisecond
	// fleetRetryAfter is what every refused agent is told, in seconds.
	fleetRetryAfter = "5"
)

// fleetServer is an ingest that works at a fixed rate, refuses what it has no
// time for, and is dead for a while.
type fleetServer struct {
	rng           *rand.Rand
	work          time.Duration // for one request
	busy          time.Duration // with what it has, until then
	dies, returns time.Duration
	seconds       []fleetSecond

	dead, reset Outcome
	patience    time.Duration // of an agent with a dead server; 0: it is refused at once
	announced   bool          // dead for maintenance
	overloaded  [2]Outcome
}

// fleetSecond counts the requests of one second.
type fleetSecond struct{ arrived, refused int }

// newFleetServer judges the answers by the agent's own rules.
func newFleetServer(cfg fleetConfig, rng *rand.Rand) *fleetServer {
	judge := func(a answer) Outcome { return outcomeOf(a) }
	header := http.Header{"Retry-After": {fleetRetryAfter}}
	s := &fleetServer{
		rng:       rng,
		announced: cfg.announced,
		work:      fleetBatch / time.Duration(cfg.agents*fleetCapacity),
		dies:      fleetSteady,
		returns:   fleetSteady + fleetOutage,
		dead:      judge(answer{err: syscall.ECONNREFUSED}),
		reset:     judge(answer{err: syscall.ECONNRESET}),
		overloaded: [2]Outcome{
			judge(answer{status: http.StatusTooManyRequests, header: header}),
			judge(answer{status: http.StatusServiceUnavailable, header: header}),
		},
	}
	if cfg.hangs {
		s.dead, s.patience = judge(answer{err: os.ErrDeadlineExceeded}), dialTimeout
	}
	return s
}

// request answers a request that arrives now: with what the agent will know of
// it, whether the server took the batch, and when the agent will know. Requests
// must come in the order of their times, but for those of a dead server.
func (s *fleetServer) request(now time.Duration) (o Outcome, took bool, at time.Duration) {
	second := s.second(now)
	second.arrived++
	at = now + fleetFast + time.Duration(s.rng.Int64N(int64(fleetSlow-fleetFast)))
	switch {
	case s.isDead(now):
		if s.announced {
			return s.maintenance(now), false, at
		}
		return s.dead, false, max(at, now+s.patience)
	case s.busy > now+fleetQueue:
		second.refused++
		return s.overloaded[s.rng.IntN(2)], false, at
	}
	wait := max(s.busy-now, 0) + s.work
	s.busy = now + wait
	at += wait
	if now < s.dies && at >= s.dies { // it has the batch, but cannot say so any more
		return s.reset, true, s.dies
	}
	return Outcome{Verdict: Acked}, true, at
}

// maintenance tells every agent to come at the same time.
func (s *fleetServer) maintenance(now time.Duration) Outcome {
	date := func(at time.Duration) []string { return []string{fleetStart.Add(at).UTC().Format(http.TimeFormat)} }
	header := http.Header{"Date": date(now), "Retry-After": date(s.returns)}
	return outcomeOf(answer{status: http.StatusServiceUnavailable, header: header})
}

func (s *fleetServer) isDead(now time.Duration) bool { return now >= s.dies && now < s.returns }

func (s *fleetServer) second(now time.Duration) *fleetSecond {
	i := int(now / time.Second)
	for len(s.seconds) <= i {
		s.seconds = append(s.seconds, fleetSecond{})
	}
	return &s.seconds[i]
}

// fleetSpool is a spool of nothing but names.
type fleetSpool struct{ entries []fleetEntry }

type fleetEntry struct {
	epoch, seq    uint64
	items, timeMS int64
}

const fleetBody = "{"

func (s *fleetSpool) Append(e Entry) error {
	s.entries = append(s.entries, fleetEntry{e.Epoch, e.Seq, e.Items, e.TimeMS})
	return nil
}

func (s *fleetSpool) Oldest(sinceMS int64, except []ID) (Entry, bool) {
	for _, e := range s.entries {
		id := ID{Epoch: e.epoch, Seq: e.seq}
		if e.timeMS >= sinceMS && !slices.Contains(except, id) {
			return Entry{ID: id, Items: e.items, TimeMS: e.timeMS, Payload: []byte(fleetBody)}, true
		}
	}
	return Entry{}, false
}

func (s *fleetSpool) Ack(id ID, _ int64) bool {
	for i, e := range s.entries {
		switch {
		case e.epoch != id.Epoch || e.seq != id.Seq:
		case i == 0: // as good as always
			s.entries = s.entries[1:]
			return true
		default:
			s.entries = append(s.entries[:i], s.entries[i+1:]...)
			return true
		}
	}
	return false
}

func (s *fleetSpool) Pending() int64  { return int64(len(s.entries)) }
func (s *fleetSpool) MakeRoom() error { return nil }

func (*fleetSpool) Draft(Entry, int) error { return nil }
func (*fleetSpool) Discard() error         { return nil }

func (s *fleetSpool) Note(id ID, _ []byte) bool {
	return slices.ContainsFunc(s.entries, func(e fleetEntry) bool { return e.epoch == id.Epoch && e.seq == id.Seq })
}

func (s *fleetSpool) Refuse(int64)    { panic("the server refuses no batch") }
func (s *fleetSpool) SetAside(Letter) { panic("the server refuses no batch") }

// fleetCodec makes bodies that cannot be read, so that a batch is one piece.
type fleetCodec struct{}

func (fleetCodec) Append(dst []byte, _ *metric.Batch) []byte { return append(dst, fleetBody...) }
func (fleetCodec) Decode([]byte) (*metric.Batch, error)      { return nil, errors.New("no points") }

// fleetSender is never asked to send: the fleet takes the requests off the
// shipper's channel.
type fleetSender struct{}

func (fleetSender) Send(context.Context, Payload) Outcome { panic("this is not virtual") }
func (fleetSender) Refreshed() bool                       { return false }
