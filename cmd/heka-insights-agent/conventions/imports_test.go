package conventions_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// architecture is the table of allowed imports. Each line holds a package,
// followed by the packages of this module that it imports and the third-party
// modules by their short names in modules. ingest/ stands for
// cmd/heka-ingest/internal/. The standard library is always allowed. A line
// "tests" lists the additional imports of the tests of the package above it.
// The test refuses a package or import that is not in the table, and an entry
// of the table that is not in the code.
const architecture = `
collect/metric
collect/promtext
  tests                              client_model common
collect/naming                       collect/metric
collect                              collect/metric collect/promtext gopsutil sys zerolog
collect/truth
  tests                              collect collect/metric collect/naming collect/promtext gopsutil
ship/backend                         collect/metric
ship/encode                          collect/metric ship/backend
  tests                              ship compress
ship/encode/truth
  tests                              collect/metric ship ship/encode compress
ship                                 collect/metric ship/backend backoff compress zerolog
  tests                              ship/encode ship/shiptest
ship/shiptest                        collect/metric ship ship/encode
spool                                sys
  tests                              collect/metric ship ship/encode rapid zerolog
agent                                collect collect/metric collect/naming ship ship/backend ship/encode spool
                                     envconfig sys term zerolog
  tests                              ship/shiptest
cmd/heka-insights-agent              agent collect/metric ship spool term zerolog
  tests                              ship/encode sys
cmd/heka-insights-agent/metricsdoc   agent
cmd/heka-insights-agent/conventions
cmd/heka-insights-agent/e2e
  tests                              collect/metric ship ship/encode spool sqlite

ingest/wire
ingest/tlscert
ingest/store                         ingest/wire sqlite zerolog
ingest/server                        ingest/store ingest/wire compress zerolog
  tests                              ingest/tlscert
ingest/watch                         ingest/wire term
ingest/demo                          ingest/watch sys term
cmd/heka-ingest                      ingest/demo ingest/server ingest/store ingest/tlscert ingest/watch term zerolog
  tests                              ingest/wire sys
`

// own is the path of this module.
const own = "github.com/heka-insights/heka-insights-agent/"

// modules are the third-party modules.
var modules = map[string]string{
	"backoff":      "github.com/cenkalti/backoff/v4",
	"client_model": "github.com/prometheus/client_model",
	"common":       "github.com/prometheus/common",
	"compress":     "github.com/klauspost/compress",
	"envconfig":    "github.com/kelseyhightower/envconfig",
	"gopsutil":     "github.com/shirou/gopsutil/v4",
	"rapid":        "pgregory.net/rapid",
	"sqlite":       "modernc.org/sqlite",
	"sys":          "golang.org/x/sys",
	"term":         "golang.org/x/term",
	"zerolog":      "github.com/rs/zerolog",
}

func TestImports(t *testing.T) {
	tree(t) // go test does not see what go list reads, and would cache the result
	want, got := allowed(), imported(t, root)
	for _, edge := range except(got, want) {
		t.Errorf("%s: not allowed by the table in imports_test.go", edge)
	}
	for _, edge := range except(want, got) {
		t.Errorf("%s: in the table, but not so in the code", edge)
	}
}

