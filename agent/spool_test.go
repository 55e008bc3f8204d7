package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/heka-insights/heka-insights-agent/agent"
)

// TestSpoolDir finds the directory also where the configuration is otherwise
// of no use.
func TestSpoolDir(t *testing.T) {
	state := t.TempDir()
	file := filepath.Join(state, "env")
	if err := os.WriteFile(file, []byte("HEKA_SPOOL_DIR=/from/file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		vars map[string]string
		file string
		want string
	}{
		{"by default", nil, "", filepath.Join(state, "spool")},
		{"as set", map[string]string{"HEKA_SPOOL_DIR": "/spool"}, "", "/spool"},
		{"from the file", nil, file, "/from/file"},
		{"over the file", map[string]string{"HEKA_SPOOL_DIR": "/spool"}, file, "/spool"},
		{"beside faults", map[string]string{"HEKA_TIMEOUT": "x", "HEKA_ENDPONT": "y", "HEKA_API_KEY_FILE": "/nowhere", "HEKA_SPOOL_MODE": "off"}, "", filepath.Join(state, "spool")},
	} {
		t.Run(c.what, func(t *testing.T) {
			cleanEnvironment(t, map[string]string{"STATE_DIRECTORY": state})
			for name, text := range c.vars {
				t.Setenv(name, text)
			}
			if got, err := agent.SpoolDir(c.file); got != c.want || err != nil {
				t.Errorf("SpoolDir = %q, %v; want %q", got, err, c.want)
			}
		})
	}
	for _, c := range []struct{ dir, file string }{{"relative", ""}, {"", "/nowhere"}} {
		cleanEnvironment(t, map[string]string{"STATE_DIRECTORY": state, "HEKA_SPOOL_DIR": c.dir})
		var bad *agent.ConfigError
		if dir, err := agent.SpoolDir(c.file); !errors.As(err, &bad) {
			t.Errorf("SpoolDir with %+v = %q, %v", c, dir, err)
		}
	}
}
