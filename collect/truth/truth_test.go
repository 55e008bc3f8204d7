// Package truth compares our readings of this host with those of other agents
// that run at the same time: prometheus-node-exporter, and the OpenTelemetry
// Collector's hostmetrics receiver.
//
// Each of their readings is taken between two of ours. A counter of theirs must
// lie between ours in every round. A value that may also fall must lie between
// ours in one of many rounds, since it may have changed and changed back
// meanwhile. The test fails if a peer sends a metric without a rule, or if no
// peer confirms one of our metrics.
package truth_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// rounds is the maximum number of times that a peer is queried.
const rounds = 60

// value is one value of a reading.
type value struct {
	number  float64
	counter bool
}

// reading holds values by series, written as name{key=value,key=value} with the
// keys sorted.
type reading map[string]value

func seriesName(name string, labels map[string]string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return name + "{" + strings.Join(pairs, ",") + "}"
}

// own reads the host with every collector that reads it, and leaves nothing
// out. The collectors are new each time, so they have no state.
func own(ctx context.Context, t *testing.T) reading {
	t.Helper()
	cfg := collect.Config{
		Detailed: true, PerCore: true,
		Disk:                   collect.Filter{Include: regexp.MustCompile(".")},
		Filesystem:             collect.Filter{Include: regexp.MustCompile(".")},
		FilesystemTypesExclude: regexp.MustCompile("^$"),
		Network:                collect.Filter{Include: regexp.MustCompile(".")},
	}
	s := metric.NewSnapshot(0)
	s.Reset(1)
	for _, b := range collect.Builtins() {
		if !ofTheHost(b.Name) {
			continue
		}
		if err := b.New(cfg).Collect(ctx, s); err != nil {
			t.Logf("%s: %v", b.Name, err)
		}
	}
	r := reading{}
	for _, p := range s.Points {
		labels := map[string]string{}
		for _, l := range p.Series.Labels {
			labels[l.Key] = l.Value
		}
		// Idle time and waiting for I/O are estimates that the kernel may
		// correct downwards.
		estimate := labels["state"] == "idle" || labels["state"] == "wait"
		r[seriesName(p.Series.Name, labels)] = value{p.Value.Float64(), p.Series.Kind == metric.Counter && !estimate}
	}
	boot, err := collect.BootTimeMS(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r[bootTime] = value{number: float64(boot) / 1000}
	return r
}

// bootTime stands for the start of all counters, which is not a metric.
const bootTime = "start{}"

func ofTheHost(collector string) bool {
	return !slices.Contains([]string{"container", "process", "textfile"}, collector)
}

// rule relates a metric of a peer to ours. The zero rule means that ours has
// the same name, labels and value.
type rule struct {
	// ours are series whose sum equals theirs; $key stands for a label of
	// theirs.
	ours []string
	// factor converts theirs to ours; 0 means 1.
	factor float64
	// within is by how much they may differ at the same time.
	within float64
	// differs names a metric of ours with another meaning, which a Difference
	// must explain. If ours is empty, nothing is compared.
	differs string
}

// translate returns our series for one of theirs, or none.
func (r rule) translate(labels map[string]string) (series []string) {
	for _, ours := range r.ours {
		series = append(series, os.Expand(ours, func(key string) string {
			if state, ok := states[labels[key]]; ok && key == "mode" {
				return state
			}
			return labels[key]
		}))
	}
	return series
}

// states maps node_exporter's names to OpenTelemetry's where they differ.
var states = map[string]string{"iowait": "wait", "irq": "interrupt"}

// claim is a value of a peer, with the series of ours that it is about.
type claim struct {
	theirs string
	ours   []string
	number float64
	within float64
}

// compare queries a peer until all of its values are confirmed.
func compare(ctx context.Context, t *testing.T, ask func(ctx context.Context) []claim) (confirmed map[string]bool) {
	t.Helper()
	agreed, confirmed := map[string]bool{}, map[string]bool{}
	var open []string
	for range rounds {
		before := own(ctx, t)
		claims := ask(ctx)
		after := own(ctx, t)
		open = nil
		for _, c := range claims {
			problem, counter := c.check(before, after)
			switch {
			case problem == "":
				agreed[c.theirs] = true
				for _, series := range c.ours {
					name, _, _ := strings.Cut(series, "{")
					confirmed[name] = true
				}
			case counter:
				t.Fatal(problem)
			case !agreed[c.theirs]:
				open = append(open, problem)
			}
		}
		if len(claims) == 0 {
			t.Fatal("the peer says nothing")
		}
		if len(open) == 0 {
			return confirmed
		}
	}
	for _, problem := range open {
		t.Error(problem)
	}
	return confirmed
}

// check compares a claim with the readings around it. counter means that the
// claim can never have been true.
func (c claim) check(before, after reading) (problem string, counter bool) {
	var low, high float64
	counter = true
	for _, series := range c.ours {
		a, okA := before[series]
		b, okB := after[series]
		if !okA || !okB {
			return fmt.Sprintf("%s: we have no %s", c.theirs, series), false
		}
		low, high = low+min(a.number, b.number), high+max(a.number, b.number)
		counter = counter && a.counter
	}
	within := c.within + 1e-9*math.Abs(c.number)
	if c.number < low-within || c.number > high+within {
		return fmt.Sprintf("%s is %v, ours %v is between %v and %v", c.theirs, c.number, c.ours, low, high), counter
	}
	return "", false
}

// explained checks that an intended difference is documented.
func explained(t *testing.T, peer, name string) {
	t.Helper()
	if !slices.ContainsFunc(collect.Differences(), func(d collect.Difference) bool { return d.Peer == peer && d.Metric == name }) {
		t.Errorf("%s differs from that of %s and collect.Differences does not say so", name, peer)
	}
}

// alone lists the metrics that no peer has in this form, and where they are
// tested.
var alone = map[string]string{
	"system.cpu.utilization":   "computed from system.cpu.time: collect/cpu_test.go",
	"heka.agent.mounts.stuck":  "what only the agent can know: collect/fuse_test.go",
	"heka.agent.mounts.hidden": "what only the agent can know: collect/mounts_test.go",
}

// TestEveryMetricIsConfirmed runs both peers, and checks that they confirm what
// we send on this host. A kernel may lack some of it.
func TestEveryMetricIsConfirmed(t *testing.T) {
	confirmed, asked := map[string]bool{}, 0
	peers := map[string]func(*testing.T) map[string]bool{
		collect.NodeExporter: compareNodeExporter,
		collect.Hostmetrics:  compareHostmetrics,
	}
	for name, peer := range peers {
		t.Run(name, func(t *testing.T) {
			maps.Copy(confirmed, peer(t))
			asked++
		})
	}
	if t.Failed() || asked < len(peers) {
		return
	}
	sent := map[string]bool{}
	for series := range own(t.Context(), t) {
		name, _, _ := strings.Cut(series, "{")
		sent[name] = true
	}
	for _, b := range collect.Builtins() {
		for _, d := range b.Descs {
			if sent[d.Name] && !confirmed[d.Name] && alone[d.Name] == "" {
				t.Errorf("no peer confirms %s", d.Name)
			}
		}
	}
}
