package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/agent"
)

// cleanEnvironment gives the test an environment of its own: vars, and a state
// directory that does not exist yet. LoadConfig may add to it; all is put back.
func cleanEnvironment(t *testing.T, vars map[string]string) {
	t.Helper()
	before := os.Environ()
	t.Cleanup(func() {
		os.Clearenv()
		for _, entry := range before {
			name, text, _ := strings.Cut(entry, "=")
			os.Setenv(name, text)
		}
	})
	os.Clearenv()
	if _, given := vars["STATE_DIRECTORY"]; !given {
		os.Setenv("STATE_DIRECTORY", filepath.Join(t.TempDir(), "state"))
	}
	for name, text := range vars {
		os.Setenv(name, text)
	}
}

func load(t *testing.T, vars map[string]string) (agent.Config, []string) {
	t.Helper()
	cleanEnvironment(t, vars)
	cfg, warnings, err := agent.LoadConfig("")
	if err != nil {
		t.Fatalf("LoadConfig(%v): %v", vars, err)
	}
	return cfg, warnings
}

// problems returns the lines of the error that vars lead to.
func problems(t *testing.T, vars map[string]string) []string {
	t.Helper()
	cleanEnvironment(t, vars)
	cfg, _, err := agent.LoadConfig("")
	var bad *agent.ConfigError
	if !errors.As(err, &bad) {
		t.Fatalf("LoadConfig(%v) = %v, want a *ConfigError", vars, err)
	}
	if cfg.Exporter != "" || len(cfg.Settings()) > 0 {
		t.Errorf("LoadConfig(%v) returns a Config beside its error", vars)
	}
	return strings.Split(err.Error(), "\n")
}

