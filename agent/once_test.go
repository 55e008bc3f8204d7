package agent_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/agent"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// once prints this machine's metrics with the given variables set.
func once(t *testing.T, format string, vars map[string]string) string {
	t.Helper()
	cleanEnvironment(t, vars)
	cfg, _, err := agent.LoadConfig("")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := agent.Once(t.Context(), cfg, agent.Build{Version: "test"}, format, &out, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestOncePrintsOneWholeBatch(t *testing.T) {
	out := once(t, "json", map[string]string{"HEKA_INTERVAL": "100ms", "HEKA_BATCH_MAX_POINTS": "10", "HEKA_DETAIL": "detailed", "HEKA_SELF_METRICS": "full"})
	if n := strings.Count(out, "\n"); n != 1 {
		t.Fatalf("%d lines, want one batch in one line", n)
	}
	batch, err := encode.Native{}.Decode([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	if len(batch.Times) != 2 || batch.Times[1]-batch.Times[0] < 90 || batch.StartMS <= 0 || len(batch.Resource) == 0 {
		t.Errorf("times %v, start %d, resource %v", batch.Times, batch.StartMS, batch.Resource)
	}
	for _, want := range []string{"system.cpu.utilization", "system.memory.usage", "system.uptime", "heka.agent.memory.rss", "heka.agent.collect.duration"} {
		if !strings.Contains(out, `"name":"`+want+`"`) {
			t.Errorf("no %s", want)
		}
	}
}

func TestWithoutTheAgentCollectorThereIsNothingOfTheAgent(t *testing.T) {
	out := once(t, "prometheus", map[string]string{"HEKA_INTERVAL": "100ms", "HEKA_COLLECTORS": "load"})
	if !strings.Contains(out, "system_cpu_load_average_1m ") || strings.Contains(out, "heka_agent") {
		t.Errorf("want the load and nothing else:\n%s", out)
	}
}

// TestOnceCanBeATextfile has lines as a textfile collector takes them: without
// times, each metric with its help.
func TestOnceCanBeATextfile(t *testing.T) {
	out := once(t, "prometheus", map[string]string{"HEKA_INTERVAL": "100ms", "HEKA_COLLECTORS": "load,memory,agent"})
	line := regexp.MustCompile(`^([a-z0-9_]+(\{[^}]*\})? \S+|# (TYPE|HELP) [a-z0-9_]+ .+|)$`)
	for text := range strings.Lines(out) {
		if !line.MatchString(strings.TrimSuffix(text, "\n")) {
			t.Errorf("%q", text)
		}
	}
	if help, types := strings.Count(out, "# HELP "), strings.Count(out, "# TYPE "); types < 5 || help != types {
		t.Errorf("%d lines of help for %d metrics", help, types)
	}
}

// A scheme has what it needs collected, and sends nothing else for that.
func TestASchemeOfNamesCollectsWhatItNeeds(t *testing.T) {
	vars := map[string]string{"HEKA_INTERVAL": "1s", "HEKA_HOSTNAME": "web1", "HEKA_COLLECTORS": "cpu,memory,paging"}
	for _, c := range []struct{ names, wanted, unwanted string }{
		{"heka", `heka_cpu_time_percent{mode="iowait"}`, "linux_memory_dirty"},
		{"node", `node_cpu_seconds_total{cpu="0",mode="iowait"}`, "system_cpu_utilization_ratio{"},
		{"node", "node_memory_Dirty_bytes ", "system_cpu_time"},
		{"node", `nodename="web1"`, "system_cpu_physical_count"},
		{"node", "node_vmstat_pgfault ", "system_paging_operations"},
	} {
		vars["HEKA_METRIC_NAMES"] = c.names
		if out := once(t, "prometheus", vars); !strings.Contains(out, c.wanted) || strings.Contains(out, c.unwanted) {
			t.Errorf("%s: want %s, and no %s:\n%s", c.names, c.wanted, c.unwanted, out)
		}
	}
}
