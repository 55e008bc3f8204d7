package agent_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/agent"
)

// wizard is what the Python agent's setup wrote for each EXPORTER_TYPE: bare
// NAME=value lines, those without a value left out. LOG is a directory.
var wizard = map[string]string{
	"console": `LOG_LOCATION=LOG/agent.log
CPU_POLL_INTERVAL_SECONDS=5
EXPORTER_TYPE=console
`,
	"otlp_http": `LOG_LOCATION=LOG/agent.log
CPU_POLL_INTERVAL_SECONDS=10
EXPORTER_TYPE=otlp_http
OTLP_HTTP_ENDPOINT=http://localhost:4318/v1/metrics
HEKA_INTELLIGENCE_ENABLED=true
HEKA_AGENT_ID=agt_01JXYZ123
HEKA_API_KEY=hek_live_s3cret
OTLP_HTTP_HEADERS=x-tenant=s3cret$1,x-agent-id=other
OTLP_RESOURCE_ATTRIBUTES=service.name=heka-insights-agent,host.name=localhost
OTLP_HTTP_TIMEOUT_SECONDS=10
OTLP_HTTP_RETRY_MAX_ATTEMPTS=5
OTLP_HTTP_RETRY_INITIAL_BACKOFF_SECONDS=1.0
OTLP_HTTP_RETRY_MAX_BACKOFF_SECONDS=5.0
`,
	"datadog_otlp": `LOG_LOCATION=LOG/agent.log
CPU_POLL_INTERVAL_SECONDS=10
EXPORTER_TYPE=datadog_otlp
DATADOG_SITE=us3
DATADOG_API_KEY=s3cret
DATADOG_HOSTNAME=web-1
DATADOG_TAGS=env:prod,team:platform
OTLP_RESOURCE_ATTRIBUTES=service.name=heka-insights-agent,host.name=localhost
OTLP_HTTP_TIMEOUT_SECONDS=10
`,
	"datadog_native": `LOG_LOCATION=LOG/agent.log
CPU_POLL_INTERVAL_SECONDS=10
EXPORTER_TYPE=datadog_native
DATADOG_SITE=datadoghq.eu
DATADOG_API_KEY=s3cret
DATADOG_HOSTNAME=web-1
DATADOG_TAGS=env:prod
DATADOG_METRIC_PREFIX=heka.
OTLP_HTTP_TIMEOUT_SECONDS=10
`,
	"newrelic_otlp": `LOG_LOCATION=LOG/agent.log
CPU_POLL_INTERVAL_SECONDS=10
EXPORTER_TYPE=newrelic_otlp
NEWRELIC_OTLP_ENDPOINT=https://otlp.nr-data.net/v1/metrics
NEWRELIC_API_KEY=s3cret
NEWRELIC_SERVICE_NAME=heka, shop
NEWRELIC_ENVIRONMENT=production
NEWRELIC_HOST_NAME=web-1
OTLP_HTTP_HEADERS=api-key=old-s3cret
OTLP_RESOURCE_ATTRIBUTES=service.name=legacy,host.name=localhost
OTLP_RETRY_AFTER_DEFAULT_SECONDS=5
OTLP_RETRY_AFTER_MAX_SECONDS=300
`,
}

const was = "is a variable of the Python agent; "

