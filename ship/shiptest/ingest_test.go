package shiptest_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// batch holds ticks by number.
func batch(seq uint64, ticks ...int64) *metric.Batch {
	b := &metric.Batch{Agent: metric.Agent{ID: "agent-1", Epoch: 1, Seq: seq}, IntervalMS: 5000}
	column := metric.Column{Series: &metric.Series{Desc: &metric.Desc{Name: shiptest.TickName, Unit: "{ticks}", Kind: metric.Counter}}}
	for i, tick := range ticks {
		b.Times = append(b.Times, int64(i+1)*5000)
		column.Values = append(column.Values, metric.Int(tick))
	}
	b.Series = []metric.Column{column}
	return b
}

// named returns b with another Part.
func named(b *metric.Batch, part string) *metric.Batch {
	other := *b
	other.Part = part
	return &other
}

func post(handler http.Handler, key string, b *metric.Batch) (status int, body string) {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(encode.Native{}.Append(nil, b)))
	r.Header.Set("Idempotency-Key", key)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// The ingest finds each way in which delivery can fail.
func TestExactlyFinds(t *testing.T) {
	first, second := batch(1, 1, 2), batch(2, 3)
	for _, c := range []struct {
		name    string
		batches []*metric.Batch
		wants   string // empty: nothing
	}{
		{"all, once", []*metric.Batch{first, second}, ""},
		{"all, one batch again", []*metric.Batch{first, second, first}, ""},
		{"a missing tick", []*metric.Batch{first}, "tick 3 of 3 arrived 0 times"},
		{"a tick in two batches", []*metric.Batch{first, second, batch(3, 2)}, "tick 2 of 3 arrived 2 times"},
		{"a tick too many", []*metric.Batch{first, second, batch(3, 4)}, "1 ticks arrived beyond 3"},
		{"a batch and a part that leave series out", []*metric.Batch{named(first, "-1a2b3c4d"), named(second, "/0/1-1a2b3c4d")}, ""},
		{"a batch that leaves series out, again", []*metric.Batch{named(first, "-1a2b3c4d"), second, named(first, "-1a2b3c4d")}, ""},
		{"a batch that leaves out this, then that", []*metric.Batch{named(batch(1, 1), "-1a2b3c4d"), named(batch(1, 2), "-1a2b3c4e"), second}, ""},
		{"a tick in a batch and in it without some series", []*metric.Batch{first, named(first, "-1a2b3c4d"), second}, "tick 1 of 3 arrived 2 times"},
		{"a key with a hash, two contents", []*metric.Batch{named(first, "-1a2b3c4d"), second, named(batch(1, 1), "-1a2b3c4d")}, "two contents"},
		{"one key, two contents", []*metric.Batch{first, second, batch(2, 4)}, "two contents"},
	} {
		ingest := shiptest.NewIngest()
		for _, b := range c.batches {
			post(ingest, b.ID(), b)
		}
		err := ingest.Exactly(3)
		if c.wants == "" && err != nil || c.wants != "" && (err == nil || !strings.Contains(err.Error(), c.wants)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.wants)
		}
	}
}

func TestAKeyThatIsNotTheBatchIsWrong(t *testing.T) {
	ingest := shiptest.NewIngest()
	if status, _ := post(ingest, "another", batch(1, 1)); status != http.StatusBadRequest {
		t.Errorf("answered %d", status)
	}
	if err := ingest.Exactly(0); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("Exactly = %v, want the wrong key", err)
	}
}

func TestAnIngestThatIsWellAnswersAsTheWireFormatSays(t *testing.T) {
	ingest := shiptest.NewIngest()
	b := batch(1, 1, 2)
	for _, status := range []string{"accepted", "duplicate"} {
		code, body := post(ingest, b.ID(), b)
		rejected, err := encode.Native{}.Acknowledged(b.ID(), 2, []byte(body))
		if code != http.StatusOK || rejected.Points != 0 || err != nil || !strings.Contains(body, status) {
			t.Errorf("%d %s: rejected %d, %v; want %s", code, body, rejected.Points, err, status)
		}
	}
	if len(ingest.Requests()) != 2 || ingest.Repeats() != 1 || ingest.Batches() != 1 || ingest.Busiest() != 1 {
		t.Errorf("%d requests, %d repeats, %d batches, %d at a time; want 2, 1, 1, 1",
			len(ingest.Requests()), ingest.Repeats(), ingest.Batches(), ingest.Busiest())
	}
}

// A behaviour lasts until it is cleared, or for as many requests as it says.
func TestBehaviours(t *testing.T) {
	ingest := shiptest.NewIngest()
	b := batch(1, 1)
	ingest.Behave(shiptest.First(2, shiptest.Status(503)))
	for i, want := range []int{503, 503, 200} {
		if got, _ := post(ingest, b.ID(), b); got != want {
			t.Errorf("request %d: %d, want %d", i, got, want)
		}
	}
	ingest.Behave(shiptest.Status(418))
	if got, _ := post(ingest, b.ID(), b); got != 418 {
		t.Errorf("%d, want 418", got)
	}
	ingest.Behave(nil)
	if got, _ := post(ingest, b.ID(), b); got != 200 {
		t.Errorf("%d once well, want 200", got)
	}
}
