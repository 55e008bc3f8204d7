package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/joho/godotenv"
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

// loadEnvFile adds the variables of a dotenv file to the process environment,
// where envconfig, net/http and gopsutil look for them. What is set there
// already, and not blank, wins. It returns the names that came from the file.
func loadEnvFile(name string) (map[string]bool, *fault) {
	if name == "" {
		return nil, nil
	}
	content, err := readSmall(name)
	if err != nil {
		return nil, &fault{"cannot be read (" + err.Error() + ")", "name a readable file of NAME=value lines"}
	}
	parsed, ok := parseEnvFile(string(content))
	if !ok {
		return nil, &fault{
			fmt.Sprintf("line %d is not NAME=value, or its quote does not end", faultyLine(string(content))),
			"use one NAME=value a line, in single quotes where a value holds spaces, # or $",
		}
	}
	added := make(map[string]bool, len(parsed))
	for key, text := range parsed {
		if !isBlank(text) && isBlank(os.Getenv(key)) && os.Setenv(key, text) == nil {
			added[key] = true
		}
	}
	return added, nil
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// parseEnvFile drops godotenv's errors, which repeat the file's text.
func parseEnvFile(content string) (map[string]string, bool) {
	if isPythonEnvFile(content) {
		return parsePythonEnvFile(content)
	}
	parsed, err := godotenv.Unmarshal(content)
	if err != nil || strings.ContainsRune(content, 0) {
		return nil, false
	}
	for key := range parsed {
		// godotenv takes a last line without "=" for an unnamed variable.
		if !envName.MatchString(key) {
			return nil, false
		}
	}
	return parsed, true
}

// faultyLine returns the number of the line after the longest run of lines that
// still parses; a quoted value may span several.
func faultyLine(content string) int {
	lines := strings.SplitAfter(content, "\n")
	for n := len(lines) - 1; n > 0; n-- {
		if _, ok := parseEnvFile(strings.Join(lines[:n], "")); ok {
			return n + 1
		}
	}
	return 1
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
			problems = append(problems, Problem{
				name, "is not a variable of this agent",
				"the nearest is " + Nearest(name, known) + ", `heka-insights-agent config` lists all",
			})
		}
	}
	return problems
}
