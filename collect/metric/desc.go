package metric

// Kind says how a server may combine a metric's values over time.
type Kind uint8

// The kinds of the wire format. The zero Kind is Gauge.
const (
	// Gauge is a value that stands for itself, such as a temperature or a
	// ratio.
	Gauge Kind = iota
	// Counter is cumulative and monotonic since the start of the series.
	Counter
	// UpDown is an amount that may rise and fall, such as bytes in use.
	UpDown
)

// kindNames holds the wire names, indexed by Kind.
var kindNames = [...]string{Gauge: "gauge", Counter: "counter", UpDown: "updown"}

// String returns the kind's name on the wire, or "unknown".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// ParseKind is the inverse of [Kind.String]; ok is false for any other text.
func ParseKind(s string) (k Kind, ok bool) {
	for i, name := range kindNames {
		if s == name {
			return Kind(i), true
		}
	}
	return Gauge, false
}

// Desc describes one metric. It is declared once, as a package-level literal
// beside its collector, and never changes: its address identifies it.
type Desc struct {
	// Name is the OpenTelemetry name, such as "system.cpu.time".
	Name string
	// Unit is the UCUM unit: "By", "s", "1" (a ratio), "{operations}".
	Unit string
	// Kind is how values combine over time.
	Kind Kind
	// Detailed marks a metric that HEKA_DETAIL=basic leaves out. For
	// heka.agent.* it marks one that HEKA_SELF_METRICS=basic leaves out.
	Detailed bool
	// Labels lists the label keys that its series may carry, in order.
	Labels []string
	// Help is one sentence for the generated docs/metrics.md.
	Help string
	// Source names the place where the kernel reports it, such as "/proc/stat".
	Source string
}

// Label is one dimension of a series, or one resource attribute.
type Label struct {
	Key, Value string
}

// L returns a [Label].
func L(key, value string) Label { return Label{Key: key, Value: value} }

// Series is one stream of values: a metric with label values. It is immutable
// and may be shared between goroutines.
type Series struct {
	*Desc
	// Labels holds the label values in the order in which the collector gave
	// them.
	Labels []Label
	// StartMS is the Unix time in ms from which a counter accumulates; 0 means
	// the host's boot.
	StartMS int64
}
