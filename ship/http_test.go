package ship_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// A redirect to another spelling of the endpoint's host is followed over the same
// connection, with the credential.
func TestRedirectsToOtherSpellingsOfTheHost(t *testing.T) {
	for _, target := range []string{
		"http://LOCALHOST:%s/ok", "HTTP://localhost.:%s/ok", "http://LocalHost:0%s/ok", "//localhost:%s/ok", "http://user@localhost:%s/ok", "/ok", "ok",
	} {
		connections, got := 0, ""
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, port, _ := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
			if r.URL.Path == "/v1/batches" {
				to := strings.Replace(target, "%s", port, 1)
				w.Header().Set("Location", to)
				w.WriteHeader(http.StatusPermanentRedirect)
				return
			}
			got = r.Header.Get("Authorization")
			acknowledges(w, r)
		}))
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections++
			}
		}
		if strings.HasPrefix(target, "ok") {
			target = "/v1/../ok"
		}
		server.Start()
		cfg := clientConfig(parse(t, strings.Replace(server.URL, "127.0.0.1", "localhost", 1)+"/v1/batches"))
		cfg.Authorize = func(h http.Header, _ bool) error { h.Set("Authorization", "Bearer x"); return nil }
		o := send(t, cfg)
		server.Close()
		if o.Verdict != ship.Acked || got != "Bearer x" || connections != 1 {
			t.Errorf("%s: %+v, with Authorization %q over %d connections", target, o, got, connections)
		}
	}
}

// coded encodes an answer.
func coded(t *testing.T, coding string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	case "flate":
		w, err = flate.NewWriter(&b, 5)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(body)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// An answer is read in whatever coding it comes, within bounds. One that cannot be
// read is neither an acknowledgement nor an empty answer, and its status counts.
func TestAnswersWithAContentCoding(t *testing.T) {
	ack := []byte(`{"batch_id":"00ab","status":"accepted","points":5}`)
	long := append(bytes.Clone(ack), bytes.Repeat([]byte(" "), 4<<20)...)
	for name, c := range map[string]struct {
		header []string
		status int
		body   []byte
		want   ship.Verdict
		says   string
	}{
		"none":                  {nil, 200, ack, ship.Acked, ""},
		"identity":              {[]string{"identity"}, 200, ack, ship.Acked, ""},
		"gzip":                  {[]string{"gzip"}, 200, coded(t, "gzip", ack), ship.Acked, ""},
		"GZip":                  {[]string{" GZip "}, 200, coded(t, "gzip", ack), ship.Acked, ""},
		"x-gzip":                {[]string{"x-gzip"}, 200, coded(t, "gzip", ack), ship.Acked, ""},
		"deflate":               {[]string{"deflate"}, 200, coded(t, "zlib", ack), ship.Acked, ""},
		"bare deflate":          {[]string{"deflate"}, 200, coded(t, "flate", ack), ship.Acked, ""},
		"zstd":                  {[]string{"zstd"}, 200, coded(t, "zstd", ack), ship.Acked, ""},
		"two in a header":       {[]string{"deflate, gzip"}, 200, coded(t, "gzip", coded(t, "zlib", ack)), ship.Acked, ""},
		"two headers":           {[]string{"zstd", "gzip"}, 200, coded(t, "gzip", coded(t, "zstd", ack)), ship.Acked, ""},
		"long gzip":             {[]string{"gzip"}, 200, coded(t, "gzip", long), ship.Acked, ""},
		"long zstd":             {[]string{"zstd"}, 200, coded(t, "zstd", long[:512<<10]), ship.Acked, ""},
		"unknown":               {[]string{"br"}, 200, []byte("\x8b\x05\x80" + string(ack)), ship.Retry, "cannot be read"},
		"no coding at all":      {[]string{"utf-8"}, 200, ack, ship.Acked, ""},
		"truncated":             {[]string{"gzip"}, 200, coded(t, "gzip", ack)[:20], ship.Retry, "cannot be read"},
		"a bomb of zstd":        {[]string{"zstd"}, 200, coded(t, "zstd", make([]byte, 32<<20)), ship.Retry, ""},
		"a bomb of gzip":        {[]string{"gzip"}, 200, coded(t, "gzip", make([]byte, 32<<20)), ship.Retry, ""},
		"said, but not done":    {[]string{"gzip"}, 200, ack, ship.Acked, ""},
		"done once, said twice": {[]string{"gzip, gzip"}, 200, coded(t, "gzip", ack), ship.Acked, ""},
		"very many":             {[]string{strings.Repeat("gzip,", 1000) + "gzip"}, 200, ack, ship.Retry, "cannot be read"},
		"an error in gzip":      {[]string{"gzip"}, 400, coded(t, "gzip", []byte("no such field")), ship.Reject, "no such field"},
		"an error, unreadable":  {[]string{"br"}, 404, []byte("???"), ship.Pause, "404"},
		"nothing in gzip":       {[]string{"gzip"}, 200, nil, ship.Retry, ""},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Encoding"] = c.header
			w.WriteHeader(c.status)
			_, _ = w.Write(c.body)
		}))
		o := send(t, clientConfig(parse(t, server.URL)))
		if o.Verdict != c.want || o.Status != c.status || !strings.Contains(o.Cause, c.says) {
			t.Errorf("%s: %+v, want verdict %v that says %q", name, o, c.want, c.says)
		}
		cfg := clientConfig(parse(t, server.URL))
		cfg.Backend, cfg.Decode = encode.VictoriaMetrics(), encode.Native{}.Decode
		if o := sendBatch(t, cfg); o.Verdict == ship.Acked && len(c.body) > 0 {
			t.Errorf("%s: %+v of a backend that acknowledges by an empty body", name, o)
		}
		server.Close()
	}
}

