package agent_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/agent"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// TestEveryBackendCanBeConfigured holds for whatever is in the table.
func TestEveryBackendCanBeConfigured(t *testing.T) {
	for _, to := range encode.Backends() {
		vars := map[string]string{"HEKA_EXPORTER": to.Name, "HEKA_ENDPOINT": "https://host", "HEKA_API_KEY": "k"}
		cfg, warnings := load(t, vars)
		if cfg.Exporter != to.Name || len(warnings) > 0 {
			t.Errorf("%s: exporter %q, warnings %q", to.Name, cfg.Exporter, warnings)
		}
		if cfg.HTTP.Endpoint.Path != to.Path {
			t.Errorf("%s: path %q, want %q", to.Name, cfg.HTTP.Endpoint.Path, to.Path)
		}
		for name, want := range to.Query {
			if got := cfg.HTTP.Endpoint.Query()[name]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s: parameter %s = %q, want %q", to.Name, name, got, want)
			}
			vars["HEKA_ENDPOINT"] = "https://host/p?x=1&" + name + "=mine"
			again, _ := load(t, vars)
			if got := again.HTTP.Endpoint.Query(); !slices.Equal(got[name], []string{"mine"}) || got.Get("x") != "1" || len(got) != len(to.Query)+1 {
				t.Errorf("%s: parameters %v of an endpoint with %s", to.Name, got, name)
			}
		}
		if cfg.HTTP.MaxAge != to.Limits.MaxAge {
			t.Errorf("%s: MaxAge %v, want %v", to.Name, cfg.HTTP.MaxAge, to.Limits.MaxAge)
		}
		if taken := cfg.HTTP.Compression; taken != "none" && !slices.Contains(to.Compressions, taken) {
			t.Errorf("%s: compression %q, and it takes %q", to.Name, taken, to.Compressions)
		}
		delete(vars, "HEKA_ENDPOINT")
		if to.Endpoint == "" {
			got := problems(t, vars)
			want := "HEKA_ENDPOINT: is not set, and HEKA_EXPORTER is " + to.Name + "; set the absolute URL"
			if len(got) != 1 || !strings.HasPrefix(got[0], want) || !strings.Contains(got[0], "such as http") {
				t.Errorf("%s: %q, want %q", to.Name, got, want)
			}
		} else if cfg, _ := load(t, vars); cfg.HTTP.Endpoint.String() != to.Endpoint {
			t.Errorf("%s: endpoint %s, want %s", to.Name, cfg.HTTP.Endpoint, to.Endpoint)
		}
		vars = map[string]string{"HEKA_EXPORTER": to.Name, "HEKA_ENDPOINT": "https://host", "HEKA_API_KEY": "k", "HEKA_HEADERS": to.KeyHeader + "=hunter2"}
		if got := problems(t, vars); len(got) != 1 || !strings.Contains(got[0], " "+to.KeyHeader+" header in HEKA_HEADERS; use one kind") || strings.Contains(got[0], "hunter2") {
			t.Errorf("%s: %q, want the key twice", to.Name, got)
		}
	}
}

func TestEveryChoiceIsABackend(t *testing.T) {
	line := problems(t, map[string]string{"HEKA_EXPORTER": "?"})[0]
	_, list, _ := strings.Cut(line, "; use ")
	choices := strings.Split(strings.Replace(list, " or ", ", ", 1), ", ")
	for _, name := range choices {
		if _, ok := encode.Find(name); !ok && name != "console" {
			t.Errorf("%s is a choice without a backend", name)
		}
	}
	if want := len(encode.Backends()) + 1; len(choices) != want {
		t.Errorf("%d choices %q, want %d", len(choices), choices, want)
	}
}

func TestKeyOfAVendorIsNeeded(t *testing.T) {
	for exporter, what := range map[string]string{
		"datadog": "API key of the Datadog organization", "newrelic": "license key of the New Relic account", "splunk": "token of the HTTP Event Collector",
	} {
		vars := map[string]string{"HEKA_EXPORTER": exporter, "HEKA_ENDPOINT": "https://host"}
		want := "HEKA_API_KEY: is not set, and HEKA_EXPORTER is " + exporter + "; set it or HEKA_API_KEY_FILE to the " + what
		if got := problems(t, vars); len(got) != 1 || got[0] != want {
			t.Errorf("got %q, want %q", got, want)
		}
		for name, text := range map[string]string{"HEKA_BEARER_TOKEN": "b", "HEKA_HEADERS": "x-auth=k"} {
			vars := map[string]string{"HEKA_EXPORTER": exporter, "HEKA_ENDPOINT": "https://host", name: text}
			load(t, vars)
		}
	}
}

func TestEndpointOfNewRelicFollowsTheKey(t *testing.T) {
	for key, want := range map[string]string{
		"0123456789NRAL":       "https://otlp.nr-data.net/v1/metrics",
		"eu01xx0123456789NRAL": "https://otlp.eu01.nr-data.net/v1/metrics",
	} {
		for name, text := range map[string]string{"HEKA_API_KEY": key, "HEKA_API_KEY_FILE": secretFile(t, key+"\n")} {
			cfg, _ := load(t, map[string]string{"HEKA_EXPORTER": "newrelic", name: text})
			if got := cfg.HTTP.Endpoint.String(); got != want {
				t.Errorf("%s: endpoint %s, want %s", name, got, want)
			}
		}
	}
	cfg, _ := load(t, map[string]string{"HEKA_EXPORTER": "newrelic", "HEKA_API_KEY": "eu01xx0", "HEKA_ENDPOINT": "https://host/x"})
	if got := cfg.HTTP.Endpoint.String(); got != "https://host/x" {
		t.Errorf("endpoint %s, want the one that is set", got)
	}
}

