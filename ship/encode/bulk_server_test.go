package encode_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// bulkServer stands for Elasticsearch, which cannot be had here: it has the
// semantics of create, and the form of the answers, of the published reference of
// the bulk API, and nothing else of it.
type bulkServer struct {
	t  *testing.T
	mu sync.Mutex
	// busy items are answered 429 the first time, bad ones 400 each time.
	busy, bad func(elasticDocument) bool

	documents map[string]elasticDocument
	asked     map[string]bool
	items     int // in all requests
	requests  int
}

func (s *bulkServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if r.URL.Path != "/metrics-heka-default/_bulk" || r.Header.Get("Content-Type") != "application/x-ndjson" || r.Header.Get("Authorization") != "ApiKey key" {
		s.t.Errorf("%s %v", r.URL, r.Header)
	}
	unzipped, err := gzip.NewReader(r.Body)
	if err != nil {
		s.t.Error(err)
		return
	}
	body, err := io.ReadAll(unzipped)
	if err != nil {
		s.t.Error(err)
		return
	}
	ids, documents := readBulkBody(s.t, body)
	failed := false
	var items []string
	for i, d := range documents {
		s.items++
		status, failure := http.StatusCreated, ""
		_, exists := s.documents[ids[i]]
		switch {
		case exists:
			status, failure = http.StatusConflict, `"type":"version_conflict_engine_exception","reason":"document already exists"`
		case s.bad(d):
			status, failure = http.StatusBadRequest, `"type":"document_parsing_exception","reason":"failed to parse field"`
		case s.busy(d) && !s.asked[ids[i]]:
			status, failure = http.StatusTooManyRequests, `"type":"es_rejected_execution_exception","reason":"queue is full"`
		default:
			s.documents[ids[i]] = d
		}
		s.asked[ids[i]] = true
		failed = failed || failure != ""
		item := fmt.Sprintf(`{"create":{"status":%d}}`, status)
		if failure != "" {
			item = fmt.Sprintf(`{"create":{"status":%d,"error":{%s}}}`, status, failure)
		}
		items = append(items, item)
	}
	fmt.Fprintf(w, `{"errors":%v,"items":[%s]}`, failed, strings.Join(items, ","))
}

func (s *bulkServer) points() int {
	n := 0
	for _, d := range s.documents {
		n += len(d.Metrics)
	}
	return n
}

func newBulkServer(t *testing.T) (*bulkServer, *ship.Client) {
	t.Helper()
	none := func(elasticDocument) bool { return false }
	s := &bulkServer{t: t, busy: none, bad: none, documents: make(map[string]elasticDocument), asked: make(map[string]bool)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	to := encode.Elasticsearch()
	u, err := url.Parse(server.URL + to.Path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := ship.NewClient(ship.ClientConfig{
		Endpoint: u, Timeout: 10 * time.Second, Backend: to, Decode: encode.Native{}.Decode,
		Authorize: func(h http.Header, _ bool) error { h.Set(to.KeyHeader, to.KeyScheme+"key"); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return s, client
}

// A batch that is sent again is stored once; items that failed for now are sent
// again alone, and what is bad costs itself.
func TestElasticsearchBatchesAgain(t *testing.T) {
	s, client := newBulkServer(t)
	s.busy = func(d elasticDocument) bool { return d.Labels["direction"] == "read" }
	b := sample()
	b.Series = host(t).Series
	b.Times = host(t).Times
	p := ship.Payload{ID: b.ID(), Points: b.Points(), Body: encode.Native{}.Append(nil, b), Compression: ship.CompressionGzip}
	if o := client.Send(t.Context(), p); o.Verdict != ship.Acked || o.RejectedPoints > 0 || s.points() != int(b.Points()) {
		t.Fatalf("%+v, %d points of %d", o, s.points(), b.Points())
	}
	again := s.items - len(s.documents)
	if again < 3 || again > len(s.documents)/3 || s.requests != 2 {
		t.Errorf("%d of %d items were sent again, in %d requests", again, len(s.documents), s.requests)
	}
	stored := len(s.documents)
	if o := client.Send(t.Context(), p); o.Verdict != ship.Acked || o.RejectedPoints > 0 || len(s.documents) != stored {
		t.Errorf("sent again: %+v, %d documents more", o, len(s.documents)-stored)
	}
	s.documents = make(map[string]elasticDocument)
	s.bad = func(d elasticDocument) bool { return d.Labels["device"] == "vda" && d.Labels["direction"] == "write" }
	o := client.Send(t.Context(), p)
	if bad := int64(3 * 2); o.Verdict != ship.Acked || o.RejectedPoints != bad || int64(len(o.RejectedPlaces)) != bad || s.points() != int(b.Points()-bad) || !strings.Contains(o.Cause, "document_parsing") {
		t.Errorf("%+v; %d points of %d were stored", o, s.points(), b.Points())
	}
}
