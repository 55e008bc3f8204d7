// Package truth compares our readings of this host with those of other agents,
// side by side in one run: prometheus-node-exporter, and the OpenTelemetry
// Collector's hostmetrics receiver.
//
// Their reading is taken between two of ours. A counter of theirs must lie
// between ours in every round; what may fall as well must do so in one of many,
// since it may have moved and come back meanwhile. What they send and no rule
// speaks of fails the test, and so does a metric of ours that no peer confirms.
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

// rounds bounds how often a peer is asked.
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

// own reads the host by every collector that reads it, with nothing left out.
// The collectors are new each time: they remember nothing.
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
		// Idle time and waiting for I/O are estimates, which the kernel takes back.
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

// bootTime stands for what is no metric but the start of all counters.
const bootTime = "start{}"

func ofTheHost(collector string) bool {
	return !slices.Contains([]string{"container", "process", "textfile"}, collector)
}

// rule says what a metric of a peer is to us. The zero rule is one that has the
// same name, labels and value here.
type rule struct {
	// ours are series that add up to theirs; $key stands for a label of theirs.
	ours []string
	// factor makes theirs ours; 0 means 1.
	factor float64
	// within is by how much they may differ at the same time.
	within float64
	// differs names the metric of ours that is another thing: a Difference must
	// explain it. Without ours there is nothing to compare.
	differs string
}

// translate finds our series for one of theirs; ok is false if there is none.
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

// states are node_exporter's names that differ from OpenTelemetry's.
var states = map[string]string{"iowait": "wait", "irq": "interrupt"}

// claim is a value of a peer, and the series of ours that it speaks of.
type claim struct {
	theirs string
	ours   []string
	number float64
	within float64
}

// compare asks a peer until everything that it says was confirmed.
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

// check compares a claim with the readings around it; counter says that the
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

// explained checks that an intended difference is on the page.
func explained(t *testing.T, peer, name string) {
	t.Helper()
	if !slices.ContainsFunc(collect.Differences(), func(d collect.Difference) bool { return d.Peer == peer && d.Metric == name }) {
		t.Errorf("%s differs from that of %s and collect.Differences does not say so", name, peer)
	}
}

// alone are metrics that no peer has in this form, and where they are tested.
var alone = map[string]string{
	"system.cpu.utilization":   "computed from system.cpu.time: collect/cpu_test.go",
	"heka.agent.mounts.stuck":  "what only the agent can know: collect/fuse_test.go",
	"heka.agent.mounts.hidden": "what only the agent can know: collect/mounts_test.go",
}

// TestEveryMetricIsConfirmed runs both peers and holds what we send on this host
// against what they confirmed. A kernel may lack some of it.
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