// wizardWarnings are the lines for each, after those all have in common.
var wizardWarnings = map[string][]string{
	"console": nil,
	"otlp_http": {
		"HEKA_INTELLIGENCE_ENABLED: " + was + "leave it out: HEKA_API_KEY and the agent id are sent without it",
		"OTLP_HTTP_ENDPOINT: " + was + "set HEKA_ENDPOINT=http://localhost:4318/v1/metrics instead",
		"OTLP_HTTP_HEADERS: " + was + "set HEKA_HEADERS to its value instead, and HEKA_AGENT_ID, without X-Agent-Id, which the agent sets itself",
		"OTLP_RESOURCE_ATTRIBUTES: " + was + "add service.name=heka-insights-agent,host.name=localhost to HEKA_RESOURCE_ATTRIBUTES instead",
		"OTLP_HTTP_TIMEOUT_SECONDS: " + was + "set HEKA_TIMEOUT=10s instead",
		"OTLP_HTTP_RETRY_MAX_ATTEMPTS: " + was + "leave it out: a batch is sent until it is delivered, and kept on disk meanwhile",
		"OTLP_HTTP_RETRY_INITIAL_BACKOFF_SECONDS: " + was + "set HEKA_RETRY_INITIAL=1s instead",
		"OTLP_HTTP_RETRY_MAX_BACKOFF_SECONDS: " + was + "leave it out: with the default of HEKA_RETRY_MAX, 1m, a fleet spares a backend that is down",
	},
	"datadog_otlp": {
		"OTLP_RESOURCE_ATTRIBUTES: " + was + "add service.name=heka-insights-agent,host.name=localhost to HEKA_RESOURCE_ATTRIBUTES instead",
		"OTLP_HTTP_TIMEOUT_SECONDS: " + was + "set HEKA_TIMEOUT=10s instead",
		"DATADOG_SITE: " + was + "set HEKA_ENDPOINT=https://otlp.us3.datadoghq.com/v1/metrics instead",
		"DATADOG_API_KEY: " + was + "add dd-api-key and its value to HEKA_HEADERS instead",
		"DATADOG_HOSTNAME: " + was + "set HEKA_HOSTNAME=web-1 instead",
		"DATADOG_TAGS: " + was + "add env=prod,team=platform to HEKA_RESOURCE_ATTRIBUTES instead",
	},
	"datadog_native": {
		"OTLP_HTTP_TIMEOUT_SECONDS: " + was + "set HEKA_TIMEOUT=10s instead",
		"DATADOG_SITE: " + was + "set HEKA_ENDPOINT=https://api.datadoghq.eu/api/v2/series instead",
		"DATADOG_API_KEY: " + was + "set HEKA_API_KEY to its value instead",
		"DATADOG_HOSTNAME: " + was + "set HEKA_HOSTNAME=web-1 instead",
		"DATADOG_TAGS: " + was + "add env=prod to HEKA_RESOURCE_ATTRIBUTES instead",
		"DATADOG_METRIC_PREFIX: " + was + "set HEKA_METRIC_PREFIX=heka instead",
	},
	"newrelic_otlp": {
		"OTLP_HTTP_HEADERS: " + was + "set HEKA_HEADERS to its value instead",
		"OTLP_RESOURCE_ATTRIBUTES: " + was + "add service.name=legacy,host.name=localhost to HEKA_RESOURCE_ATTRIBUTES instead",
		"OTLP_RETRY_AFTER_DEFAULT_SECONDS: " + was + "leave it out: without a Retry-After the backoff counts",
		"OTLP_RETRY_AFTER_MAX_SECONDS: " + was + "set HEKA_RETRY_AFTER_MAX=5m instead",
		"NEWRELIC_OTLP_ENDPOINT: " + was + "set HEKA_ENDPOINT=https://otlp.nr-data.net/v1/metrics instead",
		"NEWRELIC_API_KEY: " + was + "set HEKA_API_KEY to its value instead",
		"NEWRELIC_SERVICE_NAME: " + was + "add service.name=heka%2C%20shop to HEKA_RESOURCE_ATTRIBUTES instead",
		"NEWRELIC_ENVIRONMENT: " + was + "add deployment.environment=production to HEKA_RESOURCE_ATTRIBUTES instead",
		"NEWRELIC_HOST_NAME: " + was + "set HEKA_HOSTNAME=web-1 instead",
	},
}

