package agent

import (
	"os"
	"regexp"
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
