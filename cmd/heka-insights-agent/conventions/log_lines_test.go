package conventions_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A logLine is a line that the agent can log. In its message, … stands for the
// parts that are only known when it is logged.
type logLine struct{ level, message, where string }

// TestLogLinesOfOperations compares the tables of docs/operations.md with the
// code, in both directions. A row may use … for any part of a message.
func TestLogLinesOfOperations(t *testing.T) {
	logged, rows := linesOfCode(t), linesOfPage(t)
	if len(logged) < 30 || len(rows) < 30 {
		t.Fatalf("found %d lines in the code and %d in docs/operations.md", len(logged), len(rows))
	}
	for _, line := range logged {
		if !slices.ContainsFunc(rows, line.isOf) {
			t.Errorf("%s: the tables of docs/operations.md lack: %s %q", line.where, line.level, line.message)
		}
	}
	for _, row := range rows {
		if !slices.ContainsFunc(logged, func(line logLine) bool { return line.isOf(row) }) {
			t.Errorf("%s: the code has no such line: %s %q", row.where, row.level, row.message)
		}
	}
}

// isOf reports whether the row may describe the line. If either is hardly more
// than …, they have to be equal.
func (l logLine) isOf(row logLine) bool {
	letters := regexp.MustCompile(`[A-Za-z]{2}`)
	same := l.message == row.message || letters.MatchString(l.message) && letters.MatchString(row.message) && fits(l.message, row.message)
	return l.level == row.level && same
}

// fits reports whether a message matches a row. A … in the row matches any
// text; a … in the message matches one word.
func fits(message, row string) bool {
	if rest, ok := strings.CutPrefix(row, "…"); ok {
		return fits(message, rest) || message != "" && fits(message[1:], row)
	}
	if rest, ok := strings.CutPrefix(message, "…"); ok {
		return fits(rest, row) || row != "" && row[0] != ' ' && fits(message, row[1:])
	}
	if message == "" || row == "" {
		return message == row
	}
	return message[0] == row[0] && fits(message[1:], row[1:])
}

var (
	rowOfLine  = regexp.MustCompile("^\\| (info|warn|error) (`[^`]+`(?:, `[^`]+`)*)")
	rowOfCause = regexp.MustCompile("(?m)^\\| `[^|]+")
	codeSpan   = regexp.MustCompile("`([^`]+)`")
)

// linesOfPage returns the rows that begin with a level and one or more
// messages.
func linesOfPage(t *testing.T) []logLine {
	var lines []logLine
	for i, row := range strings.Split(read(t, filepath.Join(root, "docs/operations.md")), "\n") {
		if found := rowOfLine.FindStringSubmatch(row); found != nil {
			for _, span := range codeSpan.FindAllStringSubmatch(found[2], -1) {
				lines = append(lines, logLine{found[1], span[1], "docs/operations.md:" + strconv.Itoa(i+1)})
			}
		}
	}
	return lines
}

// linesOfCode returns the messages of the calls that log.
func linesOfCode(t *testing.T) []logLine {
	r := &reader{t: t, files: token.NewFileSet()}
	for _, file := range agentSources(t, r.files) {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
				r.function(f)
			}
		}
	}
	return r.lines
}

// agentSources parses all source files except tests and heka-ingest.
func agentSources(t *testing.T, files *token.FileSet) []*ast.File {
	var parsed []*ast.File
	for _, path := range tree(t) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "cmd/heka-ingest/") {
			continue
		}
		file, err := parser.ParseFile(files, filepath.Join(root, path), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	return parsed
}

type reader struct {
	t     *testing.T
	files *token.FileSet
	lines []logLine
}

// relays are functions that log a message of their caller. Such a message is
// read from the calls of logError and warn, and from appends to warnings.
var relays = []string{"logError", "warn", "logWarnings", "Run"}

