package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackendsPageRecipes loads each recipe of docs/backends.md.
func TestBackendsPageRecipes(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "backends.md"))
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("eu01xx-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	endpoints := map[string]string{
		"otlp":            "https://collector.example.com:4318/v1/metrics",
		"newrelic":        "https://otlp.eu01.nr-data.net/v1/metrics",
		"datadog":         "https://api.datadoghq.eu/api/v2/series",
		"splunk":          "https://hec.example.com:8088/services/collector",
		"elasticsearch":   "https://es.example.com:9200/metrics-heka-default/_bulk",
		"clickhouse":      "https://clickhouse.example.com:8443/",
		"victoriametrics": "https://vm.example.com:8428/api/v1/import",
	}
	for block := range strings.SplitSeq(string(page), "\n\n") {
		exporter, found := strings.CutPrefix(block, "    HEKA_EXPORTER=")
		if !found {
			continue
		}
		exporter, _, _ = strings.Cut(exporter, "\n")
		vars := map[string]string{}
		for line := range strings.Lines(block) {
			name, text, ok := strings.Cut(strings.TrimSpace(line), "=")
			if !ok || name[0] == '#' {
				continue
			}
			text, _, _ = strings.Cut(text, " ")
			if strings.HasSuffix(name, "_FILE") {
				text = secret
			}
			vars[name] = text
		}
		cfg, warnings := load(t, vars)
		u := *cfg.HTTP.Endpoint
		u.RawQuery = ""
		if cfg.Exporter != exporter || u.String() != endpoints[exporter] || len(warnings) > 0 {
			t.Errorf("%s: goes to %s, want %q; warnings %q", cfg.Exporter, &u, endpoints[exporter], warnings)
		}
		delete(endpoints, exporter)
	}
	if len(endpoints) > 0 {
		t.Errorf("no recipe for %v", endpoints)
	}
}
