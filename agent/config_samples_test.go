package agent_test

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/agent"
)

// samples holds a value that is not the default for every variable there is,
// in the form in which check prints it; secrets and what excludes them aside.
// It is the literal list of names that docs and code are held against.
var samples = map[string]string{
	"HEKA_EXPORTER": "heka", "HEKA_ENDPOINT": "https://ingest.example.com/v1", "HEKA_HEADERS": "X-Scope-Orgid=a",
	"HEKA_API_KEY": "k", "HEKA_API_KEY_FILE": "/f", "HEKA_BEARER_TOKEN": "b", "HEKA_BEARER_TOKEN_FILE": "/f",
	"HEKA_HEADERS_FILE": "/f", "HEKA_USERNAME": "u", "HEKA_USERNAME_FILE": "/f", "HEKA_PASSWORD": "p", "HEKA_PASSWORD_FILE": "/f",
	"HEKA_METRIC_NAMES": "heka", "HEKA_METRIC_PREFIX": "prod", "HEKA_BACKEND_MAX_AGE": "2h",
	"HEKA_COMPRESSION": "zstd", "HEKA_TIMEOUT": "10s",
	"HEKA_TLS_CA_FILE": "/f", "HEKA_TLS_CERT_FILE": "/f", "HEKA_TLS_KEY_FILE": "/f", "HEKA_TLS_SERVER_NAME": "ingest",
	"HEKA_TLS_INSECURE_SKIP_VERIFY": "true", "HEKA_ALLOW_PLAINTEXT": "true",
	"HEKA_INTERVAL": "1s", "HEKA_COLLECTORS": "load,cpu", "HEKA_DETAIL": "detailed", "HEKA_SELF_METRICS": "full", "HEKA_CPU_PER_CORE": "true",
	"HEKA_DISK_INCLUDE": "^sd", "HEKA_DISK_EXCLUDE": "^sdz$", "HEKA_FILESYSTEM_INCLUDE": "^/", "HEKA_FILESYSTEM_EXCLUDE": "^/boot",
	"HEKA_FILESYSTEM_TYPES_EXCLUDE": "^nfs", "HEKA_TEXTFILE_DIR": "/var/lib/prom", "HEKA_TEXTFILE_MAX_AGE": "2h",
	"HEKA_PROCESS_INCLUDE": "^nginx", "HEKA_PROCESS_EXCLUDE": "^kworker", "HEKA_PROCESS_TOP": "3",
	"HEKA_NETWORK_INCLUDE": "^eth", "HEKA_NETWORK_EXCLUDE": "^lo$",
	"HEKA_COLLECT_TIMEOUT": "1m30s", "HEKA_MAX_SERIES": "500",
	"HEKA_BATCH_INTERVAL": "1h", "HEKA_BATCH_MAX_POINTS": "100", "HEKA_BATCH_MAX_BYTES": "12345", "HEKA_QUEUE_MAX_BYTES": "1GiB",
	"HEKA_RETRY_INITIAL": "2s", "HEKA_RETRY_MAX": "2m", "HEKA_RETRY_AFTER_MAX": "1h1m1s",
	"HEKA_DRAIN_ORDER": "fifo", "HEKA_DRAIN_MULTIPLIER": "1.5", "HEKA_SHUTDOWN_TIMEOUT": "20s",
	"HEKA_SPOOL_MODE": "always", "HEKA_SPOOL_DIR": "/srv/spool", "HEKA_SPOOL_MAX_BYTES": "3MiB", "HEKA_SPOOL_MAX_AGE": "0s",
	"HEKA_SPOOL_MIN_FREE": "7KiB", "HEKA_SPOOL_FSYNC": "never",
	"HEKA_AGENT_ID": "agent-1", "HEKA_HOSTNAME": "web-1", "HEKA_RESOURCE_ATTRIBUTES": "a=b%2Cc,env=prod",
	"HEKA_LOG_LEVEL": "debug", "HEKA_LOG_FORMAT": "console", "HEKA_LOG_FILE": "/proc/agent.log",
	"HTTPS_PROXY": "http://proxy:1", "HTTP_PROXY": "http://proxy:2", "NO_PROXY": ".example.com",
	"HOST_PROC": "/proc", "HOST_SYS": "/sys", "HOST_ETC": "/etc", "HOST_ROOT": "/", "HOST_RUN": "/", "HOST_DEV": "/dev",
	"K8S_NODE_NAME": "node-1", "K8S_NAMESPACE_NAME": "ns-1", "K8S_NAMESPACE": "ns-2", "K8S_POD_NAME": "pod-1", "K8S_POD_UID": "uid-1", "K8S_CONTAINER_NAME": "c-1",
	"NODE_NAME": "node-2", "POD_NAMESPACE": "ns-3", "POD_NAME": "pod-2", "POD_UID": "uid-2", "CONTAINER_NAME": "c-2",
	"OTEL_RESOURCE_ATTRIBUTES": "team=core", "OTEL_SERVICE_NAME": "shop",
	"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example.com:4318", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://collector.example.com:4318/m",
	"OTEL_EXPORTER_OTLP_HEADERS": "x-a=b", "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "x-a=c",
	"OTEL_EXPORTER_OTLP_TIMEOUT": "1000", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "2000",
	"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "none",
	"OTEL_EXPORTER_OTLP_CERTIFICATE": "/f", "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": "/f",
	"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/f", "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE": "/f",
	"OTEL_EXPORTER_OTLP_CLIENT_KEY": "/f", "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY": "/f",
	"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/json",
}

