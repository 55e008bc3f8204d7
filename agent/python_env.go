package agent

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// The Python agent read its env file with python-dotenv, and its setup wizard
// wrote NAME=value without quotes. Another dialect than this agent's: a $ is a
// dollar unless it begins ${NAME} or ${NAME:-default}, in every kind of quotes; a
// backslash is one outside quotes; a # begins a comment only after a space; a
// line that makes no sense is left out.
var (
	pythonFile  = regexp.MustCompile(`(?m)^\s*(export\s+)?(EXPORTER_TYPE|CPU_POLL_INTERVAL_SECONDS)\s*=`)
	currentFile = regexp.MustCompile(`(?m)^\s*(export\s+)?(HEKA_EXPORTER|HEKA_ENDPOINT)\s*=`)
	pythonLine  = regexp.MustCompile(`^\s*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*`)
	pythonQuote = regexp.MustCompile(`^(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")[ \t]*(?:#[^\n]*)?(?:\n|$)`)
	pythonNote  = regexp.MustCompile(`\s+#.*`)
	pythonRef   = regexp.MustCompile(`\$\{([^}:]*)(?::-([^}]*))?\}`)
)

// pythonEnvFile is where the package of the Python agent had its variables. The
// unit in it runs the program without --env-file.
const pythonEnvFile = "/etc/heka-insights-agent/.env"

// findsPythonFile reports whether to read the Python agent's file although nobody
// named it: nothing in the environment says where to send, and the file is one
// of that agent. It warns of a file that is read, or that cannot be.
func (l *loader) findsPythonFile() bool {
	if slices.ContainsFunc([]string{
		"HEKA_ENDPOINT", "HEKA_EXPORTER", "EXPORTER_TYPE", "CPU_POLL_INTERVAL_SECONDS",
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
	}, func(name string) bool { return old(name) != "" }) {
		return false
	}
	content, err := readSmall(l.pythonPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false
	case err != nil:
		l.warn("%s: is where the Python agent had its variables, and cannot be read (%s); let this user read it, or set HEKA_ENDPOINT", l.pythonPath, err)
		return false
	case !isPythonEnvFile(string(content)):
		return false
	}
	l.warn("%s: is the Python agent's, and read since nothing else says where to send; name it with --env-file", l.pythonPath)
	return true
}

// isPythonEnvFile reports whether a file was written for the Python agent, and
// not moved to this agent's names yet.
func isPythonEnvFile(content string) bool {
	content = strings.TrimPrefix(content, byteOrderMark)
	return pythonFile.MatchString(content) && !currentFile.MatchString(content)
}

// parsePythonEnvFile reads a file as python-dotenv does.
func parsePythonEnvFile(content string) map[string]string {
	rest := strings.ReplaceAll(strings.ReplaceAll(strings.TrimPrefix(content, byteOrderMark), "\r\n", "\n"), "\r", "\n")
	parsed := make(map[string]string)
	for rest != "" {
		found := pythonLine.FindStringSubmatch(rest)
		if found == nil || strings.ContainsRune(strings.TrimLeft(found[0], " \t\n"), '\n') {
			_, rest, _ = strings.Cut(strings.TrimLeft(rest, "\n"), "\n") // blank, a comment, or of no use
			continue
		}
		rest = rest[len(found[0]):]
		var text string
		text, rest = pythonValue(rest)
		parsed[found[1]] = expandPython(text, parsed)
	}
	return parsed
}

// pythonValue cuts a value off and returns what follows its line.
func pythonValue(rest string) (text, after string) {
	if at := pythonQuote.FindStringSubmatchIndex(rest); at != nil {
		after = rest[at[1]:]
		if at[2] >= 0 {
			return strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(rest[at[2]:at[3]]), after
		}
		return strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\"`, `"`, `\n`, "\n", `\r`, "\r", `\t`, "\t").Replace(rest[at[4]:at[5]]), after
	}
	line, after, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(pythonNote.ReplaceAllString(line, "")), after
}

// expandPython replaces ${NAME}; the process environment goes before the file.
func expandPython(text string, parsed map[string]string) string {
	return pythonRef.ReplaceAllStringFunc(text, func(ref string) string {
		parts := pythonRef.FindStringSubmatch(ref)
		if set, ok := os.LookupEnv(parts[1]); ok {
			return set
		}
		if set, ok := parsed[parts[1]]; ok {
			return set
		}
		return parts[2]
	})
}
