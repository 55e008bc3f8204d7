package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// mount is a directory of files that are replaced while an agent reads them.
type mount struct {
	dir string
	// replace replaces the contents of the files.
	replace func(t *testing.T, files map[string]string)
}

func (m mount) path(name string) string { return filepath.Join(m.dir, name) }

// mounts returns the ways in which files are replaced.
func mounts(t *testing.T) map[string]mount {
	return map[string]mount{
		"overwritten": overwritten(t.TempDir()),
		"renamed":     renamed(t.TempDir()),
		"kubernetes":  kubernetes(t.TempDir()),
	}
}

// overwritten replaces files as > in a shell does: each file is empty for a
// moment.
func overwritten(dir string) mount {
	return mount{dir, func(t *testing.T, files map[string]string) {
		t.Helper()
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}}
}

// renamed replaces the files one after another, each atomically.
func renamed(dir string) mount {
	return mount{dir, func(t *testing.T, files map[string]string) {
		t.Helper()
		for name, content := range files {
			write(t, filepath.Join(dir, name), content)
		}
	}}
}

// kubernetes replaces files as the kubelet does with a mounted secret: the
// files are links into ..data, which is itself a link to a directory. That link
// is replaced, so that all files change at once.
func kubernetes(dir string) mount {
	version, current := 0, make(map[string]string)
	return mount{dir, func(t *testing.T, files map[string]string) {
		t.Helper()
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		version++
		maps.Copy(current, files)
		target := fmt.Sprintf("..version_%d", version)
		must(os.Mkdir(filepath.Join(dir, target), 0o700))
		for name, content := range current {
			must(os.WriteFile(filepath.Join(dir, target, name), []byte(content), 0o600))
		}
		must(os.Symlink(target, filepath.Join(dir, "..data_tmp")))
		must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		if version > 1 {
			must(os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..version_%d", version-1))))
			return
		}
		for name := range current {
			must(os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
		}
	}}
}