// unprintable are the variables that a sample cannot be set for all at once:
// secrets, their files, and certificates.
func unprintable(name string) bool {
	secret := []string{"HEKA_API_KEY", "HEKA_BEARER_TOKEN", "HEKA_USERNAME", "HEKA_PASSWORD"}
	if name == "HEKA_HEADERS_FILE" {
		return true
	}
	return slices.Contains(secret, strings.TrimSuffix(name, "_FILE")) || strings.HasPrefix(name, "HEKA_TLS_") && strings.HasSuffix(name, "_FILE")
}

func TestEveryVariableIsReadAndShown(t *testing.T) {
	vars := maps.Clone(samples)
	maps.DeleteFunc(vars, func(name, _ string) bool { return unprintable(name) })
	cfg, _ := load(t, vars)
	for _, s := range cfg.Settings() {
		want, ok := samples[s.Name]
		switch {
		case !ok:
			t.Errorf("%s has no sample", s.Name)
		case unprintable(s.Name):
		case strings.HasPrefix(s.Name, "OTEL_") && strings.HasSuffix(s.Name, "_HEADERS"):
			if s.Text != "X-A=[redacted]" {
				t.Errorf("%s is shown as %q", s.Name, s.Text)
			}
		case s.Name == "HEKA_HEADERS":
			if s.Text != "X-Scope-Orgid=[redacted]" {
				t.Errorf("HEKA_HEADERS is shown as %q", s.Text)
			}
		case s.Text != want || s.Source != agent.SourceEnvironment:
			t.Errorf("%s=%s from the %s, want %s from the environment", s.Name, s.Text, s.Source, want)
		}
	}
	if got := len(cfg.Settings()); got != len(samples) {
		t.Errorf("%d variables, want %d", got, len(samples))
	}
}

func TestDocumentationHasEveryVariable(t *testing.T) {
	for _, format := range agent.ConfigFormats() {
		var out bytes.Buffer
		if err := agent.DescribeConfig(&out, format); err != nil {
			t.Fatal(err)
		}
		mark := map[string]string{"env": "\n#%=", "markdown": "\n| `%` |"}[format]
		for name := range samples {
			if line := strings.Replace(mark, "%", name, 1); strings.Count(out.String(), line) != 1 {
				t.Errorf("%s: %q stands there %d times, want once", format, line, strings.Count(out.String(), line))
			}
		}
		if strings.Contains(out.String(), "()") || strings.Contains(out.String(), "|  |") {
			t.Errorf("%s: a variable has no type or no meaning", format)
		}
	}
	if err := agent.DescribeConfig(&bytes.Buffer{}, "toml"); err == nil {
		t.Error("DescribeConfig accepts toml")
	}
}

func TestConfigurationPageIsFresh(t *testing.T) {
	var want bytes.Buffer
	if err := agent.DescribeConfig(&want, "markdown"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/configuration.md is stale: go run ./cmd/heka-insights-agent config --format markdown >docs/configuration.md")
	}
}

// TestEnvFormatIsItsOwnDefault reads the documentation as an env file, first
// as it is and then with every default uncommented.
func TestEnvFormatIsItsOwnDefault(t *testing.T) {
	var out bytes.Buffer
	if err := agent.DescribeConfig(&out, "env"); err != nil {
		t.Fatal(err)
	}
	plain, _ := load(t, nil)
	for _, text := range []string{out.String(), strings.NewReplacer("\n#H", "\nH", "\n#N", "\nN", "\n#O", "\nO", "\n#K", "\nK", "\n#P", "\nP", "\n#C", "\nC").Replace(out.String())} {
		state := os.Getenv("STATE_DIRECTORY")
		cleanEnvironment(t, map[string]string{"STATE_DIRECTORY": state})
		cfg, warnings, err := agent.LoadConfig(envFile(t, text))
		// The one pattern that needs quotes is said to.
		warnings = slices.DeleteFunc(warnings, func(w string) bool { return strings.Contains(w, " is read otherwise elsewhere: docker") })
		if err != nil || len(warnings) > 0 {
			t.Fatalf("warnings %q, error %v", warnings, err)
		}
		for i, s := range plain.Settings() {
			if got := cfg.Settings()[i]; got.Text != s.Text {
				t.Errorf("%s=%s, want %s", s.Name, got.Text, s.Text)
			}
		}
	}
}

func TestReportCanBeReadBack(t *testing.T) {
	vars := maps.Clone(samples)
	maps.DeleteFunc(vars, func(name, _ string) bool { return unprintable(name) || strings.HasSuffix(name, "_HEADERS") })
	vars["HEKA_NETWORK_EXCLUDE"] = `^(lo|veth\w+)$`
	vars["HEKA_HOSTNAME"] = `it's "web" #1 \ $HOME`
	vars["HEKA_TLS_SERVER_NAME"] = `back\`
	cfg, _ := load(t, vars)
	id, _ := agent.Identify(cfg, agent.Build{}, false)
	var report bytes.Buffer
	if err := agent.Report(&report, cfg, id, true); err != nil {
		t.Fatal(err)
	}
	cleanEnvironment(t, nil)
	again, _, err := agent.LoadConfig(envFile(t, report.String()))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range cfg.Settings() {
		if got := again.Settings()[i].Text; got != s.Text {
			t.Errorf("%s=%s, read back as %s", s.Name, s.Text, got)
		}
	}
}
