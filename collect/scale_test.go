package collect_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/rs/zerolog"
)

// manyInterfaces returns a host with n interfaces, where interface i has
// received 1000 i bytes.
func manyInterfaces(n int) tree {
	var dev strings.Builder
	dev.WriteString(netHeader)
	for i := range n {
		dev.WriteString(nic(fmt.Sprintf("eth%d", i), uint64(i)*1000, uint64(i)*2000))
	}
	return tree{"proc/1/net/dev": dev.String()}
}

// manyDisks returns a host with n disks, each with a partition.
func manyDisks(n int) tree {
	files := tree{}
	var stats strings.Builder
	for i := range n {
		name := fmt.Sprintf("nvme%dn1", i)
		stats.WriteString(diskLine(259, 2*i, name, uint64(i+1)))
		stats.WriteString(diskLine(259, 2*i+1, name+"p1", uint64(i+1)))
		files["sys/block/"+name+"/device"] = "-> ../../nvme"
	}
	files["proc/diskstats"] = stats.String()
	return files
}

// scales are the large hosts: n of something, with the collector that reads
// them.
var scales = []struct {
	name, collector string
	n               int
	cfg             collect.Config
	files           func(n int) tree
	series          string // one of them; %d counts from 0
	perThing        int    // series for each
	others          int    // series for all together
}{
	{"1000 mounts", "filesystem", 1000, collect.Config{OmitSelf: true}, manyMounts, "system.filesystem.usage{device=/dev/sd%d,mountpoint=/m%[1]d,type=ext4,mode=rw,state=used}", 3, 0},
	{"4096 CPUs", "cpu", 4096, collect.Config{}, manyCPUs, "", 0, 8 + 1},
	{"4096 CPUs each", "cpu", 4096, collect.Config{PerCore: true}, manyCPUs, "system.cpu.time{state=user,cpu=cpu%d}", 8, 8 + 1},
	{"2000 interfaces", "network", 2000, collect.Config{}, manyInterfaces, "system.network.io{device=eth%d,direction=receive}", 8, 0},
	{"1000 disks", "disk", 1000, collect.Config{}, manyDisks, "system.disk.io{device=nvme%dn1,direction=read}", 4, 0},
}

func manyCPUs(n int) tree { return cpuTree(n, 100, 900, 10) }

func TestLargeHosts(t *testing.T) {
	for _, c := range scales {
		k := ticksOf(t, c.cfg, []tree{c.files(c.n)}, c.collector)[0]
		if got := errorsOf(k, c.collector); got != 0 {
			t.Errorf("%s: %d errors", c.name, got)
		}
		got := 0
		for series := range k {
			if strings.HasPrefix(series, "system.") {
				got++
			}
		}
		if want := c.n*c.perThing + c.others; got != want {
			t.Errorf("%s: %d series, want %d", c.name, got, want)
		}
		for i := 0; i < c.n && c.series != ""; i++ {
			if _, sent := k[fmt.Sprintf(c.series, i)]; !sent {
				t.Fatalf("%s: no "+c.series, c.name, i)
			}
		}
		if c.collector != "cpu" {
			continue
		}
		if got := k["system.cpu.time{state=user}"].value.Float64(); got != 4096 {
			t.Errorf("%s: together they spent %v s, want 4096", c.name, got)
		}
		if got := k["system.cpu.logical.count"].value.Int64(); got != 4096 {
			t.Errorf("%s: %d CPUs", c.name, got)
		}
	}
}

// TestWorkGrowsInProportion compares the allocations of a tick on a host with
// those on a host twice as large.
func TestWorkGrowsInProportion(t *testing.T) {
	for _, c := range scales {
		half, whole := allocations(t, c.collector, c.cfg, c.files(c.n/8)), allocations(t, c.collector, c.cfg, c.files(c.n/4))
		if whole > 2.1*half+50 {
			t.Errorf("%s: a tick allocates %v times, and %v times on half of them", c.name, whole, half)
		}
	}
}

func allocations(t *testing.T, collector string, cfg collect.Config, files tree) float64 {
	t.Helper()
	h := newHost(t, files)
	c := h.collectors(cfg, collector)[0]
	s := metric.NewSnapshot(0)
	return testing.AllocsPerRun(2, func() {
		s.Reset(1)
		check(t, c.Collect(h.ctx, s))
	})
}

// BenchmarkScale runs a tick of the default collectors on a small host, and a
// tick of a single collector on each large host. docs/performance.md has the
// ratios.
func BenchmarkScale(b *testing.B) {
	measure := func(name string, cfg collect.Config, files tree, only ...string) {
		b.Run(name, func(b *testing.B) {
			h := newHost(b, files)
			list := h.collectors(cfg, only...)
			if len(only) == 0 {
				list = list[:8] // the default collectors
			}
			s := collect.NewScheduler(cfg, list, nopSink{}, zerolog.Nop())
			b.ReportAllocs()
			b.ResetTimer()
			check(b, s.Take(h.ctx, b.N+1, time.Nanosecond))
		})
	}
	measure("default", collect.Config{}, vm()[0])
	for _, c := range scales {
		measure(c.name, c.cfg, c.files(c.n), c.collector)
	}
}