func TestBadValues(t *testing.T) {
	const notSize = "is not a size; use bytes (1048576) or KiB, MiB, GiB (1MiB)"
	const noPort = "has a port that is out of range; use one from 1 to 65535, or leave it out"
	const noOtel = "cannot be used, and nothing else says where to send; correct it, or set HEKA_ENDPOINT, or HEKA_EXPORTER=console"
	const notDuration = "is not a duration; use Go syntax (10s, 1m30s) or bare seconds (10)"
	for _, c := range []struct{ name, text, want string }{
		{"HEKA_EXPORTER", "graphite", `is not available; use heka, console, otlp, datadog, newrelic, splunk, elasticsearch, clickhouse or victoriametrics`},
		{"HEKA_METRIC_PREFIX", "9 lives", `cannot begin a metric's name; use at most 64 letters, digits and . _ that begin with a letter, such as heka`},
		{"HEKA_BACKEND_MAX_AGE", "-1s", `is too small; use 0 or more`},
		{"HEKA_ENDPOINT", "ingest.example.com", "is not an http or https URL; use an absolute URL such as https://ingest.example.com/v1/batches"},
		{"HEKA_ENDPOINT", "https://", "names no host; use an absolute URL such as https://ingest.example.com/v1/batches"},
		{"HEKA_ENDPOINT", "https://a b/", "is not a URL; use an absolute URL such as https://ingest.example.com/v1/batches"},
		{"HEKA_ENDPOINT", "https://user:pw@host/", "has credentials inside; use HEKA_USERNAME and HEKA_PASSWORD for them"},
		{"HEKA_ENDPOINT", "https://host/#top", "has a #fragment, which is never sent; leave it out"},
		{"HEKA_ENDPOINT", "http://host/", "is http:// to a host that is not loopback; use https://, or set HEKA_ALLOW_PLAINTEXT=true"},
		{"HEKA_HEADERS", "content-type=text/html", "sets Content-Type, which the agent sets itself; leave it out"},
		{"HEKA_HEADERS", "idempotency-key=1", "sets Idempotency-Key, which the agent sets itself; leave it out"},
		{"HEKA_HEADERS", "x y=1", "has a part that is not name=value; use name=value pairs with commas between them"},
		{"HEKA_HEADERS", "lonely", "has a part that is not name=value; use name=value pairs with commas between them"},
		{"HEKA_HEADERS", "x-a=", "its header 1 has no usable value; use name=value pairs with commas between them"},
		{"HEKA_HEADERS", "x-a=1,X-A=2", "its header 2 is set twice; use name=value pairs with commas between them"},
		{"HEKA_API_KEY", "two\nlines", "holds a control character or a line break; use the bare value on one line"},
		{"HEKA_API_KEY_FILE", "/nowhere", "cannot be used (no such file or directory); name a readable file that holds the bare value on one line"},
		{"HEKA_BEARER_TOKEN_FILE", "/dev/null", "cannot be used (not a regular file); name a readable file that holds the bare value on one line"},
		{"HEKA_USERNAME", "ada", "is set without HEKA_PASSWORD; set HEKA_PASSWORD or HEKA_PASSWORD_FILE too"},
		{"HEKA_PASSWORD", "pw", "is set without HEKA_USERNAME; set HEKA_USERNAME or HEKA_USERNAME_FILE too"},
		{"HEKA_COMPRESSION", "brotli", `is not available; use gzip, zstd or none`},
		{"HEKA_TIMEOUT", "soon", notDuration},
		{"HEKA_TIMEOUT", "NaN", notDuration},
		{"HEKA_TIMEOUT", "1e300", notDuration},
		{"HEKA_TIMEOUT", "1ms", `is too small; use 100ms or more`},
		{"HEKA_TIMEOUT", "2h", `is too large; use 1h or less`},
		{"HEKA_TIMEOUT", "-5", `is too small; use 100ms or more`},
		{"HEKA_TLS_CA_FILE", "/nowhere", "cannot be read (no such file or directory); name a readable PEM file"},
		{"HEKA_TLS_CA_FILE", "/proc/self/status", "holds no certificate; name a PEM file with the authority's certificate"},
		{"HEKA_TLS_CERT_FILE", "/c.pem", "is set without HEKA_TLS_KEY_FILE; set the certificate's key too"},
		{"HEKA_TLS_KEY_FILE", "/k.pem", "is set without HEKA_TLS_CERT_FILE; set the key's certificate too"},
		{"HEKA_TLS_SERVER_NAME", "a\tb", "is not one line of text; use printable UTF-8"},
		{"HEKA_TLS_INSECURE_SKIP_VERIFY", "maybe", `is neither true nor false; use true or false`},
		{"HEKA_COLLECTORS", "cpu,ram,gpu", `names what is not available, at place 2 and 3; use a comma-separated list of cpu, memory, disk, filesystem, network, load, paging, system, agent, pressure, container, process, textfile`},
		{"HEKA_COLLECTORS", " , ", "names nothing; use a comma-separated list of cpu, memory, disk, filesystem, network, load, paging, system, agent, pressure, container, process, textfile"},
		{"HEKA_COLLECTORS", "+textfil,-load,disk", "holds what is no change to the default list, at place 1 and 3; use +name and -name alone, of cpu, memory, disk, filesystem, network, load, paging, system, agent, pressure, container, process, textfile"},
		{"HEKA_COLLECTORS", "cpu,+load", `names what is not available, at place 2; use a comma-separated list of cpu, memory, disk, filesystem, network, load, paging, system, agent, pressure, container, process, textfile`},
		{"HEKA_COLLECTORS", "-cpu,-memory,-disk,-filesystem,-network,-load,-paging,-system,-agent", "leaves nothing of the default list; use +name and -name alone, of cpu, memory, disk, filesystem, network, load, paging, system, agent, pressure, container, process, textfile"},
		{"HEKA_HOSTNAME", strings.Repeat("a", 4097), "is too long; use at most 4096 bytes, the wire format's limit on a value"},
		{"HEKA_RESOURCE_ATTRIBUTES", "a=b,c=" + strings.Repeat("d", 4097), "has a part that is over the wire format's limits, at place 2; use at most 255 bytes a key, 4096 a value, and 200 attributes"},
		{"HEKA_RESOURCE_ATTRIBUTES", strings.Repeat("k", 256) + "=b", "has a part that is over the wire format's limits, at place 1; use at most 255 bytes a key, 4096 a value, and 200 attributes"},
		{"HEKA_DETAIL", "full", `is not available; use basic or detailed`},
		{"HEKA_DISK_EXCLUDE", "^(sda", `is not an RE2 pattern (missing closing ), at character 2); use one such as ^(sda|nvme.*)$`},
		{"HEKA_COLLECT_TIMEOUT", "0", `is too small; use 10ms or more`},
		{"HEKA_MAX_SERIES", "many", `is not an integer; use digits only, such as 20000`},
		{"HEKA_MAX_SERIES", "0", `is too small; use 1 or more`},
		{"HEKA_BATCH_MAX_BYTES", "1MB", notSize},
		{"HEKA_BATCH_MAX_BYTES", "-1", notSize},
		{"HEKA_BATCH_MAX_BYTES", "9999999999GiB", notSize},
		{"HEKA_BATCH_MAX_BYTES", "1KiB", `is too small; use 4KiB or more`},
		{"HEKA_QUEUE_MAX_BYTES", "512KiB", "512KiB is less than HEKA_BATCH_MAX_BYTES (1MiB); raise it, or lower HEKA_BATCH_MAX_BYTES"},
		{"HEKA_RETRY_MAX", "500ms", "500ms is less than HEKA_RETRY_INITIAL (1s); raise it, or lower HEKA_RETRY_INITIAL"},
		{"HEKA_DRAIN_ORDER", "lifo", `is not available; use live-first or fifo`},
		{"HEKA_DRAIN_MULTIPLIER", "Inf", `is not a number; use a decimal number, such as 4 or 1.5`},
		{"HEKA_DRAIN_MULTIPLIER", "0.5", `is too small; use 1 or more`},
		{"HEKA_SPOOL_MODE", "never", `is not available; use on_failure, always or off`},
		{"HEKA_SPOOL_DIR", "spool", "is a relative path; use an absolute path, which begins with /"},
		{"HEKA_SPOOL_MIN_FREE", "5%", notSize},
		{"HEKA_SPOOL_FSYNC", "yes", `is not available; use always, interval or never`},
		{"HEKA_AGENT_ID", "web 1", "is not an identifier; use at most 128 letters, digits and . _ : -"},
		{"HEKA_HOSTNAME", "a\nb", "is not one line of text; use printable UTF-8"},
		{"HEKA_RESOURCE_ATTRIBUTES", "env", "has a part that is not key=value, at place 1; use key=value pairs with commas between them, percent-encoding where a value needs it"},
		{"HEKA_RESOURCE_ATTRIBUTES", "env=%zz", "has a part that is not key=value, at place 1; use key=value pairs with commas between them, percent-encoding where a value needs it"},
		{"HEKA_LOG_LEVEL", "loud", `is not available; use trace, debug, info, warn or error`},
		{"HEKA_LOG_FORMAT", "xml", `is not available; use json or console`},
		{"HEKA_LOG_FILE", "agent.log", "is a relative path; use an absolute path, which begins with /"},
		{"HEKA_LOG_FILE", "/nowhere/agent.log", "has no directory to be in (no such file or directory); create it, or name a file elsewhere"},
		{"HEKA_LOG_FILE", "/proc", "is a directory; name a file"},
		{"HEKA_ENDPOINT", "https://host:65536/b", noPort},
		{"HEKA_ENDPOINT", "https://[::1]:99999", noPort},
		{"HEKA_ENDPOINT", "http://127.0.0.1:0", noPort},
		{"HEKA_ENDPOINT", "https://host:184467440737095516160/", noPort},
		{"HTTPS_PROXY", "http://proxy:65536", noPort},
		{"HTTPS_PROXY", "socks5://user:hunter2@proxy:99999", noPort},
		{"HTTP_PROXY", "proxy.example.com:70000", noPort},
		{"HTTP_PROXY", "user:hunter2@proxy.example.com:70000", noPort},
		{"https_proxy", "http://proxy:65536", noPort},
		{"http_proxy", "proxy:0", noPort},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "https://host:65536", noOtel},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "collector:4317", noOtel},
		{"HTTPS_PROXY", "ftp://proxy:1", "is not a proxy's URL; use one such as http://proxy.example.com:3128, percent-encoding what a user's name or password holds of # / ? \\ % [ ] and spaces"},
		{"HOST_PROC", "/nowhere", "cannot be used (no such file or directory); name the directory where the host's is mounted"},
		{"HOST_ETC", "/proc/self/status", "cannot be used (not a directory); name the directory where the host's is mounted"},
		{"HEKA_STATUS_ADDR", "127.0.0.1:9181", "is not a variable of this agent; `heka-insights-agent config` lists all"},
	} {
		t.Run(c.name+"="+c.text, func(t *testing.T) {
			got := problems(t, map[string]string{c.name: c.text})
			if want := c.name + ": " + c.want; len(got) != 1 || got[0] != want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
			}
		})
	}
}

