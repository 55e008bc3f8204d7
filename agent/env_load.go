package agent

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// loadEnvFile adds the variables of an env file to the process environment,
// where envconfig, net/http and gopsutil look for them. What is set there
// already, and not blank, wins. It returns the names that came from the file.
// names are the variables that mean something to the agent: those of other
// programs are not judged.
func (l *loader) loadEnvFile(name string, names []string) map[string]bool {
	file := "--env-file " + name
	switch {
	case name == "" && l.findsPythonFile():
		name, file = l.pythonPath, l.pythonPath
	case name == "":
		return nil
	case strings.ContainsFunc(name, unicode.IsControl):
		file = "--env-file " + strconv.Quote(name)
	}
	content, err := readSmall(name)
	if err != nil {
		l.problem(file, "cannot be read ("+err.Error()+")", "name a readable file of NAME=value lines")
		return nil
	}
	r := envFileReport{loader: l, file: file, ours: func(name string) bool {
		return strings.HasPrefix(name, envPrefix) || slices.Contains(names, name)
	}}
	read := r.parse
	if isPythonEnvFile(string(content)) {
		read = r.parsePython
	}
	values := read(string(content))
	added := make(map[string]bool)
	for key, text := range values {
		added[key] = !isBlank(text) && !isInEnvironment(key)
	}
	for key := range added {
		added[key] = added[key] && os.Setenv(key, values[key]) == nil
	}
	return added
}

// isInEnvironment reports whether a variable is set, and not blank. A proxy may
// be set by either spelling.
func isInEnvironment(name string) bool {
	return !isBlank(os.Getenv(name)) || isProxyVariable(name) && !isBlank(os.Getenv(otherCase(name)))
}

// envFileReport reads an env file and says what is to be said of its lines,
// never with a value.
type envFileReport struct {
	*loader
	file string
	ours func(name string) bool
}

// parse reads a file by the agent's own grammar. Of two lines with one name
// the last counts.
func (r envFileReport) parse(content string) map[string]string {
	list, faulty := parseEnvFile(content)
	values := make(map[string]string, len(list))
	last := make(map[string]int, len(list))
	for _, v := range list {
		switch before, again := last[v.name]; {
		case v.faulty && r.ours(v.name):
			faulty = append(faulty, v.line)
			continue
		case v.faulty:
			continue
		case again && r.ours(v.name):
			r.warn("%s: line %d: has no effect, since line %d sets the variable again", r.file, before, v.line)
		}
		values[v.name], last[v.name] = v.text, v.line
	}
	if len(faulty) > 0 {
		slices.Sort(faulty)
		r.problem(r.file, lineNumbers(faulty)+" not NAME=value, or its quote does not end, or something follows it",
			"use one NAME=value a line, with nothing but a comment after a closing quote")
	}
	r.warnOfOthers(content, list)
	return values
}

// parsePython reads a file that was written for the Python agent as that did,
// and warns where the agent's own grammar has it otherwise: a file of this
// agent is read by that.
func (r envFileReport) parsePython(content string) map[string]string {
	if at := strings.IndexByte(content, 0); at >= 0 {
		r.problem(r.file, fmt.Sprintf("line %d holds a NUL", 1+strings.Count(content[:at], "\n")), "use a text file of NAME=value lines")
		return nil
	}
	values := parsePythonEnvFile(content)
	list, strays := parseEnvFile(content)
	if len(strays) > 0 {
		r.warn("%s: %s not NAME=value; left out, as the Python agent did", r.file, lineNumbers(strays))
	}
	var other []int
	for _, v := range list {
		if text, set := values[v.name]; r.ours(v.name) && (v.faulty || set && text != v.text) {
			other = append(other, v.line)
		}
	}
	if len(other) > 0 {
		r.warn("%s: %s read as the Python agent did; once the file sets HEKA_EXPORTER or HEKA_ENDPOINT, a $ is a dollar and a backslash one",
			r.file, lineNumbers(other))
	}
	return values
}

// warnOfOthers names the lines that other readers of env files take otherwise.
func (r envFileReport) warnOfOthers(content string, list []envVariable) {
	marked := strings.HasPrefix(content, byteOrderMark)
	for _, other := range []struct {
		differs func(v envVariable) bool
		says    string
	}{
		{func(v envVariable) bool { return v.line == 1 && marked }, "systemd's EnvironmentFile and python-dotenv take the byte order mark for part of the name"},
		{func(v envVariable) bool { return v.exported }, "systemd's EnvironmentFile and docker's --env-file do not take export"},
		{func(v envVariable) bool { return v.spaced }, "docker's --env-file keeps the space beside the = or the value"},
		{func(v envVariable) bool { return v.quote != 0 }, "docker's --env-file keeps the quotes"},
		{func(v envVariable) bool { return v.noted }, "systemd's EnvironmentFile and docker's --env-file take the comment for part of the value"},
		{envVariable.hasOtherEscapes, "systemd's EnvironmentFile or python-dotenv read a backslash otherwise"},
		{func(v envVariable) bool { return pythonRef.MatchString(v.text) }, "python-dotenv replaces ${NAME}"},
		{func(v envVariable) bool { return !utf8.ValidString(v.text) }, "systemd's EnvironmentFile, docker's --env-file and python-dotenv refuse what is not UTF-8"},
	} {
		var lines []int
		for _, v := range list {
			if !v.faulty && r.ours(v.name) && other.differs(v) {
				lines = append(lines, v.line)
			}
		}
		if len(lines) > 0 {
			r.warn("%s: %s read otherwise elsewhere: %s", r.file, lineNumbers(lines), other.says)
		}
	}
}

// hasOtherEscapes reports whether one of them replaces another backslash than
// the agent does.
func (v envVariable) hasOtherEscapes() bool {
	switch v.quote {
	case '\'':
		return strings.Contains(v.written, `\\`) || strings.HasSuffix(v.written, `\`)
	case '"':
		same := strings.NewReplacer(`\\`, "", `\"`, "").Replace(v.written)
		return strings.Contains(same, `\`)
	default:
		return strings.Contains(v.written, `\`)
	}
}

// lineNumbers begins a sentence: "line 3 is", "lines 3, 4 and 5 are".
func lineNumbers(lines []int) string {
	const most = 10
	if len(lines) == 1 {
		return fmt.Sprintf("line %d is", lines[0])
	}
	text := make([]string, 0, most)
	for _, n := range lines[:min(most, len(lines))] {
		text = append(text, strconv.Itoa(n))
	}
	if more := len(lines) - most; more > 0 {
		return fmt.Sprintf("lines %s and %d more are", strings.Join(text, ", "), more)
	}
	last := len(text) - 1
	return fmt.Sprintf("lines %s and %s are", strings.Join(text[:last], ", "), text[last])
}
