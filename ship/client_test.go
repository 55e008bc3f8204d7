package ship_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// serve starts an HTTPS server with the given certificate; http2 as asked.
func serve(t *testing.T, config *tls.Config, http2 bool, handler http.Handler) *url.URL {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = config
	server.EnableHTTP2 = http2
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	return parse(t, server.URL)
}

func parse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// acknowledges answers as an ingest does.
func acknowledges(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	fmt.Fprintf(w, `{"batch_id":%q,"status":"accepted","points":5}`, r.Header.Get("Idempotency-Key"))
}

func clientConfig(endpoint *url.URL) ship.ClientConfig {
	return ship.ClientConfig{
		Endpoint: endpoint, AgentID: "agent-1", UserAgent: "heka-insights-agent/test",
		Timeout: 5 * time.Second, Backend: encode.Heka(),
	}
}

func send(t *testing.T, cfg ship.ClientConfig) ship.Outcome {
	t.Helper()
	client, err := ship.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	return client.Send(t.Context(), payload())
}

func payload() ship.Payload {
	return ship.Payload{ID: "00ab", Points: 5, Body: []byte("body"), Compression: ship.CompressionGzip}
}

func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRequestIsWhatTheWireFormatSays(t *testing.T) {
	ca := shiptest.NewAuthority("test authority")
	for _, http2 := range []bool{false, true} {
		var got *http.Request
		var body []byte
		endpoint := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.Pair("127.0.0.1", time.Now().Add(time.Hour))}}, http2,
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = r
				body, _ = io.ReadAll(r.Body)
				acknowledges(w, r)
			}))
		cfg := clientConfig(endpoint.JoinPath("v1", "batches"))
		cfg.TLS.CAFile = write(t, filepath.Join(t.TempDir(), "ca.pem"), ca.PEM())
		cfg.Headers = map[string]string{"X-Team": "ops", "User-Agent": "overridden"}
		cfg.Authorize = func(h http.Header, _ bool) error { h.Set("X-Api-Key", "key"); return nil }
		if o := send(t, cfg); o.Verdict != ship.Acked {
			t.Fatalf("http2 %v: %+v", http2, o)
		}
		if want := map[bool]int{false: 1, true: 2}[http2]; got.ProtoMajor != want {
			t.Errorf("protocol %s, want HTTP/%d", got.Proto, want)
		}
		want := map[string]string{
			"Content-Type": "application/json", "Content-Encoding": "gzip", "Idempotency-Key": "00ab",
			"X-Idempotency-Key": "00ab", "X-Agent-Id": "agent-1", "User-Agent": "heka-insights-agent/test",
			"X-Team": "ops", "X-Api-Key": "key",
		}
		for name, value := range want {
			if got.Header.Get(name) != value {
				t.Errorf("%s = %q, want %q", name, got.Header.Get(name), value)
			}
		}
		if got.Method != http.MethodPost || got.URL.Path != "/v1/batches" || string(body) != "body" {
			t.Errorf("%s %s %q", got.Method, got.URL.Path, body)
		}
	}
}

func TestRedirects(t *testing.T) {
	var elsewhereHit bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhereHit = true }))
	t.Cleanup(elsewhere.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", acknowledges)
	mux.Handle("/moved", http.RedirectHandler("/ok", http.StatusPermanentRedirect))
	mux.Handle("/get", http.RedirectHandler("/ok", http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusTemporaryRedirect))
	mux.Handle("/away", http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for path, want := range map[string]ship.Verdict{
		"/ok": ship.Acked, "/moved": ship.Acked, "/get": ship.Pause, "/loop": ship.Retry, "/away": ship.Pause,
	} {
		if o := send(t, clientConfig(parse(t, server.URL+path))); o.Verdict != want {
			t.Errorf("%s: %+v, want verdict %v", path, o, want)
		}
	}
	if elsewhereHit {
		t.Error("a batch was sent to another host")
	}
}

func TestHostileAnswersAreRetriesAndBounded(t *testing.T) {
	var sent atomic.Int64
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			n, err := w.Write(make([]byte, 32<<10))
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	truncated := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"batch_id":"00ab"`))
	}
	hugeHeader := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Huge", strings.Repeat("x", 200<<10))
		acknowledges(w, r)
	}
	silent := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the client leave
		<-r.Context().Done()
	}
	for name, handler := range map[string]http.HandlerFunc{
		"endless body": endless, "aborted": abort, "truncated body": truncated, "huge headers": hugeHeader, "silent": silent,
	} {
		server := httptest.NewServer(handler)
		cfg := clientConfig(parse(t, server.URL))
		cfg.Timeout = 2 * time.Second
		o := send(t, cfg)
		server.Close()
		if o.Verdict != ship.Retry || o.Cause == "" {
			t.Errorf("%s: %+v, want a retry with a cause", name, o)
		}
		if name == "silent" && !o.Overload {
			t.Errorf("%s: %+v, want a time-out to count as overload", name, o)
		}
	}
	if most := int64(32 << 20); sent.Load() > most { // what socket buffers may hold, and more
		t.Errorf("an endless answer was read on: %d bytes", sent.Load())
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	client, err := ship.NewClient(clientConfig(parse(t, server.URL)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if o := client.Send(ctx, payload()); o.Verdict != ship.Retry {
		t.Errorf("a cancelled request: %+v, want a retry", o)
	}
}

func TestARefusedCredentialIsReadAnew(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "new" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		acknowledges(w, r)
	}))
	t.Cleanup(server.Close)
	cfg := clientConfig(parse(t, server.URL))
	cfg.Authorize = func(h http.Header, refused bool) error {
		h.Set("X-Api-Key", map[bool]string{false: "old", true: "new"}[refused])
		return nil
	}
	client, err := ship.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i, want := range []ship.Verdict{ship.Pause, ship.Acked, ship.Pause} {
		if o := client.Send(t.Context(), payload()); o.Verdict != want {
			t.Errorf("request %d: %+v, want verdict %v", i, o, want)
		}
	}
}

// Whatever an answer says, no secret gets into what is logged, and no loss is
// counted that cannot be.
func TestHostileWordsOfABackend(t *testing.T) {
	const key = "s3cr3t-value"
	cases := []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"401 repeats the key", func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "invalid: "+r.Header.Get("X-Api-Key"), http.StatusUnauthorized)
		}},
		{"400 repeats the header", func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "you sent "+r.Header.Get("Authorization"), http.StatusBadRequest)
		}},
		{"400 decodes the password", func(w http.ResponseWriter, r *http.Request) {
			_, password, _ := r.BasicAuth()
			http.Error(w, "no such password: "+password, http.StatusBadRequest)
		}},
		{"long reason, negative points", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"batch_id":%q,"points":-1000000,"rejected":[{"series":0,"reason":"%s"}]}`,
				r.Header.Get("Idempotency-Key"), strings.Repeat("x", 50000))
		}},
	}
	for _, c := range cases {
		server := httptest.NewServer(c.answer)
		cfg := clientConfig(parse(t, server.URL))
		cfg.Authorize = func(h http.Header, _ bool) error {
			if strings.Contains(c.name, "password") {
				h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("user:"+key)))
				return nil
			}
			h.Set("X-Api-Key", key)
			h.Set("Authorization", "Bearer "+key)
			return nil
		}
		o := send(t, cfg)
		server.Close()
		if strings.Contains(o.Cause+o.Hint, key) || len(o.Cause) > 300 || o.RejectedPoints > payload().Points {
			t.Errorf("%s: %d of %d points rejected, %q", c.name, o.RejectedPoints, payload().Points, o.Cause)
		}
	}
}
