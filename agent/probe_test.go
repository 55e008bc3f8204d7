package agent_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/agent"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

const probeKey = "key-of-the-probe"

// receiver is a backend as strict as the real one about what a check may get
// wrong. What it does is changed before it is asked.
type receiver struct {
	exporter string
	key      string
	begins   string // what a body with points begins with; one without is refused
	answer   func(w http.ResponseWriter, plain string, id string)

	compressions string                    // values of Content-Encoding that it reads, "" among them
	unread       func(http.ResponseWriter) // its answer to others

	mu     sync.Mutex
	bodies []string // of accepted requests, plain
}

func say(status int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func always(status int, body string) func(http.ResponseWriter, string, string) {
	return func(w http.ResponseWriter, _, _ string) { say(status, body)(w) }
}

func newReceiver(t *testing.T, exporter string) *receiver {
	t.Helper()
	to, ok := encode.Find(exporter)
	if !ok {
		t.Fatal(exporter)
	}
	r := &receiver{exporter: exporter, key: to.KeyHeader, compressions: ",gzip,zstd", unread: say(415, "")}
	switch exporter {
	case "heka":
		r.begins, r.answer = `{"schema":"heka.batch/1"`, func(w http.ResponseWriter, _, id string) {
			fmt.Fprintf(w, `{"batch_id":%q,"status":"accepted","points":1,"rejected":[]}`, id)
		}
	case "otlp", "newrelic":
		r.begins, r.answer = `{"resourceMetrics":[{"resource":{"attributes":[`, always(200, "{}")
	case "datadog":
		r.begins, r.answer = `{"series":[{`, always(202, `{"errors":[]}`)
	case "splunk":
		r.begins, r.answer = `{"time":`, always(200, `{"text":"Success","code":0}`)
	case "elasticsearch":
		r.begins, r.answer = `{"create":`, func(w http.ResponseWriter, plain, _ string) {
			items := strings.Repeat(`,{"create":{"status":201}}`, strings.Count(plain, "\n")/2)
			fmt.Fprintf(w, `{"errors":false,"items":[%s]}`, items[1:])
		}
	case "clickhouse":
		r.begins, r.answer = `{"time_ms":`, always(200, "")
	case "victoriametrics":
		r.begins, r.answer = `{"metric":`, always(204, "")
	}
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	encoding := req.Header.Get("Content-Encoding")
	plain, err := ship.Decompress(body)
	switch {
	case !strings.Contains(req.Header.Get(r.key), probeKey):
		say(401, "who are you, "+req.Header.Get(r.key))(w)
	case !strings.Contains(","+r.compressions+",", ","+encoding+","):
		r.unread(w)
	case err != nil || !bytes.HasPrefix(plain, []byte(r.begins)) || encoding == "" && !bytes.Equal(plain, body):
		say(400, "not mine")(w)
	default:
		r.mu.Lock()
		r.bodies = append(r.bodies, string(plain))
		r.mu.Unlock()
		r.answer(w, string(plain), req.Header.Get("Idempotency-Key"))
	}
}

// connect checks the connection of an exporter to an endpoint.
func connect(t *testing.T, exporter, endpoint string, more ...string) (report string, err error) {
	t.Helper()
	vars := map[string]string{
		"HEKA_EXPORTER": exporter, "HEKA_ENDPOINT": endpoint, "HEKA_API_KEY": probeKey, "HEKA_COLLECTORS": "memory,load,agent",
	}
	for _, m := range more {
		name, value, _ := strings.Cut(m, "=")
		vars[name] = value
	}
	cfg, _ := load(t, vars)
	return agent.Connect(t.Context(), cfg, agent.Build{Version: "test"})
}

// refused fails unless the check failed, and said each of these; a hint follows
// the cause in any case.
func refused(t *testing.T, report string, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it says %q", report)
	}
	if !strings.Contains(err.Error(), "; ") || strings.Contains(err.Error(), "connected") || strings.Contains(err.Error(), probeKey) {
		t.Errorf("it says %q: want a cause and a hint, and no secret", err)
	}
	for _, want := range says {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it says %q, not %q", err, want)
		}
	}
}

func exporters() (names []string) {
	for _, b := range encode.Backends() {
		names = append(names, b.Name)
	}
	return names
}

// Every exporter connects to its own backend and to no other, in each
// compression; what proves it is a real tick, except where the format has an
// empty batch for that.
func TestConnectToEachBackend(t *testing.T) {
	for _, exporter := range exporters() {
		for _, backend := range exporters() {
			for _, compression := range []string{"gzip", "zstd", "none"} {
				t.Run(exporter+" to "+backend+", "+compression, func(t *testing.T) {
					r := newReceiver(t, backend)
					server := httptest.NewServer(r)
					defer server.Close()
					report, err := connect(t, exporter, server.URL, "HEKA_COMPRESSION="+compression)
					if exporter != backend {
						refused(t, report, err, "HEKA_")
						return
					}
					sent := "one real tick"
					if exporter == "heka" {
						sent = "an empty batch"
					}
					if err != nil || !strings.HasPrefix(report, "connected: ") || !strings.Contains(report, sent) || len(r.bodies) != 1 {
						t.Errorf("%q, %v, %d requests accepted", report, err, len(r.bodies))
					}
				})
			}
		}
	}
}