func TestBadCombinations(t *testing.T) {
	key := secretFile(t, "s3cret\n")
	for name, c := range map[string]struct {
		vars map[string]string
		want string
	}{
		"heka without endpoint": {
			map[string]string{"HEKA_EXPORTER": "heka"},
			"HEKA_ENDPOINT: is not set, and HEKA_EXPORTER is heka; set the absolute URL that batches are POSTed to, such as https://ingest.example.com/v1/batches, or HEKA_EXPORTER=console",
		},
		"credentials in the clear": {
			map[string]string{"HEKA_ENDPOINT": "http://host/", "HEKA_ALLOW_PLAINTEXT": "true", "HEKA_API_KEY": "k"},
			"HEKA_ENDPOINT: is http://, which would send credentials in the clear; use https://",
		},
		"credential header in the clear": {
			map[string]string{"HEKA_ENDPOINT": "http://127.0.0.1.example.com/", "HEKA_ALLOW_PLAINTEXT": "true", "HEKA_HEADERS": "x-auth-token=k"},
			"HEKA_ENDPOINT: is http://, which would send credentials in the clear; use https://",
		},
		"secret and its file": {
			map[string]string{"HEKA_API_KEY": "k", "HEKA_API_KEY_FILE": key},
			"HEKA_API_KEY: is set together with HEKA_API_KEY_FILE; set one of the two",
		},
		"three kinds": {
			map[string]string{"HEKA_API_KEY_FILE": key, "HEKA_BEARER_TOKEN": "b", "HEKA_USERNAME": "u", "HEKA_PASSWORD": "p"},
			"HEKA_API_KEY: is set together with HEKA_BEARER_TOKEN and HEKA_USERNAME; use one kind of credential",
		},
		"token and header": {
			map[string]string{"HEKA_BEARER_TOKEN": "b", "HEKA_HEADERS": "authorization=Basic x"},
			"HEKA_BEARER_TOKEN: is set together with an Authorization header in HEKA_HEADERS; use one kind of credential",
		},
		"colon in the user": {
			map[string]string{"HEKA_USERNAME": "a:b", "HEKA_PASSWORD": "p"},
			"HEKA_USERNAME: holds a colon, which HTTP basic authentication cannot send; use the name alone, and HEKA_PASSWORD for the rest",
		},
		"key in the query in the clear": {
			map[string]string{"HEKA_ENDPOINT": "http://host/b?x=1&Api%5FKey=hunter2", "HEKA_ALLOW_PLAINTEXT": "true"},
			"HEKA_ENDPOINT: is http:// with a key in its query, which would be sent in the clear; use https://",
		},
		"token in OpenTelemetry's endpoint in the clear": {
			map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://host/b?access-token=hunter2", "HEKA_ALLOW_PLAINTEXT": "true"},
			"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: is http:// with a key in its query, which would be sent in the clear; use https://",
		},
		"no key in the files": {
			map[string]string{"HEKA_TLS_CERT_FILE": key, "HEKA_TLS_KEY_FILE": key},
			"HEKA_TLS_CERT_FILE: cannot be used together with HEKA_TLS_KEY_FILE (tls: failed to find any PEM data in certificate input); name readable PEM files of a certificate and its key",
		},
		"textfile without a directory": {
			map[string]string{"HEKA_COLLECTORS": "cpu,textfile"},
			"HEKA_COLLECTORS: names textfile without HEKA_TEXTFILE_DIR; set HEKA_TEXTFILE_DIR to the directory of the *.prom files",
		},
		"spool and batch": {
			map[string]string{"HEKA_BATCH_MAX_BYTES": "2MiB", "HEKA_SPOOL_MAX_BYTES": "1MiB"},
			"HEKA_SPOOL_MAX_BYTES: 1MiB is too little for one batch of HEKA_BATCH_MAX_BYTES (2MiB); raise it to 8/7 of that and 1KiB, or lower HEKA_BATCH_MAX_BYTES",
		},
		"spool of one batch": {
			map[string]string{"HEKA_BATCH_MAX_BYTES": "2MiB", "HEKA_SPOOL_MAX_BYTES": "2MiB"},
			"HEKA_SPOOL_MAX_BYTES: 2MiB is too little for one batch of HEKA_BATCH_MAX_BYTES (2MiB); raise it to 8/7 of that and 1KiB, or lower HEKA_BATCH_MAX_BYTES",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := problems(t, c.vars); len(got) != 1 || got[0] != c.want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), c.want)
			}
		})
	}
}