// wizardConfigs is what comes of each, in short: see summary.
var wizardConfigs = map[string]string{
	"console":        "console 5s  key= id= host= prefix= headers[] attributes[]",
	"otlp_http":      "otlp 10s http://localhost:4318/v1/metrics key=hek_live_s3cret id=agt_01JXYZ123 host= prefix= headers[X-Tenant=s3cret$1] attributes[host.name=localhost service.name=heka-insights-agent]",
	"datadog_otlp":   "otlp 10s https://otlp.us3.datadoghq.com/v1/metrics key= id= host=web-1 prefix= headers[Dd-Api-Key=s3cret] attributes[env=prod service.name=heka-insights-agent team=platform]",
	"datadog_native": "datadog 10s https://api.datadoghq.eu/api/v2/series key=s3cret id= host=web-1 prefix=heka headers[] attributes[env=prod]",
	"newrelic_otlp":  "newrelic 10s https://otlp.nr-data.net/v1/metrics key=s3cret id= host=web-1 prefix= headers[] attributes[deployment.environment=production service.name=heka, shop]",
}

func summary(cfg agent.Config) string {
	var headers, attributes []string
	for _, h := range cfg.HTTP.Headers {
		headers = append(headers, h.Name+"="+h.Value.Reveal())
	}
	for _, a := range cfg.Identity.Attributes {
		attributes = append(attributes, a.Key+"="+a.Value)
	}
	key, _ := cfg.HTTP.Auth.APIKey.Get()
	return fmt.Sprintf("%s %s %s key=%s id=%s host=%s prefix=%s headers%v attributes%v", cfg.Exporter, cfg.Collect.Interval, agent.RedactURL(cfg.HTTP.Endpoint),
		key, cfg.Identity.AgentID, cfg.Identity.Hostname, cfg.MetricPrefix, headers, attributes)
}

func TestPythonAgentsFileIsRead(t *testing.T) {
	for kind, text := range wizard {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			cleanEnvironment(t, nil)
			cfg, warnings, err := agent.LoadConfig(envFile(t, strings.ReplaceAll(text, "LOG/", dir+"/")))
			if err != nil {
				t.Fatal(err)
			}
			if got := summary(cfg); got != wizardConfigs[kind] {
				t.Errorf("got\n%s\nwant\n%s", got, wizardConfigs[kind])
			}
			want := append([]string{
				"HEKA_COLLECTORS: is not set, so only the eleven metrics of the Python agent are sent; set it to " +
					"cpu,memory,disk,filesystem,network,load,paging,system,agent for all that this agent has",
				"EXPORTER_TYPE: " + was + "set HEKA_EXPORTER=" + cfg.Exporter + ", HEKA_METRIC_NAMES=heka, HEKA_COMPRESSION=none and HEKA_COLLECTORS=cpu,memory,paging,disk instead",
				"LOG_LOCATION: " + was + "set HEKA_LOG_FILE=" + dir + "/agent.log instead",
				"CPU_POLL_INTERVAL_SECONDS: " + was + "set HEKA_INTERVAL=" + cfg.Collect.Interval.String() + " instead",
			}, wizardWarnings[kind]...)
			if got := strings.Join(warnings, "\n"); got != strings.Join(want, "\n") {
				t.Errorf("warnings\n%s\nwant\n%s", got, strings.Join(want, "\n"))
			}
			if cfg.MetricNames != "heka" || !slices.Equal(cfg.Collect.Collectors, []string{"cpu", "memory", "paging", "disk"}) || cfg.Collect.AutoContainer {
				t.Errorf("names %s of %v", cfg.MetricNames, cfg.Collect.Collectors)
			}
			if cfg.Log.File != filepath.Join(dir, "agent.log") {
				t.Errorf("log file %s", cfg.Log.File)
			}
			id, _ := agent.Identify(cfg, agent.Build{}, false)
			var report bytes.Buffer
			if err := agent.Report(&report, cfg, id, true); err != nil {
				t.Fatal(err)
			}
			if shown := report.String() + strings.Join(warnings, "\n"); strings.Contains(shown, "s3cret") {
				t.Errorf("a secret is shown:\n%s", shown)
			}
		})
	}
}

