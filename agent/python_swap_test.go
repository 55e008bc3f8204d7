package agent_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/agent"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// The binary replaces the Python agent's, and its unit names no file: that
// agent's is read where nothing says where to send, and only there.
func TestThePythonAgentsFileIsFound(t *testing.T) {
	const line = ": is the Python agent's, and read since nothing else says where to send; name it with --env-file"
	theirs := envFile(t, "EXPORTER_TYPE=otlp_http\nOTLP_HTTP_ENDPOINT=https://python.example.com/v1/metrics\n")
	ours := envFile(t, "HEKA_INTERVAL=7s\n")
	for name, c := range map[string]struct {
		vars           map[string]string
		named, theirs  string
		found, warning bool
	}{
		"nothing else":            {nil, "", theirs, true, true},
		"other settings":          {map[string]string{"HEKA_INTERVAL": "7s", "HEKA_ENDPOINT": " "}, "", theirs, true, true},
		"it is named":             {nil, theirs, theirs, true, false},
		"another is named":        {nil, ours, theirs, false, false},
		"an endpoint":             {map[string]string{"HEKA_ENDPOINT": "https://host/v1/batches"}, "", theirs, false, false},
		"an exporter":             {map[string]string{"HEKA_EXPORTER": "console"}, "", theirs, false, false},
		"OpenTelemetry's":         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://host"}, "", theirs, false, false},
		"OpenTelemetry's metrics": {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://host/v1/metrics"}, "", theirs, false, false},
		"Python's variables":      {map[string]string{"EXPORTER_TYPE": "console"}, "", theirs, false, false},
		"Python's interval":       {map[string]string{"CPU_POLL_INTERVAL_SECONDS": "3"}, "", theirs, false, false},
		"it is of this agent":     {nil, "", ours, false, false},
		"there is none":           {nil, "", filepath.Join(t.TempDir(), ".env"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			cleanEnvironment(t, c.vars)
			cfg, warnings, err := agent.LoadConfigOf(c.named, c.theirs)
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.Exporter == "otlp" && cfg.HTTP.Endpoint.Host == "python.example.com"; got != c.found {
				t.Errorf("it is read: %v, want %v; the exporter is %s", got, c.found, cfg.Exporter)
			}
			if got := slices.Contains(warnings, c.theirs+line); got != c.warning {
				t.Errorf("warned: %v, want %v; %q", got, c.warning, warnings)
			}
		})
	}
}

// A file of the Python agent that is there and cannot be read is told of.
func TestThePythonAgentsFileCannotBeRead(t *testing.T) {
	cleanEnvironment(t, nil)
	dir := t.TempDir() // which reads as no file does
	cfg, warnings, err := agent.LoadConfigOf("", dir)
	if err != nil || cfg.Exporter != "console" || len(warnings) != 1 || !strings.HasPrefix(warnings[0], dir+": is where the Python agent had its variables") {
		t.Errorf("exporter %s, %q, %v", cfg.Exporter, warnings, err)
	}
}

// Only the eleven metrics are sent, under their names, as 24 series did on a host
// with one disk, and of what is detected only the host's name: more would be new
// series, and a larger bill.
func TestOnlyThePythonAgentsMetricsAreSent(t *testing.T) {
	vars := map[string]string{"EXPORTER_TYPE": "console", "HEKA_INTERVAL": "1s"}
	batch, err := encode.Native{}.Decode([]byte(once(t, "json", vars)))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for i := range batch.Series {
		names[batch.Series[i].Name] = true
		if !strings.HasPrefix(batch.Series[i].Name, "heka_") {
			t.Errorf("%s is sent", batch.Series[i].Name)
		}
	}
	if len(names) == 0 || len(names) > 11 {
		t.Errorf("%d metrics", len(names))
	}
	if len(batch.Resource) != 1 || batch.Resource[0].Key != "host.name" {
		t.Errorf("resource %v", batch.Resource)
	}
	vars["HEKA_COLLECTORS"] = "+load"
	if out := once(t, "json", vars); !strings.Contains(out, "system.cpu.load_average.1m") || !strings.Contains(out, "heka.agent.memory.rss") {
		t.Errorf("HEKA_COLLECTORS brings nothing back:\n%s", out)
	}
}

// What that agent printed was Prometheus text, into a pipe too.
func TestThePythonAgentsConsole(t *testing.T) {
	cfg, _ := load(t, map[string]string{"EXPORTER_TYPE": "console"})
	if got := agent.ConsoleFormatOf(cfg, &bytes.Buffer{}); got != "prometheus" {
		t.Errorf("it prints %s", got)
	}
	cfg, _ = load(t, map[string]string{"HEKA_EXPORTER": "console"})
	if got := agent.ConsoleFormatOf(cfg, &bytes.Buffer{}); got != "json" {
		t.Errorf("without its variables it prints %s", got)
	}
}

// A log file of the Python agent's that cannot be opened costs no more than the
// file; one of this agent's ends it.
func TestThePythonAgentsLogFallsBack(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "agent.log")
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg, _ := load(t, map[string]string{"EXPORTER_TYPE": "console"})
	cfg.Log.File, cfg.Log.Lenient = name, true
	var stderr bytes.Buffer
	log, file, err := agent.NewLogger(cfg.Log, &stderr)
	if err != nil || file != nil {
		t.Fatalf("file %v, %v", file, err)
	}
	log.Info().Msg("further")
	if got := stderr.String(); !strings.Contains(got, "LOG_LOCATION cannot be opened; logging to stderr") || !strings.Contains(got, "further") {
		t.Errorf("stderr: %s", got)
	}
	cfg.Log.Lenient = false
	if _, _, err := agent.NewLogger(cfg.Log, &stderr); err == nil {
		t.Error("HEKA_LOG_FILE is a directory, and the agent goes on")
	}
	full, _ := load(t, map[string]string{"EXPORTER_TYPE": "console", "LOG_LOCATION": filepath.Join(dir, "new.log")})
	own, _ := load(t, map[string]string{"EXPORTER_TYPE": "console", "HEKA_LOG_FILE": filepath.Join(dir, "new.log")})
	if !full.Log.Lenient || own.Log.Lenient {
		t.Errorf("lenient with LOG_LOCATION: %v, with HEKA_LOG_FILE: %v", full.Log.Lenient, own.Log.Lenient)
	}
}

