package ship_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

func TestWrongCertificatesNameTheCauseAndTheVariable(t *testing.T) {
	ca, other := shiptest.NewAuthority("test authority"), shiptest.NewAuthority("test authority")
	caFile := write(t, filepath.Join(t.TempDir(), "ca.pem"), ca.PEM())
	hour := time.Now().Add(time.Hour)
	cases := []struct {
		name   string
		server tls.Certificate
		change func(c *ship.ClientConfig)
		want   ship.Verdict
		says   string
	}{
		{"good", ca.Pair("127.0.0.1", hour), nil, ship.Acked, ""},
		{"unknown authority", other.Pair("127.0.0.1", hour), nil, ship.Pause, "HEKA_TLS_CA_FILE"},
		{"wrong name", ca.Pair("elsewhere.example", hour), nil, ship.Pause, "HEKA_TLS_SERVER_NAME"},
		{"server name set", ca.Pair("elsewhere.example", hour), func(c *ship.ClientConfig) { c.TLS.ServerName = "elsewhere.example" }, ship.Acked, ""},
		{"expired", ca.Pair("127.0.0.1", time.Now().Add(-time.Hour)), nil, ship.Pause, "expired"},
		{"verification off", other.Pair("127.0.0.1", hour), func(c *ship.ClientConfig) { c.TLS.InsecureSkipVerify = true }, ship.Acked, ""},
		{"plain text", ca.Pair("127.0.0.1", hour), func(c *ship.ClientConfig) {
			c.Endpoint = parse(t, strings.Replace(c.Endpoint.String(), "https", "http", 1))
		}, ship.Pause, "try https://"},
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
	old, next := shiptest.NewAuthority("test authority"), shiptest.NewAuthority("test authority")
	hour := time.Now().Add(time.Hour)
	both := old.Pool(next)
	serving := old.Pair("127.0.0.1", hour)
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
	install := func(a *shiptest.Authority, name string) {
		cert, key := a.Issue(name, hour)
		write(t, cfg.TLS.CAFile, a.PEM())
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
	serving = next.Pair("127.0.0.1", hour)
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
	if o := c.Send(t.Context(), payload()); o.Verdict != ship.Acked || client != "second, longer" {
		t.Errorf("broken authority file: %+v from %q, want the old ones in force", o, client)
	}
}

func TestAnEncryptedKeySaysSo(t *testing.T) {
	dir := t.TempDir()
	cert, key := shiptest.NewAuthority("test authority").Issue("client", time.Now().Add(time.Hour))
	cfg := clientConfig(parse(t, "https://127.0.0.1:1"))
	cfg.TLS.CertFile = write(t, filepath.Join(dir, "cert.pem"), cert)
	for _, sealed := range []string{
		strings.ReplaceAll(string(key), "PRIVATE", "ENCRYPTED PRIVATE"),
		strings.Replace(string(key), "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1),
	} {
		cfg.TLS.KeyFile = write(t, filepath.Join(dir, "key.pem"), []byte(sealed))
		_, err := ship.NewClient(cfg)
		if err == nil || !strings.Contains(err.Error(), "is encrypted; set HEKA_TLS_KEY_FILE") {
			t.Errorf("NewClient = %v, want that the key is encrypted", err)
		}
	}
}

func TestUnusableTLSFilesAreAnErrorAtStart(t *testing.T) {
	cfg := clientConfig(parse(t, "https://127.0.0.1:1"))
	cfg.TLS.CAFile = filepath.Join(t.TempDir(), "missing.pem")
	_, err := ship.NewClient(cfg)
	if err == nil || !strings.Contains(err.Error(), "HEKA_TLS_CA_FILE") {
		t.Errorf("NewClient = %v, want the variable to fix", err)
	}
}

// A server that wants a client certificate says so in a TLS alert.
func TestAMissingClientCertificateNamesTheVariable(t *testing.T) {
	ca := shiptest.NewAuthority("test authority")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := clientConfig(serve(t, &tls.Config{
			Certificates: []tls.Certificate{ca.Pair("127.0.0.1", time.Now().Add(time.Hour))}, MaxVersion: version,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(),
		}, false, http.HandlerFunc(acknowledges)))
		cfg.TLS.CAFile = write(t, filepath.Join(t.TempDir(), "ca.pem"), ca.PEM())
		if o := send(t, cfg); o.Verdict != ship.Pause || !strings.Contains(o.Hint, "HEKA_TLS_CERT_FILE") {
			t.Errorf("%s: %+v, want a pause that names HEKA_TLS_CERT_FILE", tls.VersionName(version), o)
		}
	}
}
