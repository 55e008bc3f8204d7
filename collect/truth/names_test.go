package truth_test

import (
	"context"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/collect/naming"
)

// captured is a sink that keeps a tick.
type captured map[string]float64

func (c captured) Put(s *metric.Snapshot) {
	for _, p := range s.Points {
		labels := map[string]string{}
		for _, l := range p.Series.Labels {
			labels[l.Key] = l.Value
		}
		c[seriesName(p.Series.Name, labels)] = p.Value.Float64()
	}
}

// underNodeNames reads the host with HEKA_METRIC_NAMES=node.
func underNodeNames(ctx context.Context, t *testing.T) captured {
	t.Helper()
	cfg := collect.Config{
		Disk:                   collect.Filter{Include: regexp.MustCompile(".")},
		Filesystem:             collect.Filter{Include: regexp.MustCompile(".")},
		FilesystemTypesExclude: regexp.MustCompile("^$"),
		Network:                collect.Filter{Include: regexp.MustCompile(".")},
	}
	s := metric.NewSnapshot(0)
	s.Reset(time.Now().UnixMilli())
	for _, b := range collect.Builtins() {
		if ofTheHost(b.Name) {
			cfg.Detailed, cfg.PerCore = naming.Node.Needs(b.Name)
			if err := b.New(cfg).Collect(ctx, s); err != nil {
				t.Logf("%s: %v", b.Name, err)
			}
		}
	}
	boot, err := collect.BootTimeMS(ctx)
	if err != nil {
		t.Fatal(err)
	}
	uname, err := collect.Uname()
	if err != nil {
		t.Fatal(err)
	}
	c := captured{}
	naming.NewSink(naming.Config{Scheme: naming.Node, Host: naming.Host{BootMS: boot, Uname: uname}}, c).Put(s)
	return c
}

func theirs(ctx context.Context, t *testing.T, more ...string) captured {
	t.Helper()
	c := captured{}
	for _, sample := range scrapeNodeExporter(t, more...)(ctx) {
		labels := map[string]string{}
		for _, l := range sample.Labels {
			labels[l.Name] = l.Value
		}
		c[seriesName(sample.Name, labels)] = sample.Value
	}
	return c
}

// TestNodeNamesAreNodeExporters: under node_exporter's names we send the same
// series as node_exporter, with the same values where the host does not change.
func TestNodeNamesAreNodeExporters(t *testing.T) {
	ctx, proc := writeMadeUpHost(t)
	want := theirs(ctx, t, "--path.procfs="+proc, "--no-collector.netdev.netlink", "--collector.time", "--collector.uname")
	compared, names := 0, map[string]bool{}
	for series, got := range underNodeNames(ctx, t) {
		name, _, _ := strings.Cut(series, "{")
		names[name] = true
		if !strings.HasPrefix(series, "node_") || strings.HasPrefix(series, "node_filesystem_") {
			continue
		}
		value, there := want[series]
		tolerance := 1e-9 * math.Abs(value)
		if name == "node_time_seconds" {
			tolerance = 60 // theirs was read before ours
		}
		if !there || math.Abs(got-value) > tolerance {
			t.Errorf("%s is %v, node_exporter has %v (%v)", series, got, value, there)
		}
		compared++
	}
	if compared < 90 {
		t.Errorf("%d series were compared", compared)
	}
	for _, n := range naming.Names(naming.Node) {
		name, _, _ := strings.Cut(n.Name, "{")
		if !names[name] && !strings.HasPrefix(name, "node_filesystem_") { // the made-up host has no mounts
			t.Errorf("%s is in the table, but no collector has what it is made of", n.Name)
		}
	}
}

func TestNodeNamesOfFileSystems(t *testing.T) {
	want := theirs(t.Context(), t, "--collector.filesystem")
	compared := 0
	for series, got := range underNodeNames(t.Context(), t) {
		if !strings.HasPrefix(series, "node_filesystem_") {
			continue
		}
		value, there := want[series]
		if !there && strings.Contains(series, "fstype=ext4") {
			t.Errorf("%s: node_exporter has no such series", series)
		}
		if strings.HasPrefix(series, "node_filesystem_size_bytes") || strings.HasPrefix(series, "node_filesystem_files{") {
			if there && value != got {
				t.Errorf("%s is %v, node_exporter has %v", series, got, value)
			}
			compared++
		}
	}
	if compared == 0 {
		t.Error("no file system was compared")
	}
}
