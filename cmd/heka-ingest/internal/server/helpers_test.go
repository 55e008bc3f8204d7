package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/server"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/store"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/tlscert"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// service is a running server with its address.
type service struct {
	url    string
	client *http.Client
	stop   func()
}

// serve runs a server over HTTPS on loopback. cfg needs no certificate; without
// a Storage it gets a real store.
func serve(t *testing.T, cfg server.Config) service {
	t.Helper()
	dir := t.TempDir()
	authority, err := tlscert.OpenAuthority(filepath.Join(dir, "tls"), []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stored := make(chan error, 1)
	storing, endStore := context.WithCancel(context.Background())
	if cfg.Storage == nil {
		db, err := store.Open(ctx, dir, store.Config{Retention: time.Hour, QueueBatches: 64})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Storage = db
		go func() { stored <- db.Run(storing) }()
	} else {
		stored <- nil
	}
	cfg.Certificate = authority.GetCertificate
	if cfg.MaxBodyBytes == 0 {
		cfg.MaxBodyBytes = 1 << 20
	}
	if cfg.BudgetBytes == 0 {
		cfg.BudgetBytes = 8 << 20
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.New(cfg).Run(ctx, l) }()
	s := service{url: "https://" + l.Addr().String(), client: client(t, filepath.Join(dir, "tls", tlscert.CAFile))}
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		s.client.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Run: %v", err)
		}
		endStore()
		if err := <-stored; err != nil {
			t.Errorf("store: %v", err)
		}
	}
	t.Cleanup(s.stop)
	return s
}

func client(t *testing.T, caPath string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(caPath)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("no CA")
	}
	return &http.Client{
		Timeout:   20 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true},
	}
}

// answer is a response whose body has been read.
type answer struct {
	*http.Response
	body string
}

// do sends one request. headers are pairs of name and value.
func (s service) do(t *testing.T, method, path string, body io.Reader, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response, strings.TrimSpace(string(text))}
}

func (s service) post(t *testing.T, body []byte, headers ...string) answer {
	t.Helper()
	return s.do(t, http.MethodPost, server.BatchesPath, bytes.NewReader(body), headers...)
}

// wantError checks the status, and that the body is {"error": one short line}.
func (a answer) wantError(t *testing.T, status int, reason string) {
	t.Helper()
	var document map[string]string
	if err := json.Unmarshal([]byte(a.body), &document); err != nil || len(document) != 1 {
		t.Errorf("body %q is not {\"error\":…}", a.body)
	}
	if a.StatusCode != status || !strings.Contains(document["error"], reason) {
		t.Errorf("answer %d %q, want %d %q", a.StatusCode, document["error"], status, reason)
	}
}

func (a answer) wantAck(t *testing.T, id, status string, points int64) {
	t.Helper()
	var ack wire.Ack
	if err := json.Unmarshal([]byte(a.body), &ack); err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("answer %d %s", a.StatusCode, a.body)
	}
	if ack.BatchID != id || ack.Status != status || ack.Points != points || ack.Rejected == nil {
		t.Errorf("ack = %s, want %s %s, %d points", a.body, id, status, points)
	}
}

func id(seq int) string { return fmt.Sprintf("%016x%016x", 255, seq) }

// base is far enough in the past for a whole test.
var base = time.Now().Add(-time.Minute).UnixMilli()

// body returns a batch of one series with two ticks, right after those of batch
// seq-1.
func body(seq int) []byte {
	at := base + int64(seq)*100
	return fmt.Appendf(nil, `{"schema":"heka.batch/1","batch_id":"%s","agent":{"id":"a","version":"1","epoch":"00000000000000ff","seq":%d},`+
		`"resource":{"host.name":"web-1"},"start_ms":1,"interval_ms":50,"times":[%d,%d],`+
		`"series":[{"name":"system.cpu.utilization","unit":"1","kind":"gauge","labels":{},"values":[0.25,0.5]}],"loss":{}}`, id(seq), seq, at, at+50)
}

func gzipped(t testing.TB, plain io.Reader) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.Copy(w, plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t testing.TB, plain io.Reader, window int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