// No answer but an acknowledgement is a connection, whatever the exporter.
func TestConnectIsRefusedByEveryOtherAnswer(t *testing.T) {
	const page = "<!DOCTYPE html><html><body>Welcome to the Wi-Fi</body></html>"
	answers := map[string]func(http.ResponseWriter){
		"portal":        func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html"); say(200, page)(w) },
		"page with 202": say(202, page), "list": say(200, "[]"), "other JSON": say(200, `{"error":"x","status":"no"}`), "text": say(200, "OK"),
		"cut off": func(w http.ResponseWriter) { w.Header().Set("Content-Length", "100"); say(200, "{")(w) },
		"reset":   func(w http.ResponseWriter) { c, _, _ := http.NewResponseController(w).Hijack(); c.Close() },
	}
	for _, status := range []int{300, 304, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 413, 414, 415, 422, 425, 429, 431, 451, 500, 501, 502, 503, 504, 505, 507, 520} {
		answers[fmt.Sprint(status)] = say(status, "no "+probeKey)
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		answers[fmt.Sprint(status, " to another host")] = redirect(status, "http://192.0.2.1/v1/batches")
	}
	answers["308 round and round"] = redirect(308, "/round")
	for name, answer := range answers {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			answer(w)
		}))
		for _, exporter := range exporters() {
			t.Run(exporter+", "+name, func(t *testing.T) {
				report, err := connect(t, exporter, server.URL)
				refused(t, report, err, server.URL)
			})
		}
		server.Close()
	}
}

func redirect(status int, location string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.Header().Set("Location", location); w.WriteHeader(status) }
}

// A server that cannot read the compression is found out, however it says so,
// and the hint names what it reads.
func TestConnectNamesTheCompressionThatIsRead(t *testing.T) {
	unread := map[string]func(http.ResponseWriter){
		"415": say(415, ""), "400": say(400, "invalid character"), "422": say(422, ""), "500": say(500, "boom"), "200": say(200, "<html>"),
		"reset": func(w http.ResponseWriter) { c, _, _ := http.NewResponseController(w).Hijack(); c.Close() },
	}
	for _, exporter := range exporters() {
		for name, answer := range unread {
			for _, reads := range []string{"", ",gzip"} {
				t.Run(fmt.Sprintf("%s, %s, reads none%s", exporter, name, reads), func(t *testing.T) {
					r := newReceiver(t, exporter)
					r.compressions, r.unread = reads, answer
					server := httptest.NewServer(r)
					defer server.Close()
					configured, hint := "gzip", "HEKA_COMPRESSION=none"
					if reads != "" {
						configured, hint = "zstd", "HEKA_COMPRESSION=gzip"
					}
					report, err := connect(t, exporter, server.URL, "HEKA_COMPRESSION="+configured)
					if to, _ := encode.Find(exporter); reads != "" && len(to.Compressions) == 1 { // it has gzip alone
						if err != nil {
							t.Error(err)
						}
						return
					}
					refused(t, report, err, hint)
					if sentTick := strings.Contains(err.Error(), "one real tick"); sentTick == (exporter == "heka") {
						t.Errorf("it says %q, where an empty batch tells in the native format alone", err)
					}
				})
			}
		}
	}
}

// What is refused when there is something in it is not connected, and a server
// of the native format that has no empty batches is asked with a tick.
func TestConnectWhereEmptyAndRealBatchesDiffer(t *testing.T) {
	for _, exporter := range exporters()[1:] {
		r := newReceiver(t, exporter)
		r.begins, r.answer = "{", always(400, "out of bounds")
		server := httptest.NewServer(r)
		report, err := connect(t, exporter, server.URL)
		refused(t, report, err, "out of bounds", "one real tick", "HEKA_ENDPOINT and HEKA_EXPORTER")
		server.Close()
	}
	tooLarge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(400, "request body too large")(w) }))
	defer tooLarge.Close()
	report, err := connect(t, "otlp", tooLarge.URL)
	refused(t, report, err, "raise the limit")
	for _, status := range []int{400, 422, 500} {
		r := newReceiver(t, "heka")
		echo := r.answer
		r.answer = func(w http.ResponseWriter, plain, id string) {
			if strings.Contains(plain, `"series":[]`) {
				say(status, "no series")(w)
				return
			}
			echo(w, plain, id)
		}
		server := httptest.NewServer(r)
		if report, err := connect(t, "heka", server.URL); err != nil || !strings.Contains(report, "one real tick") || !strings.Contains(report, "stores that tick") {
			t.Errorf("empty batches get %d: %q, %v", status, report, err)
		}
		server.Close()
	}
}

