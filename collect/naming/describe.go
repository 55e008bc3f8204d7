package naming

import (
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// Name is a metric's name in a scheme, for the documentation.
type Name struct {
	// Metric is the OpenTelemetry name, with the labels that choose the series; or
	// what else it is made of.
	Metric string
	// Name is the name in the scheme, with the keys of its labels.
	Name string
	// Kind is the kind in the scheme.
	Kind metric.Kind
	// How says what else is done to the value; "" for nothing.
	How string
}

// Names lists what a scheme renames, in the order of its table.
func Names(s Scheme) []Name {
	rules := hekaRules()
	if s == Node {
		rules = nodeRules()
	}
	var names []Name
	for i := range rules {
		if r := &rules[i]; r.to != nil {
			names = append(names, Name{r.from + labelText(r.where), r.to.Name + keyText(r.keep), r.to.Kind, r.how()})
		}
	}
	if s == Node {
		names = append(names,
			Name{"the tick's time", "node_time_seconds", metric.Gauge, ""},
			Name{"the batch's start", "node_boot_time_seconds", metric.Gauge, ""},
			Name{"uname(2); nodename is host.name", "node_uname_info{sysname,release,version,machine,nodename,domainname}", metric.Gauge, "1"})
	}
	return names
}

func (r *rule) how() string {
	switch {
	case r.weight > 0:
		return "added up"
	case r.weight < 0:
		return "subtracted"
	case r.scale == 100:
		return "times 100"
	default:
		return ""
	}
}

func labelText(labels []metric.Label) string {
	if len(labels) == 0 {
		return ""
	}
	pairs := make([]string, len(labels))
	for i, l := range labels {
		pairs[i] = l.Key + "=" + l.Value
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

func keyText(keep []rename) string {
	if len(keep) == 0 {
		return ""
	}
	keys := make([]string, len(keep))
	for i, k := range keep {
		keys[i] = k.to
	}
	return "{" + strings.Join(keys, ",") + "}"
}