func TestCompressionThatABackendDoesNotTake(t *testing.T) {
	vars := map[string]string{"HEKA_EXPORTER": "datadog", "HEKA_API_KEY": "k", "HEKA_COMPRESSION": "zstd"}
	cfg, warnings := load(t, vars)
	want := "HEKA_COMPRESSION: the exporter datadog does not take zstd; going on with gzip"
	if cfg.HTTP.Compression != "gzip" || len(warnings) != 1 || warnings[0] != want {
		t.Errorf("compression %q, warnings %q, want %q", cfg.HTTP.Compression, warnings, want)
	}
}

func TestMaxAgeOfTheBackend(t *testing.T) {
	for text, want := range map[string]time.Duration{"": time.Hour, "0": 0, "30m": 30 * time.Minute} {
		cfg, _ := load(t, map[string]string{"HEKA_EXPORTER": "datadog", "HEKA_API_KEY": "k", "HEKA_BACKEND_MAX_AGE": text})
		if cfg.HTTP.MaxAge != want {
			t.Errorf("HEKA_BACKEND_MAX_AGE=%s: %v, want %v", text, cfg.HTTP.MaxAge, want)
		}
	}
}

// TestOtelVariables has a case for each way in which OpenTelemetry's variables
// meet this agent's.
// What is set up for gRPC is told, since nothing would ever arrive there.
func TestOtelProtocol(t *testing.T) {
	for _, c := range []struct {
		vars map[string]string
		told bool
	}{
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://a:4317"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://a", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://a", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://a:4318"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "HEKA_ENDPOINT": "https://a/b"}, false},
	} {
		_, warnings := load(t, c.vars)
		if told := slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "gRPC") }); told != c.told {
			t.Errorf("%v: warnings %q, want one of gRPC: %v", c.vars, warnings, c.told)
		}
	}
}

func TestOtelVariables(t *testing.T) {
	const base, metrics = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
	for _, c := range []struct {
		vars               map[string]string
		exporter, endpoint string
	}{
		{map[string]string{base: "http://localhost:4318"}, "otlp", "http://localhost:4318/v1/metrics"},
		{map[string]string{base: "https://host/otlp/"}, "otlp", "https://host/otlp/v1/metrics"},
		{map[string]string{base: "https://a", metrics: "https://b/m"}, "otlp", "https://b/m"},
		{map[string]string{base: "https://a", "HEKA_EXPORTER": "otlp"}, "otlp", "https://a/v1/metrics"},
		{map[string]string{base: "https://a", "HEKA_EXPORTER": "console"}, "console", ""},
		{map[string]string{base: "https://a", "HEKA_ENDPOINT": "https://b"}, "heka", "https://b/v1/batches"},
		{map[string]string{base: "https://a", "HEKA_EXPORTER": "otlp", "HEKA_ENDPOINT": "https://b/x"}, "otlp", "https://b/x"},
	} {
		c.vars["OTEL_EXPORTER_OTLP_HEADERS"] = "api-key=s3cret%2Cpart,x-b=1"
		cfg, _ := load(t, c.vars)
		if got := agent.RedactURL(cfg.HTTP.Endpoint); cfg.Exporter != c.exporter || got != c.endpoint {
			t.Errorf("%v: %s to %q, want %s to %q", c.vars, cfg.Exporter, got, c.exporter, c.endpoint)
		}
		used := c.exporter == "otlp" && c.vars["HEKA_ENDPOINT"] == ""
		if got := len(cfg.HTTP.Headers) == 2; got != used {
			t.Errorf("%v: headers %v, want them used: %v", c.vars, cfg.HTTP.Headers, used)
		}
		if used && cfg.HTTP.Headers[0].Value.Reveal() != "s3cret,part" {
			t.Errorf("%v: the header is not decoded", c.vars)
		}
	}
	cfg, _ := load(t, map[string]string{
		base: "https://a", "OTEL_EXPORTER_OTLP_TIMEOUT": "2500", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "1500", "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
	})
	if cfg.HTTP.Timeout != 1500*time.Millisecond || cfg.HTTP.Compression != "none" {
		t.Errorf("timeout %v, compression %s", cfg.HTTP.Timeout, cfg.HTTP.Compression)
	}
	got := problems(t, map[string]string{base: "http://host:4318"})
	if want := base + ": is http:// to a host that is not loopback"; len(got) != 1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestQueryOfAnEndpointIsNotShown, where the backend's parameters come on top.
func TestQueryOfAnEndpointIsNotShown(t *testing.T) {
	cfg, _ := load(t, map[string]string{"HEKA_EXPORTER": "clickhouse", "HEKA_ENDPOINT": "https://host/?password=hunter2"})
	for _, s := range cfg.Settings() {
		if s.Name == "HEKA_ENDPOINT" && s.Text != "https://host/?redacted" {
			t.Errorf("HEKA_ENDPOINT is shown as %s", s.Text)
		}
	}
	if got, _ := url.QueryUnescape(cfg.HTTP.Endpoint.RawQuery); !strings.Contains(got, "password=hunter2&") {
		t.Error("the endpoint lost its own parameter")
	}
}
