package encode_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// host is a batch of a real host with the default collectors: 84 series, three
// ticks.
func host(tb testing.TB) *metric.Batch {
	tb.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "host.json"))
	if err != nil {
		tb.Fatal(err)
	}
	b, err := encode.Native{}.Decode(body)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// BenchmarkBackends makes the body of a host's batch for each backend: its size,
// plain and as the agent compresses it, is what the table in docs/backends.md is of.
func BenchmarkBackends(b *testing.B) {
	batch := host(b)
	for _, to := range encode.Backends() {
		b.Run(to.Name, func(b *testing.B) {
			b.ReportAllocs()
			var body []byte
			for b.Loop() {
				body = to.Format.Append(body[:0], batch)
			}
			packed := packedBytes(b, body)
			b.ReportMetric(float64(len(body)), "plain-B/batch")
			b.ReportMetric(float64(packed), "gzip-B/batch")
			b.ReportMetric(float64(packed)/float64(batch.Points()), "gzip-B/point")
		})
	}
}