// A backend that acknowledges a tick and refuses each point of it, or that would
// drop it, has nothing; one that refuses some has the rest.
func TestConnectCountsRefusedPoints(t *testing.T) {
	for _, c := range []struct {
		accepted int
		wants    string
	}{{0, ""}, {1, "but for"}} {
		r := newReceiver(t, "heka")
		r.answer = func(w http.ResponseWriter, plain, id string) {
			if strings.Contains(plain, `"series":[]`) {
				say(400, "")(w)
				return
			}
			fmt.Fprintf(w, `{"batch_id":%q,"points":%d,"rejected":[{"series":0,"reason":"no"}]}`, id, c.accepted)
		}
		server := httptest.NewServer(r)
		report, err := connect(t, "heka", server.URL)
		if c.accepted == 0 {
			refused(t, report, err, "every point")
		} else if err != nil || !strings.Contains(report, c.wants) {
			t.Errorf("%q, %v", report, err)
		}
		server.Close()
	}
	r := newReceiver(t, "victoriametrics")
	server := httptest.NewServer(r)
	defer server.Close()
	report, err := connect(t, "victoriametrics", server.URL, "HEKA_BACKEND_MAX_AGE=1ns")
	refused(t, report, err, "nothing was sent", "HEKA_BACKEND_MAX_AGE")
}

// The tick is one that Run would send, under an id of its own, without counts of
// the process that checks.
func TestTheTickOfAConnect(t *testing.T) {
	ids := make(map[string]bool)
	for _, names := range []string{"otel", "heka", "node"} {
		r := newReceiver(t, "heka")
		r.answer = func(w http.ResponseWriter, _, _ string) { say(400, "")(w) }
		server := httptest.NewServer(r)
		report, err := connect(t, "heka", server.URL, "HEKA_METRIC_NAMES="+names, "HEKA_COLLECTORS=cpu,memory,load,agent", "HEKA_AGENT_ID=a1")
		refused(t, report, err)
		server.Close()
		var last string
		for _, body := range r.bodies {
			b, err := encode.Native{}.Decode([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			if ids[b.ID()] && b.ID() != last {
				t.Errorf("%s again, in another check", b.ID())
			}
			last = b.ID()
			ids[last] = true
			if b.Agent.ID != "a1" || b.Agent.Seq != 1 || b.Agent.Epoch == 0 || len(b.Times) > 1 {
				t.Errorf("%+v at %v", b.Agent, b.Times)
			}
			if len(b.Times) == 1 && (b.StartMS == 0 || len(b.Series) == 0 || len(b.Resource) == 0 || time.Since(time.UnixMilli(b.Times[0])) > time.Hour) {
				t.Errorf("no tick of this host: %s", body)
			}
			if strings.Contains(body, "heka.agent.") {
				t.Errorf("counts of the check: %s", body)
			}
		}
		if len(r.bodies) != 4 {
			t.Errorf("%d requests, want an empty batch and a tick, each compressed and plain", len(r.bodies))
		}
	}
	if len(ids) != 6 {
		t.Errorf("%d ids of 3 checks, want 2 each", len(ids))
	}
}

// Keys and certificates are those of Run, and so are the hints.
func TestConnectHintsAtKeysAndCertificates(t *testing.T) {
	authority := shiptest.NewAuthority("the authority")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, exporter := range exporters() {
		server := httptest.NewUnstartedServer(newReceiver(t, exporter))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{authority.Pair("ingest", time.Now().Add(time.Hour))}}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		plain := httptest.NewServer(newReceiver(t, exporter))
		t.Run(exporter, func(t *testing.T) {
			if report, err := connect(t, exporter, server.URL, "HEKA_TLS_CA_FILE="+ca, "HEKA_TLS_SERVER_NAME=ingest"); err != nil {
				t.Errorf("%q, %v", report, err)
			}
			for _, c := range []struct{ endpoint, vars, hint string }{
				{server.URL, "HEKA_TLS_SERVER_NAME=ingest", "HEKA_TLS_CA_FILE"},
				{server.URL, "HEKA_TLS_CA_FILE=" + ca + " HEKA_TLS_SERVER_NAME=other", "HEKA_TLS_SERVER_NAME"},
				{server.URL, "HEKA_TLS_CA_FILE=" + ca + " HEKA_TLS_SERVER_NAME=ingest HEKA_API_KEY=wrong", "HEKA_API_KEY"},
				{strings.Replace(plain.URL, "http:", "https:", 1), "", "HEKA_ENDPOINT"},
				{strings.Replace(server.URL, "https:", "http:", 1), "", ""},
				{plain.URL, "HEKA_API_KEY=wrong", "HEKA_API_KEY"},
			} {
				report, err := connect(t, exporter, c.endpoint, strings.Fields(c.vars)...)
				refused(t, report, err, c.hint)
			}
		})
		server.Close()
		plain.Close()
		report, err := connect(t, exporter, plain.URL)
		refused(t, report, err, "connection refused")
	}
}

func TestThereIsNothingToConnectTo(t *testing.T) {
	for _, vars := range []map[string]string{nil, {"HEKA_EXPORTER": "console", "HEKA_ENDPOINT": "https://ingest.example/v1/batches"}} {
		cfg, _ := load(t, vars)
		if report, err := agent.Connect(t.Context(), cfg, agent.Build{}); err == nil || !strings.Contains(err.Error(), "nothing to connect to: HEKA_E") {
			t.Errorf("%q, %v", report, err)
		}
	}
}
