package ship_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// Whatever Retry-After says, the wait is what was asked for, up to half more,
// and never beyond HEKA_RETRY_AFTER_MAX, up to half more; what cannot be meant
// leaves the backoff alone.
func TestHostileRetryAfter(t *testing.T) {
	const (
		asked     = 5 * time.Minute
		most      = 15 * time.Minute
		unbounded = 1_000_000_000 * time.Second
		year      = 365 * 24 * time.Hour
	)
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	seconds := func(value string) func() map[string]string {
		return func() map[string]string { return map[string]string{"Retry-After": value} }
	}
	// dated answers with a clock that is off by skew.
	dated := func(skew, after time.Duration) func() map[string]string {
		return func() map[string]string {
			return map[string]string{"Date": date(skew), "Retry-After": date(skew + after)}
		}
	}
	for i, c := range []struct {
		name   string
		header func() map[string]string
		asks   time.Duration // 0: nothing
	}{
		{"0", seconds("0"), 0},
		{"-1", seconds("-1"), 0},
		{"5", seconds("5"), 5 * time.Second},
		{"300", seconds("300"), asked},
		{"1e9 in full", seconds("1000000000"), unbounded},
		{"1e9", seconds("1e9"), unbounded},
		{"+300", seconds("+300"), asked},
		{"300.0", seconds("300.0"), asked},
		{"3E2", seconds("3E2"), asked},
		{"0300", seconds(" 0300 "), asked},
		{"beyond an int64", seconds("99999999999999999999"), unbounded},
		{"beyond a float", seconds("1e999"), unbounded},
		{"far below zero", seconds("-1e999"), 0},
		{"an int64 of seconds", seconds("9223372036854775807"), unbounded},
		{"a fraction", seconds("1.5"), 1500 * time.Millisecond},
		{"no number", seconds("NaN"), 0},
		{"no end", seconds("inf"), 0},
		{"hexadecimal", seconds("0x10p4"), 0},
		{"garbage", seconds("soon\x01"), 0},
		{"empty", seconds(" "), 0},
		{"a date", dated(0, asked), asked},
		{"a past date", dated(0, -asked), 0},
		{"a date, clock a year ahead", dated(year, asked), asked},
		{"a date, clock a year behind", dated(-year, asked), asked},
		{"a past date, clock a year ahead", dated(year, -asked), 0},
		{"a date in a year", dated(0, year), unbounded},
		{"a date without the server's clock", func() map[string]string {
			return map[string]string{"Date": "", "Retry-After": date(asked)}
		}, 0},
		{"a date, and a clock that is garbage", func() map[string]string {
			return map[string]string{"Date": "yesterday", "Retry-After": date(asked)}
		}, 0},
	} {
		status := []int{http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInternalServerError}[i%3]
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, plain, func(_ *world, s *settings) { s.points = 2 })
			time.Sleep(time.Minute)
			from := len(w.ingest.Requests())
			w.ingest.Behave(func(well http.Handler) http.Handler {
				return shiptest.StatusWith(status, c.header())(well)
			})
			time.Sleep(time.Hour)
			requests := w.ingest.Requests()[from:]
			least, longest := min(c.asks, most), max(min(c.asks, most)*3/2, time.Minute)
			if len(requests) < 3 {
				t.Fatalf("%s: %d requests in an hour", c.name, len(requests))
			}
			for i, at := range requests[1:] {
				if waited := at.Sub(requests[i]); waited < least || waited > longest {
					t.Errorf("%d, %s: waited %v, want %v to %v", status, c.name, waited, least, longest)
				}
			}
			w.ingest.Behave(nil)
			w.settle()
			w.end()
			w.wantEverythingOnce()
		})
	}
}
