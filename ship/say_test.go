package ship_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

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
			return ship.Outcome{Verdict: ship.Pause, Cause: "unknown authority", Hint: "mend it"}
		})
		r.run(30 * time.Second)
		if n := r.logLines(); n != 2 || !strings.Contains(r.log.String(), "mend it") {
			t.Errorf("%d log lines, want one of each cause:\n%s", n, r.log)
		}
		r.stop()
	})
}
