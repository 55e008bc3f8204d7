package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func checkConnect(t *testing.T, env []string) (code int, output string) {
	t.Helper()
	p := launch(t, env, "heka-insights-agent", "check", "--connect")
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatal("check --connect does not end")
	}
	return p.ProcessState.ExitCode(), p.output.String()
}

func TestCheckConnect(t *testing.T) {
	in := startIngest(t)
	check := func(more ...string) (code int, output string) { return checkConnect(t, in.agentEnv(t, more...)) }
	if code, output := check(); code != 0 || !strings.Contains(output, "acknowledged") {
		t.Errorf("exit %d:\n%s", code, output)
	}
	if code, output := check("HEKA_TLS_CA_FILE="); code != 1 || !strings.Contains(output, "HEKA_TLS_CA_FILE to") {
		t.Errorf("without the authority: exit %d:\n%s", code, output)
	}
	if code, output := check("HEKA_ENDPOINT=https://" + in.addr + "/nowhere"); code != 1 || !strings.Contains(output, "HEKA_ENDPOINT") {
		t.Errorf("wrong path: exit %d:\n%s", code, output)
	}
	for _, exporter := range []string{"otlp", "newrelic", "datadog", "splunk", "elasticsearch", "clickhouse", "victoriametrics"} {
		if code, output := check("HEKA_EXPORTER="+exporter, "HEKA_API_KEY=any"); code != 1 || !strings.Contains(output, "HEKA_") || strings.Contains(output, "connected") {
			t.Errorf("%s to heka-ingest: exit %d:\n%s", exporter, code, output)
		}
	}
	var hosts []host
	if err := in.get("/api/hosts", &hosts); err != nil || len(hosts) != 0 {
		t.Errorf("the check left %d hosts behind (%v)", len(hosts), err)
	}
}

// The check fails if a proxy refuses, or if it answers in place of the ingest.
func TestCheckConnectThroughAProxyThatRefuses(t *testing.T) {
	for _, status := range []int{200, 302, 400, 401, 403, 405, 407, 429, 500, 501, 502, 503, 504} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		for _, exporter := range []string{"heka", "otlp"} {
			code, output := checkConnect(t, []string{
				"HTTPS_PROXY=" + proxy.URL, "HEKA_EXPORTER=" + exporter, "HEKA_ENDPOINT=https://ingest.example:9443/v1/batches",
			})
			if code != 1 || strings.Contains(output, "connected") || status != 200 && !strings.Contains(output, fmt.Sprint("answered ", status)) {
				t.Errorf("%s, %d: exit %d:\n%s", exporter, status, code, output)
			}
		}
		proxy.Close()
	}
}

// The check fails if the server never answers.
func TestCheckConnectToASilentServer(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server notices that the client left only after reading the body
		<-r.Context().Done()
	}))
	defer silent.Close()
	for _, exporter := range []string{"heka", "otlp", "elasticsearch"} {
		code, output := checkConnect(t, []string{"HEKA_TIMEOUT=1s", "HEKA_EXPORTER=" + exporter, "HEKA_ENDPOINT=" + silent.URL})
		if code != 1 || strings.Contains(output, "connected") || !strings.Contains(output, "timed out") {
			t.Errorf("%s: exit %d:\n%s", exporter, code, output)
		}
	}
}
