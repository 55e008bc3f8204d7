package encode_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

const sizesHead = "| `HEKA_EXPORTER` | plain bytes | bytes as sent | bytes a point |\n|---|---|---|---|\n"

// The page on backends has the sizes of their bodies, and ClickHouse's table, as
// they are. With -update the sizes are written.
func TestBackendsPage(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "backends.md")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	before, after, found := strings.Cut(page, sizesHead)
	if !found {
		t.Fatal("the table of sizes is not there")
	}
	for strings.HasPrefix(after, "|") {
		_, after, _ = strings.Cut(after, "\n")
	}
	want := before + sizesHead + sizes(t) + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if page != want {
		t.Errorf("docs/backends.md has other sizes; go test ./ship/encode -update writes these:\n%s", sizes(t))
	}
	table, err := os.ReadFile(filepath.Join("testdata", "clickhouse.sql"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.ReplaceAll(page, "\n    ", "\n"), string(table)) {
		t.Error("docs/backends.md has not the table of testdata/clickhouse.sql")
	}
	for _, b := range encode.Backends() {
		if !strings.Contains(page, "| `"+b.Name+"` |") || b.Path != "" && !strings.Contains(page, b.Path) {
			t.Errorf("docs/backends.md does not speak of %s and its path", b.Name)
		}
	}
}

// sizes are the rows of the table.
func sizes(t *testing.T) string {
	t.Helper()
	var rows strings.Builder
	batch := host(t)
	for _, b := range encode.Backends() {
		body := b.Format.Append(nil, batch)
		packed := packedBytes(t, body)
		fmt.Fprintf(&rows, "| `%s` | %d | %d | %.1f |\n", b.Name, len(body), packed, float64(packed)/float64(batch.Points()))
	}
	return rows.String()
}

// packedBytes is the size of a body as the agent compresses it.
func packedBytes(tb testing.TB, body []byte) int {
	tb.Helper()
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.StatelessCompression)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return packed.Len()
}