// function collects the lines that f logs. An event in a variable, such as
// event := log.Warn(), may have one of several levels.
func (r *reader) function(f *ast.FuncDecl) {
	events := map[string][]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if assign, ok := n.(*ast.AssignStmt); ok && len(assign.Lhs) == 1 {
			variable := lastName(assign.Lhs[0])
			events[variable] = append(events[variable], levels(assign.Rhs[0], nil)...)
		}
		return true
	})
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch lastName(call.Fun) {
		case "Msg":
			r.add(f, levels(call, events), call.Args[0])
		case "Msgf":
			r.add(f, levels(call, events), sprintf(call))
		case "MsgFunc", "Send":
			if levels(call, events) != nil {
				r.t.Errorf("%s: log with Msg or Msgf", r.files.Position(call.Pos()))
			}
		case "logError":
			r.add(f, []string{"error"}, call.Args[0])
		case "warn":
			r.add(f, []string{"warn"}, sprintf(call))
		case "append":
			if lastName(call.Args[0]) == "warnings" && f.Name.Name != "warn" {
				r.add(f, []string{"warn"}, call.Args[1])
			}
		}
		return true
	})
}

func (r *reader) add(f *ast.FuncDecl, levels []string, message ast.Expr) {
	where := r.files.Position(message.Pos()).String()
	text := text(message)
	switch {
	case text == "…" && slices.Contains(relays, f.Name.Name):
	case text == "…" || len(levels) == 0:
		r.t.Errorf("%s: write the level and the message where it is logged", where)
	default:
		for _, level := range levels {
			if level != "debug" {
				r.lines = append(r.lines, logLine{level, text, where})
			}
		}
	}
}

// levels returns the levels of the event that starts a chain of calls.
func levels(chain ast.Expr, events map[string][]string) []string {
	switch e := chain.(type) {
	case *ast.CallExpr:
		return levels(e.Fun, events)
	case *ast.SelectorExpr:
		switch e.Sel.Name {
		case "Info", "Warn", "Error":
			return []string{strings.ToLower(e.Sel.Name)}
		case "Debug", "Trace":
			return []string{"debug"}
		}
		return levels(e.X, events)
	case *ast.Ident:
		return events[e.Name]
	}
	return nil
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// sprintf returns a call of fmt.Sprintf with the same arguments.
func sprintf(call *ast.CallExpr) ast.Expr {
	return &ast.CallExpr{Fun: &ast.Ident{Name: "Sprintf", NamePos: call.Pos()}, Args: call.Args}
}

var formatVerb = regexp.MustCompile(`%[-+# 0-9.]*[a-z]`)

// text returns the text of an expression, with … for what is not in the code.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return s
		}
	case *ast.BinaryExpr:
		return text(e.X) + text(e.Y)
	case *ast.CallExpr:
		if lastName(e.Fun) == "Sprintf" {
			return formatVerb.ReplaceAllString(text(e.Args[0]), "…")
		}
	}
	return "…"
}

// TestCausesOfOperations checks that each cause and error in the tables of
// docs/operations.md is in a string of the code or in one of the kernel's
// errors.
func TestCausesOfOperations(t *testing.T) {
	var said []string
	for _, file := range agentSources(t, token.NewFileSet()) {
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok {
				said = append(said, text(literal))
			}
			return true
		})
	}
	for number := range syscall.Errno(200) {
		said = append(said, number.Error())
	}
	_, page, _ := strings.Cut(read(t, filepath.Join(root, "docs/operations.md")), "\n## Log lines\n")
	page, _, _ = strings.Cut(page, "\n## ")
	rows := rowOfCause.FindAllString(page, -1)
	if len(rows) < 25 {
		t.Errorf("found %d causes and errors", len(rows))
	}
	for _, span := range codeSpan.FindAllString(strings.Join(rows, "\n"), -1) {
		for _, words := range regexp.MustCompile(`[a-z][a-z ,'/]{3,}[a-z]`).FindAllString(span, -1) {
			if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, words) }) {
				t.Errorf("docs/operations.md: the code never says %q: %s", words, span)
			}
		}
	}
}
