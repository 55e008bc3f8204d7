package ship_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// What Datadog would drop without a word, for its age or for another point of
// its second, is rejected by name; the rest is acknowledged.
func TestPointsThatDatadogWouldDropAreRejected(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"errors":[]}`)
	}))
	defer server.Close()
	second := time.Now().Unix() * 1000
	b := &metric.Batch{Times: []int64{second - 7_200_000, second - 2000, second - 1900, second}}
	desc := &metric.Desc{Name: "system.cpu.time", Unit: "s", Kind: metric.Counter}
	b.Series = []metric.Column{{Series: &metric.Series{Desc: desc}, Values: []metric.Value{metric.Int(1), metric.Int(2), metric.Int(3), metric.Int(4)}}}
	cfg := clientConfig(parse(t, server.URL))
	cfg.Backend, cfg.Decode = encode.Datadog(), encode.Native{}.Decode
	client, err := ship.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p := ship.Payload{ID: b.ID(), Points: b.Points(), Body: encode.Native{}.Append(nil, b), Compression: ship.CompressionNone}
	o := client.Send(t.Context(), p)
	outside, rejected := []metric.Place{{Series: 0, Time: 0}}, []metric.Place{{Series: 0, Time: 1}}
	if o.Verdict != ship.Acked || o.RejectedPoints != 2 || !slices.Equal(o.RejectedPlaces, rejected) || !slices.Equal(o.OutsidePlaces, outside) {
		t.Errorf("%+v, want %v rejected, and %v for its age", o, rejected, outside)
	}
}
