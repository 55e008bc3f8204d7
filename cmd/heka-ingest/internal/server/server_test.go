package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/server"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/store"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

func TestBatchInEveryEncoding(t *testing.T) {
	s := serve(t, server.Config{})
	for i, c := range []struct {
		encoding string
		body     func(plain []byte) []byte
	}{
		{"", func(p []byte) []byte { return p }},
		{"identity", func(p []byte) []byte { return p }},
		{"gzip", func(p []byte) []byte { return gzipped(t, bytes.NewReader(p)) }},
		{"GZIP", func(p []byte) []byte { return gzipped(t, bytes.NewReader(p)) }},
		{"zstd", func(p []byte) []byte { return zstandard(t, bytes.NewReader(p), 1<<20) }},
	} {
		seq := i + 1
		send := c.body(body(seq))
		s.post(t, send, "Content-Encoding", c.encoding, "Idempotency-Key", id(seq)).wantAck(t, id(seq), wire.Accepted, 2)
		a := s.post(t, send, "Content-Encoding", c.encoding, "X-Idempotency-Key", id(seq))
		a.wantAck(t, id(seq), wire.Duplicate, 2)
		if a.ProtoMajor != 2 {
			t.Errorf("spoke %s, want HTTP/2", a.Proto)
		}
	}
}

func TestHTTP1(t *testing.T) {
	s := serve(t, server.Config{})
	transport := s.client.Transport.(*http.Transport)
	transport.ForceAttemptHTTP2 = false
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	a := s.post(t, body(1))
	a.wantAck(t, id(1), wire.Accepted, 2)
	if a.ProtoMajor != 1 {
		t.Errorf("spoke %s, want HTTP/1.1", a.Proto)
	}
}

func TestRefusals(t *testing.T) {
	s := serve(t, server.Config{})
	good := body(1)
	packed := gzipped(t, bytes.NewReader(good))
	zeros := func(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }
	for _, c := range []struct {
		name    string
		body    []byte
		headers []string
		status  int
		reason  string
	}{
		{"not JSON", []byte("<html>"), nil, 400, "body: invalid character '<'"},
		{"empty", nil, nil, 400, "body: ends too early"},
		{"schema", bytes.Replace(good, []byte("batch/1"), []byte("batch/9"), 1), nil, 400, "schema: want"},
		{"key of another batch", good, []string{"Idempotency-Key", id(2)}, 400, "Idempotency-Key: want the batch_id"},
		{"other key of another batch", good, []string{"X-Idempotency-Key", id(2)}, 400, "X-Idempotency-Key: want"},
		{"plain called gzip", good, []string{"Content-Encoding", "gzip"}, 400, "body: damaged gzip"},
		{"plain called zstd", good, []string{"Content-Encoding", "zstd"}, 400, "body: damaged zstd"},
		{"gzip cut short", packed[:len(packed)-9], []string{"Content-Encoding", "gzip"}, 400, "body: damaged gzip"},
		{"gzip and more", append(bytes.Clone(packed), "more"...), []string{"Content-Encoding", "gzip"}, 400, "body: damaged gzip"},
		{"gzip uncalled", packed, nil, 400, "body: not valid UTF-8"},
		{"unknown encoding", good, []string{"Content-Encoding", "br"}, 415, `content encoding "br"`},
		{"two encodings", good, []string{"Content-Encoding", "gzip, gzip"}, 415, "content encoding"},
		{"zstd window", zstandard(t, io.MultiReader(bytes.NewReader(good), zeros(4<<20)), 16<<20), []string{"Content-Encoding", "zstd"}, 415, "8 MiB"},
		{"plain too large", bytes.Repeat([]byte(" "), 1<<20+1), nil, 413, "body too large"},
		{"gzip bomb", gzipped(t, zeros(8<<20)), []string{"Content-Encoding", "gzip"}, 413, "inflated body too large"},
		{"zstd bomb", zstandard(t, zeros(8<<20), 1<<20), []string{"Content-Encoding", "zstd"}, 413, "inflated body too large"},
	} {
		a := s.post(t, c.body, c.headers...)
		a.wantError(t, c.status, c.reason)
		if t.Failed() {
			t.Fatalf("at %q", c.name)
		}
		if offered := a.Header.Get("Accept-Encoding"); (offered != "") != (c.status == 415) {
			t.Errorf("%s: Accept-Encoding %q", c.name, offered)
		}
	}
	s.do(t, "POST", server.BatchesPath, struct{ io.Reader }{zeros(1<<20 + 1)}).wantError(t, 413, "body too large") // without a length
	s.do(t, "GET", "/nowhere", nil).wantError(t, 404, "batches go to "+server.BatchesPath)
	s.do(t, "POST", "/", nil).wantError(t, 404, server.BatchesPath)
	a := s.do(t, "GET", server.BatchesPath, nil)
	a.wantError(t, 405, "want POST")
	if a.Header.Get("Allow") != "POST" {
		t.Errorf("Allow: %q", a.Header.Get("Allow"))
	}
	s.do(t, "DELETE", "/api/hosts", nil).wantError(t, 405, "want GET")
	if hosts := s.do(t, "GET", "/api/hosts", nil); hosts.body != "[]" {
		t.Errorf("something refused was stored: %s", hosts.body)
	}
}

