package ship_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// A process tells once that the backend took something: not of what failed, of
// what was not sent, or of what was printed, and not again after an outage.
func TestTheFirstAcknowledgementIsToldOnce(t *testing.T) {
	const line = `"level":"info","message":"delivering: first batch acknowledged"`
	for name, c := range map[string]struct {
		outcomes []ship.Outcome // in turns
		told     []int          // lines by the end of each
	}{
		"at once":                {[]ship.Outcome{{Verdict: ship.Acked, Status: 200}, {Cause: "down"}, {Verdict: ship.Acked, Status: 202}}, []int{1, 1, 1}},
		"after an outage":        {[]ship.Outcome{{Cause: "down"}, {Verdict: ship.Acked, Status: 200}, {Cause: "down"}, {Verdict: ship.Acked, Status: 200}}, []int{0, 1, 1, 1}},
		"after what is not sent": {[]ship.Outcome{{Verdict: ship.Acked, Unsent: true}, {Verdict: ship.Acked, Status: 200}}, []int{0, 1}},
		"printed":                {[]ship.Outcome{{Verdict: ship.Acked}, {Verdict: ship.Acked}}, []int{0, 0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, config(), 4<<20)
			for i, o := range c.outcomes {
				r.backend.set(func(ship.Payload) ship.Outcome { return o })
				r.run(3 * time.Minute)
				if n := strings.Count(r.log.String(), line); n != c.told[i] {
					t.Errorf("%s: %d lines after turn %d, want %d:\n%s", name, n, i, c.told[i], r.log)
				}
			}
			r.stop()
		})
	}
}

// An outage that begins as one that passes and turns into one that waits for a
// person, as when a backend comes back with another certificate, says so at
// once: the next attempt may be a quarter of an hour away.
func TestATurnForTheWorseIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), 4<<20)
		r.run(time.Minute)
		first := true
		r.backend.set(func(ship.Payload) ship.Outcome {
			if first {
				first = false
				return ship.Outcome{Cause: "connection refused"}
			}
			return ship.Outcome{Verdict: ship.Pause, Cause: "unknown authority", Hint: "fix it"}
		})
		r.run(30 * time.Second)
		if n := r.logLines(); n != 2 || !strings.Contains(r.log.String(), "fix it") {
			t.Errorf("%d log lines, want one of each cause:\n%s", n, r.log)
		}
		r.stop()
	})
}