func TestAllProblemsAtOnceInOrder(t *testing.T) {
	got := problems(t, map[string]string{
		"HEKA_ZZZ": "1", "HEKA_AAA": "1", "HEKA_LOG_LEVEL": "x", "HEKA_TIMEOUT": "x", "HEKA_ENDPOINT": "x",
		"HEKA_API_KEY_FILE": "/nowhere", "HEKA_QUEUE_MAX_BYTES": "8KiB", "HOST_SYS": "/nowhere",
	})
	var names []string
	for _, line := range got {
		name, _, _ := strings.Cut(line, ":")
		names = append(names, name)
	}
	want := []string{
		"HEKA_ENDPOINT", "HEKA_API_KEY_FILE", "HEKA_TIMEOUT", "HEKA_QUEUE_MAX_BYTES", "HEKA_LOG_LEVEL", "HOST_SYS",
		"HEKA_AAA", "HEKA_ZZZ",
	}
	if !slices.Equal(names, want) {
		t.Errorf("problems with %v, want %v", names, want)
	}
}

func TestDerivedDefaults(t *testing.T) {
	cfg, _ := load(t, nil)
	if cfg.Exporter != "console" || cfg.HTTP.Endpoint != nil {
		t.Errorf("with nothing set: exporter %q, endpoint %v", cfg.Exporter, cfg.HTTP.Endpoint)
	}
	if want := filepath.Join(os.Getenv("STATE_DIRECTORY"), "spool"); cfg.Spool.Dir != want {
		t.Errorf("spool in %q, want %q", cfg.Spool.Dir, want)
	}
	if cfg.Spool.MinFreeBytes != agent.SpoolMinFreeAuto {
		t.Errorf("MinFreeBytes = %d, want SpoolMinFreeAuto", cfg.Spool.MinFreeBytes)
	}
	cfg, _ = load(t, map[string]string{"HEKA_ENDPOINT": "https://host/", "HEKA_INTERVAL": "1m"})
	if cfg.Exporter != "heka" {
		t.Errorf("with an endpoint: exporter %q, want heka", cfg.Exporter)
	}
	if cfg.Ship.BatchInterval != time.Minute {
		t.Errorf("BatchInterval = %v, want that of the longer tick", cfg.Ship.BatchInterval)
	}
}

