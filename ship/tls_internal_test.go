package ship

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A file that is replaced by another of the same size and time is another file.
func TestAReplacedFileIsSeen(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "new.pem")
	when := time.Unix(1_700_000_000, 0)
	for _, name := range []string{path, other} {
		if err := os.WriteFile(name, []byte("same"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
	}
	f := newTLSFiles(TLSConfig{CAFile: path})
	if !f.changed() {
		t.Error("a file that was never read is not seen")
	}
	_, _ = f.load() // it holds no certificate
	if f.changed() {
		t.Error("a file that was just read has changed")
	}
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	if !f.changed() {
		t.Error("the file was replaced, and nobody saw it")
	}
	_, _ = f.load()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !f.changed() {
		t.Error("the file is gone, and nobody saw it")
	}
}