// TestAdviceForThePythonAgentsFile follows the warnings' advice: the outcome is the
// same, and nothing is left to warn of.
func TestAdviceForThePythonAgentsFile(t *testing.T) {
	for kind, vars := range map[string]map[string]string{
		"datadog_native": {
			"HEKA_EXPORTER": "datadog", "HEKA_METRIC_NAMES": "heka", "HEKA_COLLECTORS": "cpu,memory,paging,disk", "HEKA_INTERVAL": "10s",
			"HEKA_TIMEOUT": "10s", "HEKA_ENDPOINT": "https://api.datadoghq.eu/api/v2/series", "HEKA_API_KEY": "s3cret", "HEKA_HOSTNAME": "web-1",
			"HEKA_RESOURCE_ATTRIBUTES": "env=prod", "HEKA_METRIC_PREFIX": "heka",
		},
		"newrelic_otlp": {
			"HEKA_EXPORTER": "newrelic", "HEKA_INTERVAL": "10s", "HEKA_ENDPOINT": "https://otlp.nr-data.net/v1/metrics", "HEKA_API_KEY": "s3cret",
			"HEKA_HOSTNAME": "web-1", "HEKA_RESOURCE_ATTRIBUTES": "service.name=heka%2C%20shop,deployment.environment=production",
		},
	} {
		cfg, warnings := load(t, vars)
		if got := summary(cfg); got != wizardConfigs[kind] || len(warnings) > 0 {
			t.Errorf("%s: got\n%s\nwant\n%s\nwarnings %q", kind, got, wizardConfigs[kind], warnings)
		}
	}
}

func TestMigrationPageHasEveryVariable(t *testing.T) {
	page, err := os.ReadFile("../docs/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## Every variable")
	table, _, _ = strings.Cut(table, "\n## ")
	known := agent.PythonVariables()
	for name, instead := range known {
		now := "`" + instead + "`"
		if instead == "" {
			now = "–"
		}
		if row := "\n| `" + name + "` | " + now + " | "; strings.Count(table, row) != 1 {
			t.Errorf("%q stands there %d times, want once", row, strings.Count(table, row))
		}
	}
	if got := strings.Count(table, "\n| `"); got != len(known) {
		t.Errorf("%d rows, want %d", got, len(known))
	}
}

// everyPythonVariable has a text for each, none of which this agent may use.
func everyPythonVariable() map[string]string {
	vars := make(map[string]string)
	for name := range agent.PythonVariables() {
		if !strings.HasPrefix(name, "HEKA_") {
			vars[name] = "https://python.example.com/hunter2"
		}
	}
	return vars
}

func TestPythonAgentsVariablesOfTheSurroundingsAreIgnored(t *testing.T) {
	for _, own := range []map[string]string{
		{"HEKA_EXPORTER": "console"}, {"HEKA_ENDPOINT": "https://host/v1", "HEKA_API_KEY": "k"}, {},
	} {
		plain, _ := load(t, own)
		vars := everyPythonVariable()
		maps.Copy(vars, own)
		if len(own) == 0 { // neither of the two that only the Python agent has
			delete(vars, "EXPORTER_TYPE")
			delete(vars, "CPU_POLL_INTERVAL_SECONDS")
		}
		vars["STATE_DIRECTORY"] = plain.StateDir
		cfg, warnings := load(t, vars)
		if len(warnings) > 0 || !slices.Equal(cfg.Settings(), plain.Settings()) {
			t.Errorf("%v: warnings %q, settings\n%v\nwant\n%v", own, warnings, cfg.Settings(), plain.Settings())
		}
	}
}