func TestContainerIsAutomaticByDefaultOnly(t *testing.T) {
	for text, want := range map[string]bool{"": true, "cpu,agent": false} {
		if cfg, _ := load(t, map[string]string{"HEKA_COLLECTORS": text}); cfg.Collect.AutoContainer != want {
			t.Errorf("HEKA_COLLECTORS=%s: AutoContainer is %v, want %v", text, cfg.Collect.AutoContainer, want)
		}
	}
}

func TestStateDirectory(t *testing.T) {
	root := os.Geteuid() == 0
	for _, c := range []struct {
		vars         map[string]string
		asRoot, want string
	}{
		{map[string]string{"STATE_DIRECTORY": "/srv/a:/srv/b"}, "/srv/a", "/srv/a"},
		{map[string]string{"STATE_DIRECTORY": "", "XDG_STATE_HOME": "/x"}, "/var/lib/heka-insights-agent", "/x/heka-insights-agent"},
		{map[string]string{"STATE_DIRECTORY": "", "HOME": "/home/ada"}, "/var/lib/heka-insights-agent", "/home/ada/.local/state/heka-insights-agent"},
		{map[string]string{"STATE_DIRECTORY": ""}, "/var/lib/heka-insights-agent", ""},
	} {
		cfg, warnings := load(t, c.vars)
		want := c.want
		if root {
			want = c.asRoot
		}
		if cfg.StateDir != want {
			t.Errorf("%v: StateDir = %q, want %q", c.vars, cfg.StateDir, want)
		}
		if want == "" && (cfg.Spool.Mode != "off" || len(warnings) != 1) {
			t.Errorf("%v: spool %q, warnings %q, want it off and said so", c.vars, cfg.Spool.Mode, warnings)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		vars map[string]string
		want string
	}{
		{map[string]string{"HEKA_INTERVAL": "soon"}, `HEKA_INTERVAL: is not a duration; use Go syntax (10s, 1m30s) or bare seconds (10); going on with 5s`},
		{map[string]string{"HEKA_INTERVAL": "1ms"}, `HEKA_INTERVAL: is too small; use 100ms or more; going on with 5s`},
		{map[string]string{"HEKA_BATCH_INTERVAL": "2"}, "HEKA_BATCH_INTERVAL: 2s is less than HEKA_INTERVAL (5s), so that every tick is a batch of its own"},
		{map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "a=b,c"}, "OTEL_RESOURCE_ATTRIBUTES: has a part that is not key=value, at place 2; use key=value pairs with commas between them, percent-encoding where a value needs it; going on with a=b"},
		{map[string]string{"HEKA_ENDPOINT": "https://h/", "HEKA_TLS_INSECURE_SKIP_VERIFY": "true"}, "HEKA_TLS_INSECURE_SKIP_VERIFY: the server's certificate is NOT verified"},
		{map[string]string{"HEKA_ENDPOINT": "http://h/", "HEKA_ALLOW_PLAINTEXT": "true"}, "HEKA_ALLOW_PLAINTEXT: batches are sent in the clear"},
	} {
		cfg, warnings := load(t, c.vars)
		if len(warnings) != 1 || !strings.HasPrefix(warnings[0], c.want) {
			t.Errorf("%v: warnings %q, want %q", c.vars, warnings, c.want)
		}
		if cfg.Collect.Interval != 5*time.Second || cfg.Ship.BatchInterval < cfg.Collect.Interval {
			t.Errorf("%v: interval %v, batches every %v", c.vars, cfg.Collect.Interval, cfg.Ship.BatchInterval)
		}
	}
}

