package encode

import (
	"slices"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// Backends is the table of backends. A new one is a file of this package, a line
// here, a golden file and its reader in conformance_test.go.
func Backends() []backend.Backend {
	return []backend.Backend{
		Heka(),
		OTLP(),
		NewRelic(),
		Datadog(),
		Splunk(),
		Elasticsearch(),
		ClickHouse(),
		VictoriaMetrics(),
	}
}

// Find returns the backend of a value of HEKA_EXPORTER.
func Find(name string) (b backend.Backend, ok bool) {
	all := Backends()
	i := slices.IndexFunc(all, func(b backend.Backend) bool { return b.Name == name })
	if i < 0 {
		return b, false
	}
	return all[i], true
}

// hasPoints reports whether a series has any in its batch.
func hasPoints(c *metric.Column) bool {
	return slices.ContainsFunc(c.Values, func(v metric.Value) bool { return !v.IsNull() })
}

// ok reports whether an answer's status is 2xx.
func ok(a backend.Answer) bool { return a.Status >= 200 && a.Status < 300 }
