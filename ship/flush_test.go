package ship_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// Whatever a backend answers while the agent ends, no body is sent to it twice: a
// fleet that is restarted would send as fast as it can until its time is up.
func TestShutdownRepeatsNothing(t *testing.T) {
	all := func(p ship.Payload) ship.Outcome {
		return ship.Outcome{Verdict: ship.Acked, RejectedPoints: p.Points, RejectedSeries: make([]int, 1)}
	}
	answers := map[string]func(ship.Payload) ship.Outcome{"all points rejected": all}
	for name, o := range map[string]ship.Outcome{
		"too large":       {Verdict: ship.TooLarge, Cause: "413"},
		"too large here":  {Verdict: ship.TooLarge, Cause: "too large", Unsent: true},
		"refused":         {Verdict: ship.Reject, Cause: "400"},
		"not compression": {Verdict: ship.Unsupported, Cause: "415"},
		"declined":        {Verdict: ship.Decline, Cause: "declined"},
		"nothing of it":   {Verdict: ship.Acked, RejectedPoints: 1},
	} {
		answers[name] = func(ship.Payload) ship.Outcome { return o }
	}
	for name, answer := range answers {
		for _, compression := range []ship.Compression{ship.CompressionNone, ship.CompressionGzip, ship.CompressionZstd} {
			for _, points := range []int{1, 2, 9} {
				synctest.Test(t, func(t *testing.T) {
					cfg := config()
					cfg.Compression = compression
					r := start(t, cfg, 4<<20)
					r.runWide(time.Minute, points)
					r.backend.delay = time.Millisecond
					times := make(map[string]int)
					r.backend.set(func(p ship.Payload) ship.Outcome {
						times[p.ID+" "+string(p.Compression)]++
						return answer(p)
					})
					r.wideTick(points, 0)
					r.stop()
					for body, n := range times {
						if n > 1 {
							t.Errorf("%s, %s, %d points: %s was sent %d times", name, compression, points, body, n)
						}
					}
				})
			}
		}
	}
}
