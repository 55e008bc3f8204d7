package agent_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/agent"
)

func TestLogger(t *testing.T) {
	var stderr bytes.Buffer
	log, closer, err := agent.NewLogger(agent.LogConfig{Level: "warn", Format: "json"}, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	log.Info().Msg("quiet")
	log.Warn().Msg("loud")
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
	if got := stderr.String(); strings.Contains(got, "quiet") || !strings.HasPrefix(got, `{"level":"warn","time":"`) {
		t.Errorf("logged %q", got)
	}
}

func TestLoggerOnATerminal(t *testing.T) {
	var stderr bytes.Buffer
	log, _, err := agent.NewLogger(agent.LogConfig{Level: "info", Format: "console"}, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	log.Info().Str("k", "v").Msg("hello")
	if got := stderr.String(); strings.HasPrefix(got, "{") || !strings.Contains(got, "hello") {
		t.Errorf("logged %q", got)
	}
}

func TestLoggerAppendsToAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "agent.log")
	for range 2 {
		log, closer, err := agent.NewLogger(agent.LogConfig{Level: "info", Format: "json", File: name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		log.Info().Msg("line")
		closer.Close()
	}
	got, err := os.ReadFile(name)
	if err != nil || bytes.Count(got, []byte("\n")) != 2 {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestLoggerThatCannotOpenItsFile(t *testing.T) {
	_, _, err := agent.NewLogger(agent.LogConfig{Level: "info", File: t.TempDir()}, nil)
	var bad *agent.ConfigError
	if !errors.As(err, &bad) || bad.Problems[0].Variable != "HEKA_LOG_FILE" {
		t.Errorf("got %v, want a problem with HEKA_LOG_FILE", err)
	}
}
