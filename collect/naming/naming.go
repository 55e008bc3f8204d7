// Package naming gives metrics other names than OpenTelemetry's: those of the
// Python agent that came before, or node_exporter's, so that dashboards made for
// them go on working. It stands between the collectors and the queue.
//
//	scheduler ─Put─> Mapper ─Put─> queue
//
// A table (heka.go, node.go) says what becomes of which metric. Most are renamed
// one to one; some are sums, such as a total over all disks. What no rule speaks
// of keeps its name.
package naming

import (
	"math"
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// Sink takes the ticks. It must not block, nor keep s.
type Sink interface {
	Put(s *metric.Snapshot)
}

// Scheme is a set of names.
type Scheme string

// The schemes of HEKA_METRIC_NAMES.
const (
	OTel Scheme = "otel"
	Heka Scheme = "heka"
	Node Scheme = "node"
)

// Config says how metrics are named.
type Config struct {
	Scheme Scheme
	// Prefix goes before every name, with a dot between; "" for none.
	Prefix string
	// Detailed and PerCore say what was asked for. A scheme needs metrics that are
	// collected in detail alone, and those that it has no name for are left out
	// unless they were asked for.
	Detailed, PerCore bool
	// RenamedOnly leaves out every metric that the scheme does not rename.
	RenamedOnly bool
	// Host is what the scheme node says of the host itself.
	Host Host
	// Conflict, if not nil, is told once of each metric that has a series in two
	// sources: a new name may be one that somebody else's metric has. The one that
	// is renamed is sent.
	Conflict func(name string)
}

// Host describes a host. What is zero is not sent.
type Host struct {
	// BootMS is when it booted, in Unix ms.
	BootMS int64
	// Uname are the labels of node_uname_info, by which dashboards find their hosts.
	Uname []metric.Label
}

// Needs reports what a collector has to collect for the scheme, whatever was
// asked for: the metrics of HEKA_DETAIL=detailed, and a series for each CPU.
func (s Scheme) Needs(collector string) (detailed, perCore bool) {
	switch {
	case s == Heka:
		return collector == "cpu", false
	case s == Node && collector == "cpu":
		return false, true
	case s == Node:
		return slices.Contains([]string{"memory", "paging", "disk", "filesystem", "system"}, collector), false
	default:
		return false, false
	}
}

// rule says what becomes of one metric, or of one state of it.
type rule struct {
	// from is the OpenTelemetry name, of a series with these labels, which go.
	from  string
	where []metric.Label
	// absent are labels that the series must not have.
	absent []string
	// to is the new metric; nil drops the series.
	to *metric.Desc
	// keep says which labels stay, each under its new key; values translates theirs.
	keep   []rename
	values map[string]string
	// scale multiplies a value; 0 is 1.
	scale float64
	// weight makes the series part of a sum over all series with the same new
	// name and labels: 1 adds, -1 subtracts. 0 renames.
	weight int64
	// also leaves the series its own name, too.
	also bool
	// terms is how many series a sum must have in a tick to be one; 0 is any.
	terms int
}

type rename struct{ from, to string }

func same(keys ...string) []rename {
	pairs := make([]rename, len(keys))
	for i, key := range keys {
		pairs[i] = rename{key, key}
	}
	return pairs
}

// idleTicks is after how many ticks without a value a series is forgotten, and
// sweepTicks how often that is looked for.
const (
	idleTicks  = 720
	sweepTicks = 120
)

// Mapper is a Sink that renames. It is used by one goroutine, like its own sink.
type Mapper struct {
	cfg    Config
	rules  []rule
	sink   Sink
	out    *metric.Snapshot
	tick   uint64
	routes map[*metric.Series]*route
	sums   map[string]*sum
	order  []*sum                   // of this tick
	kept   []metric.Point           // of this tick, with a name that stays
	counts map[string]*metric.Value // what each counter that is added up was last
	prefix map[*metric.Desc]*metric.Desc
	facts  []fact
	told   map[string]bool // the names that Conflict knows
}

// fact is a metric of the host itself, which is made of no other.
type fact struct {
	to     *metric.Desc
	labels []metric.Label
	value  func(nowMS int64) metric.Value
}

// route is what becomes of a series.
type route struct {
	targets []target
	keeps   bool          // its name stays
	last    *metric.Value // in Mapper.counts; nil if no counter is made of it
	tick    uint64
}

type target struct {
	rule   *rule
	labels []metric.Label
	sum    *sum // nil if it is renamed
}

// NewSink returns a Mapper before sink, or sink itself if there is nothing to do.
func NewSink(cfg Config, sink Sink) Sink {
	m := &Mapper{
		cfg: cfg, sink: sink, out: metric.NewSnapshot(0),
		routes: make(map[*metric.Series]*route), sums: make(map[string]*sum),
		counts: make(map[string]*metric.Value), prefix: make(map[*metric.Desc]*metric.Desc), told: make(map[string]bool),
	}
	switch cfg.Scheme {
	case Heka:
		m.rules = hekaRules()
	case Node:
		m.rules, m.facts = nodeRules(), nodeFacts(cfg.Host)
	default:
		if cfg.Prefix == "" {
			return sink
		}
	}
	return m
}

// Put renames a tick and hands it on. In steady state it allocates nothing.
func (m *Mapper) Put(in *metric.Snapshot) {
	m.tick++
	m.out.Reset(in.TimeMS)
	m.order, m.kept = m.order[:0], m.kept[:0]
	for _, p := range in.Points {
		r := m.routes[p.Series]
		if r == nil {
			r = m.route(p.Series)
			m.routes[p.Series] = r
		}
		for i := range r.targets {
			t := &r.targets[i]
			if t.sum == nil {
				m.emit(t.rule.to, t.rule.scaled(p.Value), p.Series.StartMS, t.labels)
			} else {
				m.add(t, r, p)
			}
		}
		if r.keeps {
			m.kept = append(m.kept, p)
		}
		r.tick = m.tick
		if r.last != nil {
			*r.last = p.Value
		}
	}
	for _, s := range m.order {
		if s.terms >= s.rule.terms {
			m.emit(s.rule.to, s.value(), 0, s.labels)
		}
	}
	for _, fact := range m.facts {
		m.emit(fact.to, fact.value(in.TimeMS), 0, fact.labels)
	}
	for _, p := range m.kept {
		m.emit(p.Series.Desc, p.Value, p.Series.StartMS, p.Series.Labels)
	}
	if m.tick%sweepTicks == 0 {
		m.sweep()
	}
	m.sink.Put(m.out)
}

func (m *Mapper) emit(d *metric.Desc, v metric.Value, startMS int64, labels []metric.Label) {
	before := m.out.Duplicates()
	m.out.Since(startMS)
	if v.IsInt() {
		m.out.Int(m.prefixed(d), v.Int64(), labels...)
	} else {
		m.out.Float(m.prefixed(d), v.Float64(), labels...)
	}
	if m.out.Duplicates() > before && m.cfg.Conflict != nil && !m.told[d.Name] {
		m.told[d.Name] = true
		m.cfg.Conflict(d.Name)
	}
}

// prefixed is a description under the prefix, unless its name has that already.
func (m *Mapper) prefixed(d *metric.Desc) *metric.Desc {
	if m.cfg.Prefix == "" || strings.HasPrefix(d.Name, m.cfg.Prefix+".") {
		return d
	}
	named := m.prefix[d]
	if named == nil {
		clone := *d
		clone.Name = m.cfg.Prefix + "." + d.Name
		named = &clone
		m.prefix[d] = named
	}
	return named
}

// route finds the rules for a series.
func (m *Mapper) route(s *metric.Series) *route {
	r := &route{}
	spoken := false
	for i := range m.rules {
		rule := &m.rules[i]
		if !rule.matches(s) {
			continue
		}
		spoken = spoken || !rule.also
		if rule.to == nil {
			continue
		}
		t := target{rule: rule, labels: rule.labels(s.Labels)}
		if rule.weight != 0 {
			t.sum = m.sum(rule, t.labels)
			if rule.to.Kind == metric.Counter {
				r.last = m.lastOf(s)
			}
		}
		r.targets = append(r.targets, t)
	}
	r.keeps = !spoken && !m.cfg.RenamedOnly && (m.rules == nil || m.asked(s))
	return r
}

// asked reports whether a series would be there if it were not for the scheme.
func (m *Mapper) asked(s *metric.Series) bool {
	if strings.HasPrefix(s.Desc.Name, "heka.agent.") {
		return true // HEKA_SELF_METRICS, which no scheme concerns, has decided
	}
	ofCPU := strings.HasPrefix(s.Desc.Name, "system.cpu.") // others may have a label of that name too
	detailed := s.Desc.Detailed || s.Desc.Name == "system.cpu.utilization" && hasLabel(s, "state")
	return (!detailed || m.cfg.Detailed) && (!ofCPU || !hasLabel(s, "cpu") || m.cfg.PerCore)
}

func hasLabel(s *metric.Series, key string) bool {
	return slices.ContainsFunc(s.Labels, func(l metric.Label) bool { return l.Key == key })
}

func (r *rule) matches(s *metric.Series) bool {
	if r.from != s.Desc.Name || slices.ContainsFunc(r.absent, func(key string) bool { return hasLabel(s, key) }) {
		return false
	}
	for _, l := range r.where {
		if !slices.Contains(s.Labels, l) {
			return false
		}
	}
	// A rule that keeps a label needs it.
	return !slices.ContainsFunc(r.keep, func(k rename) bool { return !hasLabel(s, k.from) })
}

func (r *rule) labels(labels []metric.Label) (kept []metric.Label) {
	for _, k := range r.keep {
		for _, l := range labels {
			if l.Key != k.from {
				continue
			}
			value := l.Value
			if k.from == "cpu" {
				value = strings.TrimPrefix(value, "cpu")
			} else if other, known := r.values[value]; known {
				value = other
			}
			kept = append(kept, metric.L(k.to, value))
		}
	}
	return kept
}

func (r *rule) scaled(v metric.Value) metric.Value {
	if r.scale == 0 {
		return v
	}
	// Ratios have six digits; the product would have sixteen.
	return metric.Float(math.Round(v.Float64()*r.scale*1e4) / 1e4)
}