// A body that the network cut off must not be answered with 400, which would
// make the agent give up the batch.
func TestBodyCutOff(t *testing.T) {
	s := serve(t, server.Config{})
	config := s.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST "+server.BatchesPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestTimeout {
		t.Errorf("status %d, want 408", response.StatusCode)
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Compression bombs are decompressed only up to the limit, however many come at
// once.
func TestBombsTakeBoundedMemory(t *testing.T) {
	s := serve(t, server.Config{})
	bombs := map[string][]byte{
		"gzip": gzipped(t, io.LimitReader(zeroReader{}, 64<<20)),
		"zstd": zstandard(t, io.LimitReader(zeroReader{}, 64<<20), 8<<20),
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for encoding, bomb := range bombs {
		for range 3 {
			s.post(t, bomb, "Content-Encoding", encoding).wantError(t, 413, "too large")
		}
	}
	runtime.ReadMemStats(&after)
	// TotalAlloc counts all allocations, live or not.
	if total := after.TotalAlloc - before.TotalAlloc; total > 120<<20 {
		t.Errorf("allocated %d MiB for 6 bombs of 64 MiB, bounded to 1 MiB each", total>>20)
	}
}

func TestProbeIsNotStored(t *testing.T) {
	s := serve(t, server.Config{})
	probe := `{"schema":"heka.batch/1","batch_id":"` + id(1) + `","agent":{"id":"a","version":"1","epoch":"00000000000000ff","seq":1},"interval_ms":5000,"times":[],"series":[]}`
	s.post(t, []byte(probe)).wantAck(t, id(1), wire.Accepted, 0)
	if hosts := s.do(t, "GET", "/api/hosts", nil); hosts.body != "[]" {
		t.Errorf("a probe made a host: %s", hosts.body)
	}
}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write := func(text string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "\n# only\n \n"} {
		write(text, time.Hour)
		if _, err := server.OpenKeys(path); err == nil {
			t.Errorf("OpenKeys of %q: no error", text)
		}
	}
	write("# comment\nfirst\n  second  \n", 3*time.Minute)
	keys, err := server.OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, server.Config{Keys: keys})
	seq := 0
	want := func(key string, status int) {
		t.Helper()
		seq++
		if got := s.post(t, body(seq), "X-Api-Key", key); got.StatusCode != status {
			t.Errorf("key %q: %d %s, want %d", key, got.StatusCode, got.body, status)
		}
		for _, path := range []string{"/api/hosts", "/api/series?host=a"} {
			if got := s.do(t, "GET", path, nil, "X-Api-Key", key); got.StatusCode != status {
				t.Errorf("%s with key %q: %d, want %d", path, key, got.StatusCode, status)
			}
		}
	}
	want("first", 200)
	want("second", 200)
	for _, wrong := range []string{"", "firs", "first ", "First", "# comment", "third"} {
		if strings.TrimSpace(wrong) != wrong {
			continue // HTTP itself trims it
		}
		want(wrong, 401)
	}
	a := s.post(t, body(99))
	a.wantError(t, 401, "x-api-key is missing or wrong")
	if a.Header.Get("WWW-Authenticate") == "" {
		t.Error("no WWW-Authenticate")
	}
	if got := s.do(t, "GET", "/healthz", nil); got.StatusCode != 200 {
		t.Errorf("/healthz wants a key: %d", got.StatusCode)
	}
	write("third\n", 2*time.Minute)
	want("first", 401)
	want("third", 200)
	write("", time.Minute) // emptied by mistake: the previous keys stay
	want("third", 200)
	want("", 401)
}

// fakeStore returns the answer that the test sets.
type fakeStore struct {
	add func(b *wire.Batch) (wire.Ack, error)
	err error
}

func (f fakeStore) Add(b *wire.Batch) (wire.Ack, error) { return f.add(b) }

func (f fakeStore) Hosts(context.Context) ([]wire.Host, error) { return nil, f.err }

func (f fakeStore) Series(context.Context, store.Query) (wire.SeriesPage, error) {
	return wire.SeriesPage{}, f.err
}

