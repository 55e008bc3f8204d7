package ship_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// suffers is trouble of the network.
func suffers(name string, f shiptest.Fault) trouble {
	return trouble{
		name:   name,
		on:     func(w *world) { w.network.Suffer(f) },
		off:    func(w *world) { w.network.Suffer(shiptest.Fault{}) },
		height: "down",
	}
}

// An ingest that takes its time, breaks off, or does not know when to stop.
func TestHostileBehaviour(t *testing.T) {
	cases := []trouble{
		behaves("slow, in time", shiptest.Sleepy(4*time.Second)).mild(),
		behaves("slow headers", shiptest.Sleepy(20*time.Second)),
		behaves("slow body", shiptest.Dripping(time.Second)),
		behaves("silent", shiptest.Silent()),
		behaves("reads no request", shiptest.Deaf()),
		behaves("aborted", shiptest.Aborted()),
		behaves("taken, then aborted", shiptest.Forgetful()),
		behaves("truncated body", shiptest.Truncated(1)),
		behaves("no body after its headers", shiptest.Truncated(1<<20)),
		behaves("huge headers", shiptest.Boastful(200<<10)),
		behaves("100 again and again", shiptest.Promising(100, time.Second)),
		behaves("103 again and again", shiptest.Promising(103, 100*time.Millisecond)),
		behaves("100, then silence", shiptest.Promising(100, time.Hour)),
		behaves("closes after each answer", shiptest.OneShot()).mild(),
	}
	for i, c := range cases {
		for _, p := range sample(i) {
			t.Run(c.name+", "+p.name, func(t *testing.T) { c.live(t, p, nil) })
		}
	}
}

// An endless answer is neither read on nor waited for, whether it began with an
// acknowledgement or not.
func TestHostileEndlessAnswer(t *testing.T) {
	for i, taken := range []bool{true, false} {
		for _, p := range sample(i) {
			t.Run(fmt.Sprintf("acknowledged %v, %s", taken, p.name), func(t *testing.T) {
				var most atomic.Int64
				endless := shiptest.Endless(16<<10, 100*time.Millisecond, func(total int) {
					most.Store(max(most.Load(), int64(total)))
				})
				c := behaves("", endless).mild()
				if !taken {
					page := shiptest.Body(200, "text/html", "<html>")
					c = behaves("", func(well http.Handler) http.Handler { return endless(page(well)) })
				}
				c.live(t, p, nil)
				// What it reads, and what the buffers on the way may hold.
				if limit := int64(64<<10 + 256<<10); most.Load() > limit {
					t.Errorf("it was read on, to %d bytes; want at most %d", most.Load(), limit)
				}
			})
		}
	}
}

// The connection is reset wherever that hurts: in the handshake, in the head
// of a request, in its body, in an answer. The late ones hit a connection that
// has served.
func TestHostileReset(t *testing.T) {
	for i, k := range []int{1, 2, 17, 200, 300, 900, 1500, 2500, 6000} {
		for _, p := range sample(i) {
			request := suffers("", shiptest.Fault{CutRequest: k})
			answer := suffers("", shiptest.Fault{CutAnswer: k})
			if k > 100 {
				request, answer = request.vague(), answer.vague()
			}
			t.Run(fmt.Sprintf("request, byte %d, %s", k, p.name), func(t *testing.T) { request.live(t, p, nil) })
			t.Run(fmt.Sprintf("answer, byte %d, %s", k, p.name), func(t *testing.T) { answer.live(t, p, nil) })
		}
	}
}

func TestHostileNetwork(t *testing.T) {
	for _, c := range []trouble{
		suffers("refused", shiptest.Fault{Refuse: true}),
		suffers("silent dead peer", shiptest.Fault{Silent: true}),
		{name: "the peer died and was replaced", lasts: time.Second, height: "healthy", on: func(w *world) {
			w.network.Suffer(shiptest.Fault{Silent: true})
			w.network.Suffer(shiptest.Fault{})
		}},
	} {
		for _, p := range protocols {
			t.Run(c.name+", "+p.name, func(t *testing.T) { c.live(t, p, nil) })
		}
	}
}
