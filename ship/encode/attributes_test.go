package encode_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// Where attributes are labels of each series, an upgrade or another
// configuration starts no series of the host again, and shows on the agent's.
func TestAnUpgradeKeepsTheSeriesOfAHost(t *testing.T) {
	encoded := func(t *testing.T, exporter, name, version, hash string) []byte {
		b := sample()
		b.Resource = append(b.Resource, metric.L("heka.version", version), metric.L("heka.config.hash", hash))
		b.Series = b.Series[:1]
		b.Series[0].Series = &metric.Series{Desc: &metric.Desc{Name: name, Unit: "s"}, Labels: []metric.Label{metric.L("state", "user")}}
		for _, backend := range encode.Backends() {
			if backend.Name == exporter {
				return backend.Format.Append(nil, b)
			}
		}
		t.Fatalf("no exporter %s", exporter)
		return nil
	}
	for _, exporter := range []string{"victoriametrics", "datadog"} {
		t.Run(exporter, func(t *testing.T) {
			for name, same := range map[string]bool{"system.cpu.time": true, "heka.agent.uptime": false, "ours.heka.agent.uptime": false, "heka.agentless": true} {
				before := encoded(t, exporter, name, "1.2.3", "0123456789abcdef")
				upgraded := encoded(t, exporter, name, "1.2.4", "0123456789abcdef")
				configured := encoded(t, exporter, name, "1.2.3", "0123456789abcdee")
				if bytes.Equal(before, upgraded) != same || bytes.Equal(before, configured) != same {
					t.Errorf("%s: its labels stay the same: want %v\n%s\n%s\n%s", name, same, before, upgraded, configured)
				}
				if !strings.Contains(string(before), "web-1") {
					t.Errorf("%s has lost its host: %s", name, before)
				}
			}
		})
	}
}
