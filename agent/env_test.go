package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/agent"
)

func envFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "agent.env")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestEnvironmentWinsOverEnvFile(t *testing.T) {
	cleanEnvironment(t, map[string]string{"HEKA_INTERVAL": "1s", "HEKA_DETAIL": ""})
	cfg, _, err := agent.LoadConfig(envFile(t, "# comment\nexport HEKA_INTERVAL=9\nHEKA_DETAIL=detailed\nHEKA_MAX_SERIES=\nHTTP_PROXY=proxy:3128\n"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Collect.Interval != time.Second || !cfg.Collect.Detailed || cfg.Collect.MaxSeries != 10000 {
		t.Errorf("interval %v, detailed %v, series %d", cfg.Collect.Interval, cfg.Collect.Detailed, cfg.Collect.MaxSeries)
	}
	if got := os.Getenv("HTTP_PROXY"); got != "proxy:3128" {
		t.Errorf("HTTP_PROXY=%q in the environment, where net/http looks for it", got)
	}
	want := map[string]agent.Source{
		"HEKA_INTERVAL": agent.SourceEnvironment, "HEKA_DETAIL": agent.SourceEnvFile,
		"HEKA_MAX_SERIES": agent.SourceDefault, "HTTP_PROXY": agent.SourceEnvFile,
	}
	for _, s := range cfg.Settings() {
		if s.Source != want[s.Name] {
			t.Errorf("%s comes from the %s, want the %s", s.Name, s.Source, want[s.Name])
		}
	}
}

func TestBadEnvFile(t *testing.T) {
	const line = " is not NAME=value, or its quote does not end, or something follows it; use one NAME=value a line, with nothing but a comment after a closing quote"
	for name, c := range map[string]struct{ text, want string }{
		"no equals sign":     {"HEKA_DETAIL=basic\n\nhunter2\n", "line 3"},
		"last line":          {"HEKA_DETAIL=basic\nhunter2", "line 2"},
		"open quote":         {"A='1\n2'\nHEKA_API_KEY='hunter2\nB=3\n", "line 3"},
		"spaces in the name": {"HEKA API KEY=hunter2\n", "line 1"},
		"NUL":                {"A=1\nB=hunter2\x00\n", "line 2"},
		"NUL in a quote":     {"HEKA_API_KEY='\n\x00hunter2'\n", "line 1"},
		"no name":            {"=hunter2\n", "line 1"},
		"a colon":            {"HEKA_API_KEY: hunter2\n", "line 1"},
		"after the quote":    {"\ufeff# x\r\n\r\nHEKA_API_KEY='hunt'er2\r\n", "line 3"},
		"a # in a quote":     {"HEKA_API_KEY=\"hunter2\"#x\n", "line 1"},
		"an escaped quote":   {"HEKA_API_KEY=\"hunter2\\\"\n", "line 1"},
		"a quote too few":    {"HEKA_API_KEY='hunter2\nHEKA_HOSTNAME='x'\n", "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			cleanEnvironment(t, map[string]string{"HEKA_TIMEOUT": "x"})
			file := envFile(t, c.text)
			_, _, err := agent.LoadConfig(file)
			var bad *agent.ConfigError
			if !errors.As(err, &bad) || len(bad.Problems) != 2 {
				t.Fatalf("LoadConfig: %v, want the file's problem and the variable's", err)
			}
			if got, want := bad.Problems[0].String(), "--env-file "+file+": "+c.want+line; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the file's text is shown: %v", err)
			}
		})
	}
}

func TestMissingEnvFile(t *testing.T) {
	cleanEnvironment(t, nil)
	_, _, err := agent.LoadConfig("/nowhere/agent.env")
	want := "--env-file /nowhere/agent.env: cannot be read (no such file or directory); name a readable file of NAME=value lines"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, _, err = agent.LoadConfig("/proc"); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
}

func TestServiceLinksAreNotOurs(t *testing.T) {
	vars := make(map[string]string)
	for _, service := range []string{"HEKA", "HEKA_INGEST", "HEKA_INSIGHTS_AGENT", "HEKA_2"} {
		for suffix, text := range map[string]string{
			"_SERVICE_HOST": "10.0.0.1", "_SERVICE_PORT": "443", "_SERVICE_PORT_HTTPS": "443",
			"_PORT": "tcp://10.0.0.1:443", "_PORT_443_TCP": "tcp://10.0.0.1:443", "_PORT_443_TCP_PROTO": "tcp",
			"_PORT_443_TCP_PORT": "443", "_PORT_443_TCP_ADDR": "fd00::1", "_PORT_53_UDP": "udp://10.0.0.1:53",
			"_NAME": "/agent/ingest", "_ENV_HEKA_API_KEY": "x", "_ENV_PATH": "/bin",
		} {
			vars[service+suffix] = text
		}
	}
	load(t, vars)
}

func TestMistypedVariables(t *testing.T) {
	for name, want := range map[string]string{
		"HEKA_ENDPONIT":           "HEKA_ENDPOINT",
		"HEKA_ENDPONT":            "HEKA_ENDPOINT",
		"HEKA_APIKEY":             "HEKA_API_KEY",
		"HEKA_BATCHINTERVAL":      "HEKA_BATCH_INTERVAL",
		"HEKA_SPOOL_MAXBYTES":     "HEKA_SPOOL_MAX_BYTES",
		"HEKA_TLS_CA":             "HEKA_TLS_CA_FILE",
		"HEKA_HOST_NAME":          "HEKA_HOSTNAME",
		"HEKA_PORT":               "",
		"HEKA_X":                  "",
		"HEKA_SPOOL":              "HEKA_SPOOL_MODE",
		"HEKA_SERVICE_PORT":       "",
		"HEKA_ENV_ENDPOINT":       "HEKA_ENDPOINT",
		"HEKA_INGEST_PORT_443":    "",
		"HEKA_INGEST_SERVICE_URL": "",
	} {
		const text = "hunter2"
		got := problems(t, map[string]string{name: text})
		nearest := "`heka-insights-agent config` lists all"
		if want != "" {
			nearest = "the nearest is " + want + ", "
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], name+": is not a variable of this agent; "+nearest) {
			t.Errorf("%s: %q, want one line that names %s", name, got, want)
		}
		if strings.Contains(got[0], text) {
			t.Errorf("%s: its value is shown: %s", name, got[0])
		}
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct{ word, want string }{
		{"versio", "version"},
		{"chekc", "check"},
		{"", ""},
		{"ver", "version"},
		{"restart", ""},
		{"xyz", ""},
		{"onec", "once"},
		{"run", "run"},
	} {
		if got := agent.Nearest(c.word, []string{"version", "check", "once", "run"}); got != c.want {
			t.Errorf("Nearest(%q) = %q, want %q", c.word, got, c.want)
		}
	}
	if got := agent.Nearest("x", nil); got != "" {
		t.Errorf("Nearest of nothing = %q", got)
	}
}

func TestTuneRuntime(t *testing.T) {
	before := runtime.GOMAXPROCS(2)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	cleanEnvironment(t, map[string]string{"GOMAXPROCS": "2"})
	agent.TuneRuntime()
	if got := runtime.GOMAXPROCS(0); got != 2 {
		t.Errorf("%d processors, though the environment says 2", got)
	}
	os.Unsetenv("GOMAXPROCS")
	agent.TuneRuntime()
	if got := runtime.GOMAXPROCS(0); got != 1 {
		t.Errorf("%d processors, want 1", got)
	}
}
