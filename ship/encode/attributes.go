package encode

import (
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// attributes are the resource attributes of a batch for a backend that has no
// resource and keeps them as labels of each series.
//
// A new value of a label is a new series there. The version and the hash of the
// configuration change while the host stays the same, so only the agent's own
// series carry them; a query joins the others by host.
type attributes struct{ ofAgent, ofHost []metric.Label }

func newAttributes(resource []metric.Label) attributes {
	return attributes{resource, slices.DeleteFunc(slices.Clone(resource), func(l metric.Label) bool {
		return l.Key == "heka.version" || l.Key == "heka.config.hash"
	})}
}

// of returns the attributes that a series carries. A prefix of
// HEKA_METRIC_PREFIX may precede its name.
func (a attributes) of(c *metric.Column) []metric.Label {
	if strings.Contains(c.Name, "heka.agent.") {
		return a.ofAgent
	}
	return a.ofHost
}
