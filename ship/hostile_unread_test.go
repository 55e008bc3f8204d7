package ship_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// Over real sockets too, a server that refuses a large body without reading it
// is heard: its answer is not lost in the reset that may follow.
func TestAnUnreadBodyIsTooLarge(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			server, cfg := loopback(t, p, shiptest.Limited(1000)(http.HandlerFunc(acknowledges)))
			defer server.Close()
			cfg.Timeout = 10 * time.Second
			client, err := ship.NewClient(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			large := payload()
			large.Body = bytes.Repeat([]byte("x"), 8<<20) // more than sockets hold
			for i := range 20 {
				if o := client.Send(t.Context(), large); o.Verdict != ship.TooLarge {
					t.Fatalf("request %d: %+v, want it to be too large", i, o)
				}
				if o := client.Send(t.Context(), payload()); o.Verdict != ship.Acked {
					t.Fatalf("request %d that is not too large: %+v", i, o)
				}
			}
		})
	}
}
