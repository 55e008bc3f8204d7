package agent_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/heka-insights/heka-insights-agent/agent"
)

// FuzzAnyValue sets one variable to anything: it is taken, or every problem is
// one printable line.
func FuzzAnyValue(f *testing.F) {
	names := slices.Sorted(maps.Keys(samples))
	hostile := []string{" ", "\n", "\xff", "%", "=", ",", "a=b,", "0", "-1", "1e400", "0x10", "/dev/zero", "/", "://", "http://[::1", "(", strings.Repeat("é", 300)}
	for i := range names {
		for _, text := range hostile {
			f.Add(uint(i), text)
		}
		f.Add(uint(i), samples[names[i]])
	}
	state := f.TempDir()
	f.Fuzz(func(t *testing.T, i uint, text string) {
		if strings.ContainsRune(text, 0) {
			return // no environment can hold it
		}
		cleanEnvironment(t, map[string]string{"STATE_DIRECTORY": state, names[i%uint(len(names))]: text})
		_, warnings, err := agent.LoadConfig("")
		lines := warnings
		if err != nil {
			lines = append(lines, strings.Split(err.Error(), "\n")...)
		}
		for _, line := range lines {
			if !strings.HasPrefix(line, "HEKA_") && !strings.HasPrefix(line, names[i%uint(len(names))]+": ") && !strings.HasPrefix(line, "HOST_") && !strings.HasPrefix(line, "OTEL_") && !strings.HasPrefix(line, "HTTP") && !strings.HasPrefix(line, "NO_PROXY") ||
				strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("%s=%q: %q", names[i%uint(len(names))], text, line)
			}
		}
	})
}

// FuzzEnvFile reads anything as an env file: it is taken, or the problem is one
// line that does not repeat it.
func FuzzEnvFile(f *testing.F) {
	for _, text := range []string{"A=1\n", "A='x\ny'\n", "export A=\"$B\"", "\ufeffA=1", "=", "A", "'", "A=\\", "#\r\n", "A: 1\x00"} {
		f.Add(text)
	}
	state := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "H") {
			return // variables that mean something have their own test
		}
		cleanEnvironment(t, map[string]string{"STATE_DIRECTORY": state})
		name := envFile(t, text)
		_, _, err := agent.LoadConfig(name)
		if err != nil && (!strings.HasPrefix(err.Error(), "--env-file "+name+": line") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