// TestPythonAgentsLaxity has what that agent started with.
func TestPythonAgentsLaxity(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"CPU_POLL_INTERVAL_SECONDS", "soon", `CPU_POLL_INTERVAL_SECONDS: is not a positive number of seconds; set HEKA_INTERVAL instead; going on with 5s`},
		{"CPU_POLL_INTERVAL_SECONDS", "-1", `CPU_POLL_INTERVAL_SECONDS: is not a positive number of seconds; set HEKA_INTERVAL instead; going on with 5s`},
		{"CPU_POLL_INTERVAL_SECONDS", "nan", `CPU_POLL_INTERVAL_SECONDS: is not a positive number of seconds; set HEKA_INTERVAL instead; going on with 5s`},
		{"CPU_POLL_INTERVAL_SECONDS", "0.01", "CPU_POLL_INTERVAL_SECONDS: " + was + "set HEKA_INTERVAL=100ms instead"},
		{"CPU_POLL_INTERVAL_SECONDS", "1e9", "CPU_POLL_INTERVAL_SECONDS: " + was + "set HEKA_INTERVAL=24h instead"},
		{"OTLP_HTTP_TIMEOUT_SECONDS", "0", `OTLP_HTTP_TIMEOUT_SECONDS: is not a positive number of seconds; set HEKA_TIMEOUT instead; going on with 30s`},
		{"OTLP_HTTP_RETRY_INITIAL_BACKOFF_SECONDS", "90", "OTLP_HTTP_RETRY_INITIAL_BACKOFF_SECONDS: " + was + "set HEKA_RETRY_INITIAL=1m30s instead"},
		{"OTLP_RESOURCE_ATTRIBUTES", "a=b,,c", "OTLP_RESOURCE_ATTRIBUTES: " + was + "add a=b to HEKA_RESOURCE_ATTRIBUTES instead (a part that is not key=value is left out)"},
		{"OTLP_HTTP_HEADERS", "content-type=x,a=1,a=2", "OTLP_HTTP_HEADERS: " + was + "set HEKA_HEADERS to its value instead, without Content-Type, which the agent sets itself"},
		{"OTLP_HTTP_HEADERS", "authorization=Bearer x,x-api-key=k", "OTLP_HTTP_HEADERS: " + was + "set HEKA_HEADERS to its value instead"},
		{"LOG_LOCATION", "log/agent.log", "LOG_LOCATION: is a relative path; set HEKA_LOG_FILE instead; going on with stderr"},
		{"LOG_LOCATION", "/nowhere/agent.log", "LOG_LOCATION: has no directory to be in (no such file or directory); set HEKA_LOG_FILE instead; going on with stderr"},
		{"OTLP_HTTP_ENDPOINT", "http://127.0.0.2:4318/v1/metrics", "OTLP_HTTP_ENDPOINT: " + was + "set HEKA_ENDPOINT=http://127.0.0.2:4318/v1/metrics instead"},
		{"OTLP_HTTP_RETRY_MAX_BACKOFF_SECONDS", "120", "OTLP_HTTP_RETRY_MAX_BACKOFF_SECONDS: " + was + "set HEKA_RETRY_MAX=2m instead"},
		{"DATADOG_SITE", "us5", "DATADOG_SITE: is a variable of the Python agent, and has no effect with EXPORTER_TYPE=otlp_http; leave it out"},
		{"HEKA_AGENT_ID", "my agent", "HEKA_AGENT_ID: is not an identifier; use at most 128 letters, digits and . _ : -; going on without it"},
		{"HEKA_INTELLIGENCE_ENABLED", "false", "HEKA_INTELLIGENCE_ENABLED: " + was + "leave it and HEKA_API_KEY out, which is not sent"},
	} {
		vars := map[string]string{"EXPORTER_TYPE": "otlp_http", "OTLP_HTTP_ENDPOINT": "http://localhost:4318/v1/metrics", "HEKA_API_KEY": "k", c.name: c.text}
		_, warnings := load(t, vars)
		var of []string
		for _, w := range warnings {
			if strings.HasPrefix(w, c.name+":") {
				of = append(of, w)
			}
		}
		if len(of) == 0 || !strings.HasPrefix(of[0], c.want) {
			t.Errorf("%s=%s: %q, want %q", c.name, c.text, of, c.want)
		}
	}
}

