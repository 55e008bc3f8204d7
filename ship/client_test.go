package ship_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// authority makes certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// issue returns a certificate and key in PEM for 127.0.0.1 or a DNS name.
func (a *authority) issue(name string, notAfter time.Time) (certPEM, keyPEM []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func (a *authority) pair(name string, notAfter time.Time) tls.Certificate {
	pair, err := tls.X509KeyPair(a.issue(name, notAfter))
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

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
		Timeout: 5 * time.Second, Format: encode.Native{},
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
	ca := newAuthority(t)
	for _, http2 := range []bool{false, true} {
		var got *http.Request
		var body []byte
		endpoint := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.pair("127.0.0.1", time.Now().Add(time.Hour))}}, http2,
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = r
				body, _ = io.ReadAll(r.Body)
				acknowledges(w, r)
			}))
		cfg := clientConfig(endpoint.JoinPath("v1", "batches"))
		cfg.TLS.CAFile = write(t, filepath.Join(t.TempDir(), "ca.pem"), ca.pem())
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

func TestWrongCertificatesNameTheCauseAndTheVariable(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	caFile := write(t, filepath.Join(t.TempDir(), "ca.pem"), ca.pem())
	hour := time.Now().Add(time.Hour)
	cases := []struct {
		name   string
		server tls.Certificate
		change func(c *ship.ClientConfig)
		want   ship.Verdict
		says   string
	}{
		{"good", ca.pair("127.0.0.1", hour), nil, ship.Acked, ""},
		{"unknown authority", other.pair("127.0.0.1", hour), nil, ship.Pause, "HEKA_TLS_CA_FILE"},
		{"wrong name", ca.pair("elsewhere.example", hour), nil, ship.Pause, "HEKA_TLS_SERVER_NAME"},
		{"server name set", ca.pair("elsewhere.example", hour), func(c *ship.ClientConfig) { c.TLS.ServerName = "elsewhere.example" }, ship.Acked, ""},
		{"expired", ca.pair("127.0.0.1", time.Now().Add(-time.Hour)), nil, ship.Pause, "expired"},
		{"verification off", other.pair("127.0.0.1", hour), func(c *ship.ClientConfig) { c.TLS.InsecureSkipVerify = true }, ship.Acked, ""},
		{"plain text", ca.pair("127.0.0.1", hour), func(c *ship.ClientConfig) {
			c.Endpoint = parse(t, strings.Replace(c.Endpoint.String(), "https", "http", 1))
		}, ship.Reject, "400"},
	}
	for _, c := range cases {
		cfg := clientConfig(serve(t, &tls.Config{Certificates: []tls.Certificate{c.server}}, false, http.HandlerFunc(acknowledges)))
		cfg.TLS.CAFile = caFile
		if c.change != nil {
			c.change(&cfg)
		}
		o := send(t, cfg)
		if said := o.Cause + " " + o.Hint; o.Verdict != c.want || !strings.Contains(said, c.says) {
			t.Errorf("%s: verdict %v, %q; want %v with %q", c.name, o.Verdict, said, c.want, c.says)
		}
	}
}

func TestTLSToAPlainServerSaysSo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(acknowledges))
	t.Cleanup(server.Close)
	o := send(t, clientConfig(parse(t, strings.Replace(server.URL, "http:", "https:", 1))))
	if o.Verdict != ship.Pause || !strings.Contains(o.Cause, "does not speak TLS") {
		t.Errorf("%+v", o)
	}
}

// Rotating the authority and the client's certificate needs no restart.
func TestTLSFilesAreReadAgainWhenTheyChange(t *testing.T) {
	old, next := newAuthority(t), newAuthority(t)
	hour := time.Now().Add(time.Hour)
	both := x509.NewCertPool()
	both.AddCert(old.cert)
	both.AddCert(next.cert)
	serving := old.pair("127.0.0.1", hour)
	var client string
	endpoint := serve(t, &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{
				Certificates: []tls.Certificate{serving},
				ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: both,
			}, nil
		},
	}, false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client = r.TLS.PeerCertificates[0].Subject.CommonName
		w.Header().Set("Connection", "close")
		acknowledges(w, r)
	}))
	dir := t.TempDir()
	cfg := clientConfig(endpoint)
	cfg.TLS = ship.TLSConfig{
		CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"),
	}
	install := func(a *authority, name string) {
		cert, key := a.issue(name, hour)
		write(t, cfg.TLS.CAFile, a.pem())
		write(t, cfg.TLS.CertFile, cert)
		write(t, cfg.TLS.KeyFile, key)
	}
	install(old, "first")
	c, err := ship.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if o := c.Send(t.Context(), payload()); o.Verdict != ship.Acked || client != "first" {
		t.Fatalf("before: %+v from %q", o, client)
	}
	serving = next.pair("127.0.0.1", hour)
	if o := c.Send(t.Context(), payload()); o.Verdict != ship.Pause {
		t.Fatalf("new authority, old files: %+v, want a pause", o)
	}
	if c.Refreshed() {
		t.Error("refreshed before the files changed")
	}
	install(next, "second, longer")
	if !c.Refreshed() {
		t.Error("not refreshed after the files changed")
	}
	if o := c.Send(t.Context(), payload()); o.Verdict != ship.Acked || client != "second, longer" {
		t.Errorf("after: %+v from %q", o, client)
	}
	write(t, cfg.TLS.CAFile, []byte("no certificate"))
	if o := c.Send(t.Context(), payload()); o.Verdict != ship.Pause || !strings.Contains(o.Hint, "HEKA_TLS_CA_FILE") {
		t.Errorf("broken authority file: %+v", o)
	}
}

func TestUnusableTLSFilesAreAnErrorAtStart(t *testing.T) {
	cfg := clientConfig(parse(t, "https://127.0.0.1:1"))
	cfg.TLS.CAFile = filepath.Join(t.TempDir(), "missing.pem")
	_, err := ship.NewClient(cfg)
	if err == nil || !strings.Contains(err.Error(), "HEKA_TLS_CA_FILE") {
		t.Errorf("NewClient = %v, want the variable to mend", err)
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
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
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
