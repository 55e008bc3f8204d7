package agent_test

import (
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// ownSeries counts the series of the agent itself by their metric.
func ownSeries(t *testing.T, vars map[string]string) (counts map[string]int, total int) {
	t.Helper()
	vars["HEKA_INTERVAL"] = "100ms"
	batch, err := encode.Native{}.Decode([]byte(once(t, "json", vars)))
	if err != nil {
		t.Fatal(err)
	}
	counts = make(map[string]int)
	for i := range batch.Series {
		if name := batch.Series[i].Name; strings.HasPrefix(name, "heka.agent.") {
			counts[name]++
			total++
		}
	}
	return counts, total
}

func TestSelfMetricsAreAsManyAsAskedFor(t *testing.T) {
	basic, nBasic := ownSeries(t, map[string]string{})
	if nBasic < 15 || nBasic > 21 { // a run has seven more: the spool's, and the lag
		t.Errorf("%d series by default: %v", nBasic, basic)
	}
	for _, name := range []string{
		"points.lost", "batches.waiting", "requests.failed", "series.refused", "collect.errors", "memory.rss", "cpu.time", "ticks.skipped",
	} {
		if basic["heka.agent."+name] == 0 {
			t.Errorf("%s is not among the basic ones", name)
		}
	}
	full, nFull := ownSeries(t, map[string]string{"HEKA_SELF_METRICS": "full"})
	if nFull < 2*nBasic {
		t.Errorf("%d series of full, %d of basic", nFull, nBasic)
	}
	for name, n := range basic {
		if full[name] < n {
			t.Errorf("full has %d series of %s, basic %d", full[name], name, n)
		}
	}
	for name, vars := range map[string]map[string]string{
		"off":                  {"HEKA_SELF_METRICS": "off"},
		"without a collector":  {"HEKA_COLLECTORS": "-agent", "HEKA_SELF_METRICS": "full"},
		"a scheme that is off": {"HEKA_SELF_METRICS": "off", "HEKA_METRIC_NAMES": "heka"},
	} {
		if counts, n := ownSeries(t, vars); n != 0 {
			t.Errorf("%s: %v", name, counts)
		}
	}
	for _, scheme := range []string{"heka", "node"} { // which rename none of them
		counts, n := ownSeries(t, map[string]string{"HEKA_SELF_METRICS": "full", "HEKA_METRIC_NAMES": scheme})
		if n != nFull {
			t.Errorf("HEKA_METRIC_NAMES=%s: %d series, want %d: %v", scheme, n, nFull, counts)
		}
	}
}
