package encode

import (
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// Prometheus appends the newest value of each series in the Prometheus text
// exposition format: "system_cpu_time_seconds_total{…} 1.5", with a line HELP if
// its description has one. There are no times, which textfile collectors refuse.
// The format wants a metric's series together, so it sorts b.Series by name.
func Prometheus(dst []byte, b *metric.Batch) []byte {
	slices.SortStableFunc(b.Series, func(a, b metric.Column) int {
		return strings.Compare(a.Name, b.Name)
	})
	typed := ""
	for i := range b.Series {
		column := &b.Series[i]
		value, ok := newest(column)
		if !ok {
			continue
		}
		name := prometheusName(column.Desc)
		if name != typed {
			typed = name
			if column.Help != "" {
				dst = append(dst, "# HELP "+name+" "+strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(column.Help)+"\n"...)
			}
			dst = append(dst, "# TYPE "+name+" "+prometheusType(column.Kind)+"\n"...)
		}
		dst = append(dst, name...)
		dst = appendPrometheusLabels(dst, column.Series.Labels)
		dst = append(dst, ' ')
		dst = value.Append(dst)
		dst = append(dst, '\n')
	}
	return dst
}

func newest(c *metric.Column) (v metric.Value, ok bool) {
	for i := len(c.Values) - 1; i >= 0; i-- {
		if !c.Values[i].IsNull() {
			return c.Values[i], true
		}
	}
	return metric.Value{}, false
}

// prometheusName makes a Prometheus name of an OpenTelemetry one, and leaves a
// name without a dot as it is: that is one already.
func prometheusName(d *metric.Desc) string {
	name := sanitize(d.Name)
	if !strings.Contains(d.Name, ".") {
		return name
	}
	if suffix := unitSuffix(d.Unit); !strings.HasSuffix(name, suffix) {
		name += suffix
	}
	if d.Kind == metric.Counter {
		name += "_total"
	}
	return name
}

// unitSuffix turns a UCUM unit into the word of a Prometheus metric name, as
// OpenTelemetry's compatibility specification has it. Units in braces are
// annotations and add nothing.
func unitSuffix(unit string) string {
	switch unit {
	case "By":
		return "_bytes"
	case "s":
		return "_seconds"
	case "1":
		return "_ratio"
	default:
		return ""
	}
}

func prometheusType(k metric.Kind) string {
	if k == metric.Counter {
		return "counter"
	}
	return "gauge"
}

// sanitize replaces what a Prometheus name may not hold by underscores.
func sanitize(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		default:
			return '_'
		}
	}, name)
}

func appendPrometheusLabels(dst []byte, labels []metric.Label) []byte {
	if len(labels) == 0 {
		return dst
	}
	for i, l := range labels {
		dst = append(dst, "{,"[min(i, 1)])
		dst = append(dst, sanitize(l.Key)...)
		dst = append(dst, `="`...)
		dst = append(dst, prometheusEscaper().Replace(strings.ToValidUTF8(l.Value, "�"))...)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

func prometheusEscaper() *strings.Replacer {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
}