// Over http:// to another host what the Python agent sent is sent, with a warning,
// but no credential.
func TestPythonAgentsPlaintext(t *testing.T) {
	vars := map[string]string{"EXPORTER_TYPE": "otlp_http", "OTLP_HTTP_ENDPOINT": "http://host:4318/v1/metrics"}
	_, warnings := load(t, vars)
	line := "OTLP_HTTP_ENDPOINT: is http://, so batches are sent in the clear, as the Python agent did; use https://"
	if !slices.Contains(warnings, line) {
		t.Errorf("warnings %q, want %q", warnings, line)
	}
	vars["HEKA_API_KEY"] = "k"
	want := "OTLP_HTTP_ENDPOINT: is http://, which would send credentials in the clear; use https://"
	if got := problems(t, vars); len(got) != 1 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOwnNamesWinOverThePythonAgents(t *testing.T) {
	cfg, warnings := load(t, map[string]string{
		"EXPORTER_TYPE": "datadog_native", "DATADOG_API_KEY": "dd", "HEKA_API_KEY": "hek", "CPU_POLL_INTERVAL_SECONDS": "10", "HEKA_INTERVAL": "30s",
		"DATADOG_TAGS": "env:prod,team:a", "HEKA_RESOURCE_ATTRIBUTES": "env=test", "HEKA_METRIC_NAMES": "otel", "HEKA_COLLECTORS": "cpu",
	})
	want := "datadog 30s https://api.datadoghq.com/api/v2/series key=dd id= host= prefix= headers[] attributes[env=test team=a]"
	if got := summary(cfg); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if cfg.MetricNames != "otel" || !slices.Equal(cfg.Collect.Collectors, []string{"cpu"}) || cfg.Collect.Interval != 30*time.Second {
		t.Errorf("names %s of %v each %v", cfg.MetricNames, cfg.Collect.Collectors, cfg.Collect.Interval)
	}
	line := "CPU_POLL_INTERVAL_SECONDS: is a variable of the Python agent, and HEKA_INTERVAL is set; leave it out"
	if !slices.Contains(warnings, line) {
		t.Errorf("warnings %q, want %q", warnings, line)
	}
}

// TestDialectOfThePythonAgentsFile has what python-dotenv reads otherwise.
func TestDialectOfThePythonAgentsFile(t *testing.T) {
	cleanEnvironment(t, map[string]string{"SET": "outside"})
	text := "EXPORTER_TYPE=console\r\n" + `# a comment
export A=pa$word\n#1  # a comment
B='it\'s ${A}' # a comment
C="two\nlines \"$A\""
D=${SET}-${UNSET:-none}-${UNSET}
E=
hunter2
F = spaced out ` + "\n" + `G='over
two'
SET=inside
LAST=1`
	if _, _, err := agent.LoadConfig(envFile(t, text)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"A": `pa$word\n#1`, "B": `it's pa$word\n#1`, "C": "two\nlines \"$A\"", "D": "outside-none-", "E": "", "F": "spaced out", "G": "over\ntwo", "SET": "outside", "LAST": "1",
	} {
		if got := os.Getenv(name); got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
}

// FuzzPythonVariables sets one of them to anything, beside EXPORTER_TYPE: it is
// taken, or there is a line about it that is fit to print.
func FuzzPythonVariables(f *testing.F) {
	names := slices.Sorted(maps.Keys(agent.PythonVariables()))
	for i := range names {
		for kind := range 5 {
			for _, text := range []string{"", "a=b,", "a:b", "\x01", "1e400", "-1", "/", "http://[::1", "true", "us3", "é\xff"} {
				f.Add(uint(i), uint(kind), text)
			}
		}
	}
	kinds := slices.Sorted(maps.Keys(wizard))
	state := f.TempDir()
	f.Fuzz(func(t *testing.T, i, kind uint, text string) {
		if strings.ContainsRune(text, 0) {
			return // no environment can hold it
		}
		name := names[i%uint(len(names))]
		vars := map[string]string{"STATE_DIRECTORY": state, "EXPORTER_TYPE": kinds[kind%uint(len(kinds))]}
		vars[name] = text
		cleanEnvironment(t, vars)
		_, warnings, err := agent.LoadConfig("")
		lines := warnings
		if err != nil {
			lines = append(lines, strings.Split(err.Error(), "\n")...)
		}
		if strings.TrimSpace(text) != "" && !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+": ") }) && name != "HEKA_INTELLIGENCE_ENABLED" {
			t.Errorf("%s=%q: nothing about it in %q", name, text, lines)
		}
		for _, line := range lines {
			if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 127 }) {
				t.Errorf("%s=%q: %q", name, text, line)
			}
		}
	})
}
