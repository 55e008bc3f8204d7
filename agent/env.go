package agent

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

const (
	envPrefix    = "HEKA_"
	stateDirName = "heka-insights-agent"
)

// TuneRuntime makes this process small, unless the environment sets GOMAXPROCS
// or GOGC: Go code runs on one processor, which an agent that works for a
// millisecond a tick does not miss (15 % less CPU time), and garbage is
// collected at 1 MB instead of 4 (docs/performance.md). Call it before
// LoadConfig, which may add an env file's variables to the environment.
func TuneRuntime() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(25)
	}
}

// defaultStateDir follows systemd, then the system's layout for root, then the
// XDG base directories. It is "" if none of them says anything.
func defaultStateDir() string {
	// systemd joins several directories with colons.
	if first, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); filepath.IsAbs(first) {
		return first
	}
	if os.Geteuid() == 0 {
		return filepath.Join("/var/lib", stateDirName)
	}
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, stateDirName)
	}
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", stateDirName)
	}
	return ""
}

// isBlank reports whether a variable with this text counts as unset.
func isBlank(text string) bool { return strings.TrimSpace(text) == "" }

// unknownVariables reports HEKA_ variables that nothing reads, blank ones aside.
func unknownVariables(known []string) []Problem {
	set := make(map[string]string)
	for _, entry := range os.Environ() {
		if name, text, _ := strings.Cut(entry, "="); strings.HasPrefix(name, envPrefix) && !isBlank(text) {
			set[name] = text
		}
	}
	for _, name := range known {
		delete(set, name)
	}
	var problems []Problem
	for name := range set {
		if !injectedByLink(name, set) {
			right := "`heka-insights-agent config` lists all"
			if nearest := Nearest(name, known); nearest != "" {
				right = "the nearest is " + nearest + ", " + right
			}
			problems = append(problems, Problem{name, "is not a variable of this agent", right})
		}
	}
	return problems
}
