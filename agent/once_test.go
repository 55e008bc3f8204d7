package agent_test

import (
	"bytes"
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
	out := once(t, "json", map[string]string{"HEKA_INTERVAL": "100ms", "HEKA_BATCH_MAX_POINTS": "10", "HEKA_DETAIL": "detailed"})
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
