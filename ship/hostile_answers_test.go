package ship_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// Whatever an ingest answers for a while, all is delivered once it is well.
func TestHostileStatus(t *testing.T) {
	var cases []trouble
	for _, code := range []int{408, 409, 425, 429, 500, 502, 503, 504, 507, 520, 599} {
		cases = append(cases, behaves(strconv.Itoa(code), shiptest.Status(code)))
	}
	for _, code := range []int{401, 403, 407, 404, 405, 410, 501, 505, 300, 301, 302, 303, 304, 305, 400, 402, 406, 411, 414, 418, 422, 431, 451} {
		cases = append(cases, behaves(strconv.Itoa(code), shiptest.Status(code)).paused())
	}
	for _, code := range []int{400, 404, 409, 422, 429, 500, 503} {
		once := shiptest.First(1, shiptest.Status(code))
		c := behaves(strconv.Itoa(code)+" once", once)
		c.harmless = true
		c.lasts = 20 * time.Minute
		cases = append(cases, c)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.live(t, plain, nil) })
	}
	_ = http.StatusOK
}
