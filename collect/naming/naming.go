// Package naming renames OpenTelemetry metrics to the names of the former
// Python agent or of node_exporter, so that existing dashboards keep working.
// It stands between the collectors and the queue.
//
//	scheduler ─Put─> Mapper ─Put─> queue
//
// A table (heka.go, node.go) lists what each metric becomes. Most are renamed
// one to one; some become part of a sum, such as a total over all disks. A
// metric without a rule keeps its name.
package naming

import (
	"math"
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// Sink receives the ticks. Put must not block and must not retain s.
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
	// Prefix is put before every name, separated by a dot; "" means none.
	Prefix string
	// Detailed and PerCore say which metrics the user asked for. A scheme may
	// need metrics that are collected only in detail. Those without a new name
	// are left out unless the user asked for them.
	Detailed, PerCore bool
	// RenamedOnly leaves out every metric that the scheme does not rename.
	RenamedOnly bool
	// Host holds what the scheme node reports about the host itself.
	Host Host
	// Conflict, if not nil, is called once for each metric that has the same
	// series from two sources: another source may already use the new name. The
	// renamed series is sent and the other one dropped.
	Conflict func(name string)
}

// Host describes a host. Fields that are zero are not sent.
type Host struct {
	// BootMS is the time of the host's boot in Unix ms.
	BootMS int64
	// Uname holds the labels of node_uname_info, by which dashboards find their
	// hosts.
	Uname []metric.Label
}

// Needs reports what a collector has to collect for the scheme, regardless of
// what the user asked for: the metrics of HEKA_DETAIL=detailed, and a series
// for each CPU.
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

// rule describes what becomes of one metric, or of one state of it.
type rule struct {
	// from is the OpenTelemetry name. where holds labels that the series must
	// have; they are removed.
	from  string
	where []metric.Label
	// absent holds labels that the series must not have.
	absent []string
	// to is the new metric; nil drops the series.
	to *metric.Desc
	// keep lists the labels that stay, each with its new key. values translates
	// their values.
	keep   []rename
	values map[string]string
	// scale multiplies the value; 0 means 1.
	scale float64
	// weight makes the series part of a sum over all series with the same new
	// name and labels: 1 adds it, -1 subtracts it. 0 renames the series.
	weight int64
	// also sends the series under its own name as well.
	also bool
	// terms is how many series a sum needs in a tick to be sent; 0 means any
	// number.
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

// idleTicks is the number of ticks without a value after which a series is
// removed. sweepTicks is the number of ticks between two checks for such
// series.
const (
	idleTicks  = 720
	sweepTicks = 120
)

// Mapper is a [Sink] that renames. Like the sink behind it, it must be used by
// one goroutine only.
type Mapper struct {
	cfg      Config
	rules    []rule
	sink     Sink
	out      *metric.Snapshot
	tick     uint64
	routes   map[*metric.Series]*route
	sums     map[string]*sum
	order    []*sum                   // the sums of this tick
	kept     []metric.Point           // the points of this tick that keep their names
	counts   map[string]*metric.Value // the last value of each counter that is part of a sum
	prefix   map[*metric.Desc]*metric.Desc
	facts    []fact
	reported map[string]bool // the names that Conflict was called with
}

// fact is a metric of the host itself, which is not derived from another
// metric.
type fact struct {
	to     *metric.Desc
	labels []metric.Label
	value  func(nowMS int64) metric.Value
}

// route describes what becomes of a series.
type route struct {
	targets []target
	keeps   bool          // the series keeps its name
	last    *metric.Value // in Mapper.counts; nil if the series is not a counter that is part of a sum
	tick    uint64
}

type target struct {
	rule   *rule
	labels []metric.Label
	sum    *sum // nil if the series is renamed
}

// NewSink returns a [Mapper] in front of sink, or sink itself if nothing is to
// be renamed.
func NewSink(cfg Config, sink Sink) Sink {
	m := &Mapper{
		cfg: cfg, sink: sink, out: metric.NewSnapshot(0),
		routes: make(map[*metric.Series]*route), sums: make(map[string]*sum),
		counts: make(map[string]*metric.Value), prefix: make(map[*metric.Desc]*metric.Desc), reported: make(map[string]bool),
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

// Put renames a tick and passes it on. In steady state it allocates nothing.
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
	if m.out.Duplicates() > before && m.cfg.Conflict != nil && !m.reported[d.Name] {
		m.reported[d.Name] = true
		m.cfg.Conflict(d.Name)
	}
}

// prefixed returns the description with the prefix, unless the name already has
// it.
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
	r.keeps = !spoken && !m.cfg.RenamedOnly && (m.rules == nil || m.requested(s))
	return r
}

// requested reports whether the series would be sent without the scheme.
func (m *Mapper) requested(s *metric.Series) bool {
	if strings.HasPrefix(s.Desc.Name, "heka.agent.") {
		return true // HEKA_SELF_METRICS has already decided; no scheme affects it
	}
	ofCPU := strings.HasPrefix(s.Desc.Name, "system.cpu.") // metrics of other collectors may have this label too
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
	// A rule that keeps a label applies only to series that have it.
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