func TestStoreFailures(t *testing.T) {
	var fail error
	s := serve(t, server.Config{Storage: fakeStore{
		add: func(*wire.Batch) (wire.Ack, error) { return wire.Ack{}, fail },
		err: errors.New("secret detail"),
	}})
	for _, c := range []struct {
		err    error
		status int
	}{{store.ErrBusy, 429}, {errors.New("database or disk is full"), 503}, {store.ErrClosed, 503}} {
		fail = c.err
		a := s.post(t, body(1))
		a.wantError(t, c.status, "")
		wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
		if err != nil || wait < 1 || wait > 10 {
			t.Errorf("%v: Retry-After %q", c.err, a.Header.Get("Retry-After"))
		}
		if strings.Contains(a.body, "disk") {
			t.Errorf("the answer tells the store's insides: %s", a.body)
		}
	}
	s.do(t, "GET", "/api/hosts", nil).wantError(t, 500, "internal error")
	s.do(t, "GET", "/api/series?host=a", nil).wantError(t, 500, "internal error")
}

// Bodies that wait for the disk count against the budget. Over the budget
// requests get 429; afterwards there is room again.
func TestBudget(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	size := int64(len(body(1)))
	s := serve(t, server.Config{BudgetBytes: 2*size + 50, Storage: fakeStore{add: func(b *wire.Batch) (wire.Ack, error) {
		entered <- struct{}{}
		<-leave
		return wire.Ack{BatchID: b.ID, Status: wire.Accepted, Rejected: b.Rejected}, nil
	}}})
	var wg sync.WaitGroup
	for seq := range 2 {
		wg.Go(func() { s.post(t, body(seq+1)).wantAck(t, id(seq+1), wire.Accepted, 0) })
		<-entered
	}
	a := s.post(t, body(3))
	a.wantError(t, 429, "overloaded")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(leave)
	wg.Wait()
	go func() { <-entered }()
	s.post(t, body(3)).wantAck(t, id(3), wire.Accepted, 0)
}

// Requests that are being answered when the server is asked to stop are still
// answered.
func TestStopFinishesWhatIsInFlight(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := serve(t, server.Config{Storage: fakeStore{add: func(b *wire.Batch) (wire.Ack, error) {
		close(entered)
		<-leave
		return wire.Ack{BatchID: b.ID, Status: wire.Accepted, Rejected: b.Rejected}, nil
	}}})
	answered := make(chan answer, 1)
	go func() { answered <- s.post(t, body(1)) }()
	<-entered
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.stop() }()
	for refused := false; !refused; { // until it accepts no more connections
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "https://"))
		if refused = err != nil; !refused {
			_ = conn.Close()
		}
	}
	select {
	case <-stopped:
		t.Fatal("stopped with a request in flight")
	default:
	}
	close(leave)
	(<-answered).wantAck(t, id(1), wire.Accepted, 0)
	<-stopped
}

func TestAPI(t *testing.T) {
	s := serve(t, server.Config{})
	s.post(t, body(1)).wantAck(t, id(1), wire.Accepted, 2)
	s.post(t, body(3)).wantAck(t, id(3), wire.Accepted, 2)
	var hosts []wire.Host
	if err := json.Unmarshal([]byte(s.do(t, "GET", "/api/hosts", nil).body), &hosts); err != nil || len(hosts) != 1 {
		t.Fatalf("hosts %+v, %v", hosts, err)
	}
	h := hosts[0]
	if h.Host != "web-1" || h.Gaps != 1 || h.Ticks != 4 || h.MissingTicks != 2 || h.Latest.CPU == nil || *h.Latest.CPU != 0.5 {
		t.Errorf("host = %+v", h)
	}
	for query, points := range map[string]int{
		"host=web-1": 4, "host=a&name=system.cpu.utilization": 4, "host=a&limit=1": 1, "host=a&to=1000": 0, "host=b": 0, "host=a&name=x": 0,
	} {
		var page wire.SeriesPage
		got := 0
		if err := json.Unmarshal([]byte(s.do(t, "GET", "/api/series?"+query, nil).body), &page); err != nil || page.Series == nil {
			t.Errorf("%s: %+v, %v", query, page, err)
		}
		for _, series := range page.Series {
			got += len(series.Times)
		}
		if got != points {
			t.Errorf("%s: %d points, want %d", query, got, points)
		}
	}
	for query, reason := range map[string]string{
		"": "host: want", "host=a&limit=0": "limit: want", "host=a&limit=10001": "limit: want", "host=a&from=x": "from: want",
		"host=a&to=99999999999999999999": "to: want", "host=a&from=-1": "from: want",
	} {
		s.do(t, "GET", "/api/series?"+query, nil).wantError(t, 400, reason)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	s := serve(t, server.Config{})
	config := s.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.MaxVersion = tls.VersionTLS11
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), config); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is let in")
	}
}
