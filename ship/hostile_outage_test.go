package ship_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// Hours, or a day, without an ingest costs nothing but time, and a few lines of log that
// say what is wrong, that all is kept, and what happens next or is to be done.
func TestHostileOutage(t *testing.T) {
	lasting := func(d time.Duration, c trouble, cause string) trouble {
		c.lasts = d
		c.check = wantLinesThatHelp(cause)
		return c
	}
	wrong := behaves("400 to everything", shiptest.Status(400)).paused()
	wrong.lasts, wrong.check = 4*time.Hour, says("400", "HEKA_ENDPOINT")
	for _, c := range []struct {
		protocol
		trouble
	}{
		{plain, lasting(24*time.Hour, suffers("refused", shiptest.Fault{Refuse: true}), "connection refused")},
		{secure[3], lasting(24*time.Hour, suffers("silent", shiptest.Fault{Silent: true}), "timed out|connection lost")},
		{plain, lasting(4*time.Hour, suffers("reset", shiptest.Fault{CutAnswer: 1}), "connection reset")},
		{secure[1], lasting(4*time.Hour, behaves("500 that repeats the secret", shiptest.Echoing(500)), "500")},
		{secure[2], lasting(4*time.Hour, behaves("401 that repeats the secret", shiptest.Echoing(401)).paused(), "401")},
		{plain, wrong},
	} {
		t.Run(c.trouble.name, func(t *testing.T) { c.live(t, c.protocol, func(_ *world, s *settings) { s.points = 2 }) })
	}
}

// wantLinesThatHelp looks at every line of an outage.
func wantLinesThatHelp(cause string) func(*world) {
	return func(w *world) {
		w.t.Helper()
		lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
		if n := strings.Count(w.log.String(), "first batch acknowledged"); n != 1 || !strings.Contains(lines[0], "first batch acknowledged") {
			w.t.Errorf("%d lines of a first acknowledgement, want one, and first:\n%s", n, w.log)
		}
		for _, line := range lines[1:] {
			var said struct {
				Level, Cause, Hint, Kept, Message string
				Batches                           *int    `json:"batches_waiting"`
				Retry                             *string `json:"retry_in"`
			}
			if err := json.Unmarshal([]byte(line), &said); err != nil {
				w.t.Fatalf("%s: %v", line, err)
			}
			if !regexp.MustCompile(cause).MatchString(said.Cause) || said.Batches == nil || said.Retry == nil ||
				!strings.Contains(said.Message, "batches kept, retrying") || said.Kept == "" || said.Hint == "" {
				w.t.Errorf("a line without cause %q, what is kept, or what to do: %s", cause, line)
			}
		}
	}
}

// Trouble comes in every state, and turns into another: nothing is lost.
func TestHostileInEveryState(t *testing.T) {
	well, busy, barred := shiptest.Behaviour(nil), shiptest.Status(503), shiptest.Status(401)
	steps := []struct {
		when string // the state to wait for
		then shiptest.Behaviour
	}{
		{when: "healthy", then: busy},
		{when: "down", then: barred},
		{when: "paused", then: busy},
		{when: "down", then: well},
		{when: "ramping", then: busy},
		{when: "down", then: well},
		{when: "ramping", then: barred},
		{when: "paused", then: well},
		{when: "ramping", then: shiptest.Forgetful()},
		{when: "down", then: well},
		{when: "healthy", then: barred},
		{when: "paused", then: well},
		{when: "healthy", then: well},
	}
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, p, nil)
				for _, step := range steps {
					w.until(step.when)
					if step.when != "ramping" {
						time.Sleep(2 * time.Minute) // batches gather
						w.until(step.when)
					}
					w.ingest.Behave(step.then)
				}
				w.settle()
				w.end()
				w.wantEverythingOnce()
			})
		})
	}
}

// until waits for a state.
func (w *world) until(phase string) {
	w.t.Helper()
	for began := time.Now(); w.shipper.Stats().Phase != phase; time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > 2*time.Hour {
			w.t.Fatalf("delivery did not become %s: %+v", phase, w.shipper.Stats())
		}
	}
}