// sendBatch sends a real batch, for a backend that is not native.
func sendBatch(t *testing.T, cfg ship.ClientConfig) ship.Outcome {
	t.Helper()
	client, err := ship.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	b := metric.Batch{
		Agent: metric.Agent{ID: "agent-1", Version: "test", Epoch: 1, Seq: 1}, Times: []int64{time.Now().UnixMilli()},
		Series: []metric.Column{{Series: &metric.Series{Desc: counterDesc}, Values: []metric.Value{metric.Int(1)}}},
	}
	return client.Send(t.Context(), ship.Payload{ID: b.ID(), Points: 1, Body: encode.Native{}.Append(nil, &b), Compression: ship.CompressionNone})
}

// rawServer answers what it is sent first with some bytes, and closes.
func rawServer(t *testing.T, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 64<<10))
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

// What servers do to a request in clear at a port for TLS.
func TestHTTPToATLSPortSaysTryHTTPS(t *testing.T) {
	page := func(text string) string {
		return fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
	for name, c := range map[string]struct {
		answer string
		want   ship.Verdict
	}{
		"Go":                    {"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", ship.Pause},
		"nginx":                 {page("<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>"), ship.Pause},
		"Apache":                {page("<p>Your browser sent a request that this server could not understand.<br />\nReason: You're speaking plain HTTP to an SSL-enabled server port.<br />"), ship.Pause},
		"nginx's own status":    {"HTTP/1.1 497 \r\nContent-Length: 0\r\n\r\n", ship.Pause},
		"upgrade":               {"HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.2\r\nContent-Length: 0\r\n\r\n", ship.Pause},
		"alert, TLS 1.0":        {"\x15\x03\x01\x00\x02\x02\x46", ship.Pause},
		"alert, TLS 1.2":        {"\x15\x03\x03\x00\x02\x02\x28", ship.Pause},
		"alert that is a line":  {"\x15\x03\x03\x00\x02\x02\x0a", ship.Pause},
		"closed without a word": {"", ship.Retry},
	} {
		o := send(t, clientConfig(parse(t, "http://"+rawServer(t, c.answer)+"/v1/batches")))
		if o.Verdict != c.want || !strings.Contains(o.Hint, "try https://") {
			t.Errorf("%s: %+v, want verdict %v and a hint to try https://", name, o, c.want)
		}
	}
	for name, answer := range map[string]string{"another 400": page("no such field: https"), "no 400": strings.Replace(page("plain HTTP request was sent to HTTPS port"), "400 Bad Request", "422 No", 1)} {
		if o := send(t, clientConfig(parse(t, "http://"+rawServer(t, answer)+"/"))); o.Verdict != ship.Reject || strings.Contains(o.Hint, "https") {
			t.Errorf("%s: %+v, want a refusal", name, o)
		}
	}
}

// What a failed handshake names is what helps.
func TestTLSHintsNameTheRightVariable(t *testing.T) {
	ca, other := shiptest.NewAuthority("test authority"), shiptest.NewAuthority("another authority")
	hour := time.Now().Add(time.Hour)
	pair := ca.Pair("127.0.0.1", hour)
	dir := t.TempDir()
	files := func(name string, a *shiptest.Authority, until time.Time) (certFile, keyFile string) {
		cert, key := a.Issue("agent", until)
		return write(t, filepath.Join(dir, name+".pem"), cert), write(t, filepath.Join(dir, name+".key"), key)
	}
	wrongCert, wrongKey := files("wrong", other, hour)
	oldCert, oldKey := files("old", ca, time.Now().Add(-time.Minute))
	const clientCert = "HEKA_TLS_CERT_FILE"
	for name, c := range map[string]struct {
		server *tls.Config
		client ship.TLSConfig
		hint   string
		never  string
	}{
		"protocol":             {&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, ship.TLSConfig{}, "TLS 1.2 or newer", clientCert},
		"cipher":               {&tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, ship.TLSConfig{}, "cipher suite", clientCert},
		"application protocol": {&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, NextProtos: []string{"smtp"}}, ship.TLSConfig{}, "HTTP/1.1 or HTTP/2", clientCert},
		"name":                 {&tls.Config{Certificates: []tls.Certificate{ca.Pair("elsewhere.example", hour)}}, ship.TLSConfig{}, "HEKA_TLS_SERVER_NAME", clientCert},
		"chain":                {&tls.Config{Certificates: []tls.Certificate{other.Pair("127.0.0.1", hour)}}, ship.TLSConfig{}, "HEKA_TLS_CA_FILE", clientCert},
		"no certificate, 1.2":  {&tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert}, ship.TLSConfig{}, clientCert, "cipher"},
		"no certificate, 1.3":  {&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert}, ship.TLSConfig{}, clientCert, "cipher"},
		"wrong certificate":    {&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()}, ship.TLSConfig{CertFile: wrongCert, KeyFile: wrongKey}, clientCert, "cipher"},
		"expired certificate":  {&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()}, ship.TLSConfig{CertFile: oldCert, KeyFile: oldKey}, clientCert, "cipher"},
	} {
		cfg := clientConfig(serve(t, c.server, false, http.HandlerFunc(acknowledges)))
		cfg.TLS = c.client
		cfg.TLS.CAFile = write(t, filepath.Join(dir, "ca.pem"), ca.PEM())
		if o := send(t, cfg); o.Verdict != ship.Pause || !strings.Contains(o.Hint, c.hint) || strings.Contains(o.Hint, c.never) {
			t.Errorf("%s: %+v, want a pause and a hint with %q, without %q", name, o, c.hint, c.never)
		}
	}
	for alert, hint := range map[byte]string{
		40: "cipher suite", 42: clientCert, 43: clientCert, 44: clientCert, 45: clientCert, 46: clientCert, 48: clientCert, 49: clientCert,
		70: "TLS 1.2", 71: "cipher suite", 80: "HEKA_TLS_SERVER_NAME", 86: "TLS 1.2", 112: "HEKA_TLS_SERVER_NAME", 116: clientCert, 120: "HTTP/1.1 or HTTP/2",
	} {
		o := send(t, clientConfig(parse(t, "https://"+rawServer(t, string([]byte{0x15, 3, 3, 0, 2, 2, alert}))+"/")))
		if o.Verdict != ship.Pause || !strings.Contains(o.Hint, hint) {
			t.Errorf("alert %d: %+v, want a pause and a hint with %q", alert, o, hint)
		}
	}
	endpoint := serve(t, &tls.Config{Certificates: []tls.Certificate{pair}}, false, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html><title>400 No required SSL certificate was sent</title>", http.StatusBadRequest)
	}))
	cfg := clientConfig(endpoint)
	cfg.TLS.CAFile = filepath.Join(dir, "ca.pem")
	if o := send(t, cfg); o.Verdict != ship.Pause || !strings.Contains(o.Hint, clientCert) {
		t.Errorf("nginx without a client certificate: %+v", o)
	}
}
