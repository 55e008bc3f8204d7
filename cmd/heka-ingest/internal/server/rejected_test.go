package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/server"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

func TestSeriesRejectedAlone(t *testing.T) {
	s := serve(t, server.Config{})
	text := bytes.Replace(body(1), []byte(`"series":[`), []byte(`"series":[{"name":"","kind":"gauge","values":[1,2]},`), 1)
	a := s.post(t, text)
	want := `{"batch_id":"` + id(1) + `","status":"accepted","points":2,"rejected":[{"series":0,"reason":"name: want 1 to 255 bytes"}]}`
	if a.StatusCode != 200 || a.body != want {
		t.Errorf("answer %d %s\nwant %s", a.StatusCode, a.body, want)
	}
}

// An agent reads 64 KiB of an answer. The longest list of the longest reasons,
// with the longest batch id, must fit.
func TestManySeriesRejected(t *testing.T) {
	const n = 400
	s := serve(t, server.Config{})
	long := strings.Repeat("\\u0001", 255)
	bad := fmt.Sprintf(`{"name":"x","kind":"gauge","labels":{"%s":null},"values":[1,2]},`, long)
	part := strings.Repeat("/123456", 40) + "-1a2b3c4d"
	text := bytes.Replace(body(1), []byte(`"series":[`), []byte(`"series":[`+strings.Repeat(bad, n)), 1)
	text = bytes.Replace(text, []byte(id(1)), []byte(id(1)+part), 1)
	a := s.post(t, text)
	a.wantAck(t, id(1)+part, wire.Accepted, 2)
	if len(a.body) > 64<<10 {
		t.Errorf("the answer has %d bytes, more than an agent reads", len(a.body))
	}
	var ack wire.Ack
	if err := json.Unmarshal([]byte(a.body), &ack); err != nil || len(ack.Rejected) != 100 || ack.RejectedSeries != n {
		t.Errorf("%d series listed of %d (%v), want the first 100 of %d", len(ack.Rejected), ack.RejectedSeries, err, n)
	}
}
