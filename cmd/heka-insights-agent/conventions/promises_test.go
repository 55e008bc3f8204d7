package conventions_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	promise  = regexp.MustCompile(`(?m)^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$`)
	testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
)

// TestPromisesAreKeptAndProved holds docs/promises.md against the tree: each
// promise names a file of product code that keeps it, and a test that is there.
func TestPromisesAreKeptAndProved(t *testing.T) {
	paths := tree(t)
	var tests []string
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range testFunc.FindAllStringSubmatch(string(text), -1) {
			tests = append(tests, found[1])
		}
	}
	rows := promise.FindAllStringSubmatch(pages(t)["docs/promises.md"], -1)
	if len(rows) < 40 {
		t.Errorf("found %d promises", len(rows))
	}
	for _, row := range rows {
		if row[1] == "promise" || strings.HasPrefix(row[1], "---") {
			continue
		}
		keeps, proofs := codeSpan.FindAllStringSubmatch(row[2], -1), codeSpan.FindAllStringSubmatch(row[3], -1)
		if len(keeps) == 0 || len(proofs) == 0 {
			t.Errorf("%s: no file that keeps it, or no test that proves it", row[1])
		}
		for _, file := range keeps {
			if !slices.Contains(paths, file[1]) || !strings.HasSuffix(file[1], ".go") || strings.HasSuffix(file[1], "_test.go") {
				t.Errorf("%s: there is no product code at %s", row[1], file[1])
			}
		}
		for _, proof := range proofs {
			if !slices.Contains(tests, proof[1]) {
				t.Errorf("%s: there is no %s", row[1], proof[1])
			}
		}
	}
}