// TestForbiddenImportsAreRefused plants imports in a copy of the tree.
func TestForbiddenImportsAreRefused(t *testing.T) {
	plants := []struct{ file, imports, want string }{
		{"spool/planted.go", own + "collect/metric", "spool imports collect/metric"},
		{"spool/planted_windows.go", "github.com/rs/zerolog", "spool imports zerolog"},
		{"spool/planted_test.go", "github.com/shirou/gopsutil/v4/mem", "tests of spool import gopsutil"},
		{"collect/naming/planted.go", own + "spool", "collect/naming imports spool"},
		{"collect/metric/planted.go", "golang.org/x/sys/unix", "collect/metric imports sys"},
		{"collect/planted_x_test.go", own + "ship/encode", "tests of collect import ship/encode"},
		{"collect/planted.go", own + "agent", "collect imports agent"}, // a cycle
		{"collect/promtext/planted.go", "github.com/prometheus/common/expfmt", "collect/promtext imports common"},
		{"collect/planted/planted.go", "fmt", "collect/planted"},
		{"ship/planted.go", own + "ship/encode", "ship imports ship/encode"},
		{"ship/planted_test.go", own + "spool", "tests of ship import spool"},
		{"ship/planted_plan9.go", own + "ship/shiptest", "ship imports ship/shiptest"},
		{"ship/backend/planted.go", "C", "ship/backend imports C"},
		{"ship/encode/planted.go", own + "ship/encode/truth", "ship/encode imports ship/encode/truth"},
		{"agent/planted.go", "github.com/google/uuid", "agent imports github.com/google/uuid"}, // go.mod: indirect
		{"agent/planted_2.go", "github.com/rs/zerologx", "agent imports github.com/rs/zerologx"},
		{"cmd/heka-ingest/internal/wire/planted.go", own + "ship", "ingest/wire imports ship"},
		{"cmd/heka-ingest/internal/store/planted.go", own + "collect/metric", "ingest/store imports collect/metric"},
		{"agent/planted_3.go", own + "cmd/heka-ingest/internal/wire", "agent imports ingest/wire"},
	}
	dir := t.TempDir()
	for _, path := range tree(t) {
		if base := filepath.Base(path); strings.HasSuffix(base, ".go") || base == "go.mod" || base == "go.sum" {
			write(t, filepath.Join(dir, path), read(t, filepath.Join(root, path)))
		}
	}
	var want []string
	for _, p := range plants {
		header := "package " + filepath.Base(filepath.Dir(p.file))
		if strings.HasSuffix(p.file, "_x_test.go") {
			header += "_test"
		}
		write(t, filepath.Join(dir, p.file), header+"\n\nimport _ "+strconv.Quote(p.imports)+"\n")
		want = append(want, p.want)
	}
	got := except(imported(t, dir), allowed())
	for _, edge := range except(want, got) {
		t.Errorf("planted, and not refused: %s", edge)
	}
	for _, edge := range except(got, want) {
		t.Errorf("not planted, but refused: %s", edge)
	}
}

// allowed returns the table in the form in which imported returns the code.
func allowed() []string {
	var edges []string
	var from, verb string
	for line := range strings.Lines(architecture) {
		names := strings.Fields(line)
		switch {
		case len(names) == 0:
			continue
		case names[0] == "tests":
			from, verb, names = "tests of "+from, "import", names[1:]
		case line[0] != ' ':
			from, verb, names = names[0], "imports", names[1:]
			edges = append(edges, from)
		}
		for _, name := range names {
			edges = append(edges, fmt.Sprintf("%s %s %s", from, verb, name))
		}
	}
	return edges
}

// imported lists the packages of the module in dir and their imports: "spool",
// "spool imports sys", "tests of spool import rapid". It includes files for
// other systems.
func imported(t *testing.T, dir string) []string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,Imports,TestImports,XTestImports,IgnoredGoFiles", "./...")
	list.Dir, list.Stderr = dir, os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	var edges []string
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Dir                                    string
			Imports, TestImports, XTestImports, IgnoredGoFiles []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			slices.Sort(edges)
			return slices.Compact(edges)
		} else if err != nil {
			t.Fatal(err)
		}
		inTests := slices.Concat(p.TestImports, p.XTestImports)
		for _, name := range p.IgnoredGoFiles {
			if strings.HasSuffix(name, "_test.go") {
				inTests = append(inTests, importsOf(t, filepath.Join(p.Dir, name))...)
			} else {
				p.Imports = append(p.Imports, importsOf(t, filepath.Join(p.Dir, name))...)
			}
		}
		from := short(p.ImportPath)
		edges = append(edges, from)
		for _, path := range p.Imports {
			if !isStandard(path) {
				edges = append(edges, from+" imports "+short(path))
			}
		}
		for _, path := range inTests {
			if !isStandard(path) && path != p.ImportPath && !slices.Contains(edges, from+" imports "+short(path)) {
				edges = append(edges, "tests of "+from+" import "+short(path))
			}
		}
	}
}

func importsOf(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, spec := range parsed.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// isStandard reports whether path is reserved for the standard library by the
// go command. It excludes cgo, because the programs are static.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && path != "C"
}

// short returns the name of a package in the table.
func short(path string) string {
	if own, ok := strings.CutPrefix(path, own); ok {
		return strings.Replace(own, "cmd/heka-ingest/internal/", "ingest/", 1)
	}
	for name, module := range modules {
		if path == module || strings.HasPrefix(path, module+"/") {
			return name
		}
	}
	return path
}

func except(all, without []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(without, s) })
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