func TestPlaintextToLoopbackIsAllowed(t *testing.T) {
	for _, host := range []string{"127.0.0.1:9", "127.9.9.9", "[::1]:9", "localhost", "LOCALHOST:80", "[::ffff:127.0.0.1]"} {
		if _, warnings := load(t, map[string]string{"HEKA_ENDPOINT": "http://" + host + "/", "HEKA_API_KEY": "k"}); len(warnings) > 0 {
			t.Errorf("%s: warnings %q", host, warnings)
		}
	}
}

func TestUnprefixedVariablesAreNotRead(t *testing.T) {
	bare := make(map[string]string)
	for name, sample := range samples {
		if short, ok := strings.CutPrefix(name, "HEKA_"); ok {
			bare[short] = sample
		}
	}
	cfg, _ := load(t, bare)
	for _, s := range cfg.Settings() {
		if s.Source != agent.SourceDefault {
			t.Errorf("%s=%s comes from the %s, though only %s is set", s.Name, s.Text, s.Source, strings.TrimPrefix(s.Name, "HEKA_"))
		}
	}
	plain, _ := load(t, nil)
	for i, s := range plain.Settings() {
		if got := cfg.Settings()[i].Text; s.Name != "HEKA_SPOOL_DIR" && got != s.Text {
			t.Errorf("%s=%s, want the default %q", s.Name, got, s.Text)
		}
	}
}

func TestEmptyOrBlankVariableCountsAsUnset(t *testing.T) {
	plain, _ := load(t, nil)
	for _, text := range []string{"", " ", "\n"} {
		empty := map[string]string{"HEKA_UNKNOWN": text, "STATE_DIRECTORY": plain.StateDir}
		for name := range samples {
			empty[name] = text
		}
		cfg, warnings := load(t, empty)
		if len(warnings) > 0 {
			t.Errorf("%q: warnings %q", text, warnings)
		}
		for i, s := range cfg.Settings() {
			if s != plain.Settings()[i] {
				t.Errorf("%q: %s=%s from the %s, want %s", text, s.Name, s.Text, s.Source, plain.Settings()[i].Text)
			}
		}
		if cfg.HTTP.Auth.APIKey.IsSet() {
			t.Errorf("%q: it is an API key", text)
		}
	}
}
