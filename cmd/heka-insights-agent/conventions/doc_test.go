// Package conventions_test checks the source tree against its own rules: the
// allowed imports, and that the documentation only mentions log lines, files
// and make targets that exist.
package conventions_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the module's folder, as seen from here.
const root = "../../.."

// tree returns the paths of all files and folders in the module, relative to
// its root. Folders end with a slash. It leaves out git's own files and what
// make creates.
func tree(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == ".git" && !entry.IsDir(): // of a worktree; SkipDir would skip the whole tree
			return nil
		case path == ".git" || path == ".bin" || path == ".run" || path == "bin":
			return fs.SkipDir
		case entry.IsDir():
			path += "/"
		}
		paths = append(paths, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// pages returns the documentation by path relative to the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"README.md", "docs/*.md", "docs/adr/*.md"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, name := range names {
			found[strings.TrimPrefix(name, root+"/")] = read(t, name)
		}
	}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
