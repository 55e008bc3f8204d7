package agent

import (
	"regexp"
	"strings"
)

// An env file is read by one grammar (docs/configuration.md#env-files):
//
//	NAME=value            up to the first " #"; spaces around it do not count
//	NAME='value'          as it stands, over several lines too
//	NAME="value"          with \" \\ \n \$; any other backslash is one
//	export NAME=value     the same
//	# comment
//
// A $ is a dollar. A byte order mark and CRLF are accepted.

// byteOrderMark begins a file that some editors wrote.
const byteOrderMark = "\ufeff"

// assignment is all of a line before the value.
var assignment = regexp.MustCompile(`^[ \t]*(export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)([ \t]*)=`)

// envNote begins the comment after an unquoted value.
var envNote = regexp.MustCompile(`[ \t]#`)

// envVariable is one assignment of an env file.
type envVariable struct {
	name, text string
	line       int // where it begins, from 1
	// faulty says that the value cannot be read: text means nothing then.
	faulty bool

	// How it is written, for those who read it otherwise.
	exported, spaced, noted bool
	quote                   byte   // 0 for none
	written                 string // the value before escapes are replaced
}

// parseEnvFile returns the assignments in their order, and the numbers of the
// lines that are none.
func parseEnvFile(content string) (list []envVariable, strays []int) {
	rest := strings.ReplaceAll(strings.TrimPrefix(content, byteOrderMark), "\r\n", "\n")
	rest = strings.TrimSuffix(rest, "\r")
	for number := 1; rest != ""; {
		v, after, ok := parseEnvLine(rest)
		if v.line = number; !ok {
			strays = append(strays, number)
		} else if v.name != "" {
			list = append(list, v)
		}
		number += strings.Count(rest[:len(rest)-len(after)], "\n")
		rest = after
	}
	return list, strays
}

// parseEnvLine reads what rest begins with: an assignment, or a line without
// one, for which v has no name. It is not ok if that is no comment either.
func parseEnvLine(rest string) (v envVariable, after string, ok bool) {
	line, after, _ := strings.Cut(rest, "\n")
	if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' {
		return v, after, true
	}
	found := assignment.FindStringSubmatch(line)
	if found == nil || strings.ContainsRune(line, 0) { // which no environment can hold
		return v, after, false
	}
	v.name, v.exported = found[2], found[1] != ""
	raw := line[len(found[0]):]
	text := strings.TrimLeft(raw, " \t")
	v.spaced = found[3] != "" || text != raw
	if text != "" && (text[0] == '\'' || text[0] == '"') {
		v.quote = text[0]
		tail, closed := v.unquote(rest[len(line)-len(text):])
		if end, next, _ := strings.Cut(tail, "\n"); closed && isNote(end) {
			v.noted, after = strings.Contains(end, "#"), next
		} else {
			v.faulty = true
		}
	} else {
		if at := envNote.FindStringIndex(raw); at != nil {
			v.noted, raw = true, raw[:at[0]]
		}
		v.text = strings.Trim(raw, " \t")
		v.written, v.spaced = v.text, v.spaced || v.text != raw
	}
	v.faulty = v.faulty || strings.ContainsRune(v.text, 0)
	return v, after, true
}

// unquote reads the quoted value that rest begins with. tail is what follows it.
func (v *envVariable) unquote(rest string) (tail string, closed bool) {
	rest = rest[1:]
	if v.quote == '\'' {
		v.text, tail, closed = strings.Cut(rest, "'")
		v.written = v.text
		return tail, closed
	}
	var text strings.Builder
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		switch {
		case c == '"':
			v.text, v.written = text.String(), rest[:i]
			return rest[i+1:], true
		case c == '\\' && i+1 < len(rest) && strings.IndexByte("\"\\n$", rest[i+1]) >= 0:
			i++
			if c = rest[i]; c == 'n' {
				c = '\n'
			}
		}
		text.WriteByte(c)
	}
	return "", false
}

// isNote reports whether what follows a closing quote is a comment or nothing.
func isNote(end string) bool {
	trimmed := strings.TrimLeft(end, " \t\r")
	return trimmed == "" || trimmed != end && trimmed[0] == '#'
}