// With datadog_otlp a tag host.name is stronger than DATADOG_HOSTNAME, and of one
// tag twice the last counts.
func TestDatadogTagsPrecedence(t *testing.T) {
	for kind, want := range map[string]string{"datadog_otlp": "tagged", "datadog_native": "named"} {
		vars := map[string]string{"EXPORTER_TYPE": kind, "DATADOG_API_KEY": "k", "DATADOG_HOSTNAME": "named", "DATADOG_TAGS": "env:test,host.name:tagged,env:prod"}
		cfg, _ := load(t, vars)
		id, _ := agent.Identify(cfg, agent.Build{}, false)
		got := map[string]string{}
		for _, l := range id.Resource() {
			got[l.Key] = l.Value
		}
		if got["host.name"] != want || got["env"] != "prod" {
			t.Errorf("%s: %v", kind, got)
		}
	}
}

func TestPythonAgentsProblems(t *testing.T) {
	for _, c := range []struct {
		vars map[string]string
		want string
	}{
		{map[string]string{"EXPORTER_TYPE": "graphite"}, `EXPORTER_TYPE: is not available; use console, otlp_http, datadog_otlp, datadog_native or newrelic_otlp, or HEKA_EXPORTER`},
		{map[string]string{"EXPORTER_TYPE": "otlp_http"}, "HEKA_ENDPOINT: is not set, and HEKA_EXPORTER is otlp;"},
		{map[string]string{"EXPORTER_TYPE": "datadog_native", "DATADOG_SITE": "mars", "DATADOG_API_KEY": "k"}, "DATADOG_SITE: is not a site of Datadog;"},
		{map[string]string{"EXPORTER_TYPE": "datadog_otlp"}, "DATADOG_API_KEY: is not set, and EXPORTER_TYPE is datadog_otlp; set it to the API key of Datadog"},
		{map[string]string{"EXPORTER_TYPE": "datadog_native"}, "HEKA_API_KEY: is not set, and HEKA_EXPORTER is datadog;"},
		{map[string]string{"EXPORTER_TYPE": "newrelic_otlp"}, "HEKA_API_KEY: is not set, and HEKA_EXPORTER is newrelic;"},
		{map[string]string{"EXPORTER_TYPE": "otlp_http", "OTLP_HTTP_ENDPOINT": "http://localhost", "HEKA_INTELLIGENCE_ENABLED": "yes"}, "HEKA_API_KEY: is not set, and HEKA_INTELLIGENCE_ENABLED is true;"},
	} {
		if got := problems(t, c.vars); len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
			t.Errorf("%v: %q, want %q", c.vars, got, c.want)
		}
	}
}
