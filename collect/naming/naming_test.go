package naming_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/collect/naming"
)

// tick holds the last tick of a sink, with a line for each point.
type tick []string

func (t *tick) Put(s *metric.Snapshot) {
	*t = nil
	for _, p := range s.Points {
		var labels []string
		for _, l := range p.Series.Labels {
			labels = append(labels, l.Key+"="+l.Value)
		}
		*t = append(*t, fmt.Sprintf("%s{%s} %s %s %s", p.Series.Name, strings.Join(labels, ","), p.Value.Append(nil), p.Series.Unit, p.Series.Kind))
	}
	slices.Sort(*t)
}

func want(t *testing.T, got tick, lines string) {
	t.Helper()
	var expected []string
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line != "" {
			expected = append(expected, line)
		}
	}
	slices.Sort(expected)
	if !slices.Equal(got, expected) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(expected, "\n"))
	}
}

var (
	utilization = &metric.Desc{Name: "system.cpu.utilization", Unit: "1"}
	cpuTime     = &metric.Desc{Name: "system.cpu.time", Unit: "s", Kind: metric.Counter}
	memory      = &metric.Desc{Name: "system.memory.usage", Unit: "By", Kind: metric.UpDown}
	limit       = &metric.Desc{Name: "system.memory.limit", Unit: "By", Kind: metric.UpDown}
	available   = &metric.Desc{Name: "system.linux.memory.available", Unit: "By", Kind: metric.UpDown}
	swap        = &metric.Desc{Name: "system.paging.usage", Unit: "By", Kind: metric.UpDown}
	diskIO      = &metric.Desc{Name: "system.disk.io", Unit: "By", Kind: metric.Counter}
	diskOps     = &metric.Desc{Name: "system.disk.operations", Unit: "{operations}", Kind: metric.Counter}
	filesystem  = &metric.Desc{Name: "system.filesystem.usage", Unit: "By", Kind: metric.UpDown}
	ioTime      = &metric.Desc{Name: "system.disk.io_time", Unit: "s", Kind: metric.Counter, Detailed: true}
	dirty       = &metric.Desc{Name: "system.linux.memory.dirty", Unit: "By", Kind: metric.UpDown, Detailed: true}
	physical    = &metric.Desc{Name: "system.cpu.physical.count", Unit: "{cpu}", Kind: metric.UpDown, Detailed: true}
	uptime      = &metric.Desc{Name: "system.uptime", Unit: "s"}
)

// host returns a tick of a small host with all metrics of the schemes.
func host() *metric.Snapshot {
	s := metric.NewSnapshot(0)
	s.Reset(1000)
	s.Float(utilization, 0.25)
	s.Float(utilization, 0.5, metric.L("cpu", "cpu0"))
	for i, state := range []string{"user", "wait", "interrupt"} {
		s.Float(utilization, float64(i+1)/16, metric.L("state", state))
		s.Float(cpuTime, float64(i)+0.5, metric.L("state", state))
		s.Float(cpuTime, float64(i)+0.25, metric.L("state", state), metric.L("cpu", "cpu0"))
	}
	for i, state := range []string{"used", "free", "cached", "buffered", "slab_reclaimable", "slab_unreclaimable"} {
		s.Int(memory, int64(1)<<i, metric.L("state", state))
	}
	s.Int(limit, 1000)
	s.Int(available, 900)
	s.Int(swap, 30, metric.L("state", "used"))
	s.Int(swap, 70, metric.L("state", "free"))
	for i, disk := range []string{"vda", "vdb"} {
		for j, direction := range []string{"read", "write"} {
			n := int64(100*(i+1) + j)
			s.Int(diskIO, n, metric.L("device", disk), metric.L("direction", direction))
			s.Int(diskOps, n+10, metric.L("device", disk), metric.L("direction", direction))
		}
	}
	for i, state := range []string{"used", "free", "reserved"} {
		s.Int(filesystem, int64(1)<<i, metric.L("device", "/dev/vda"), metric.L("mountpoint", "/"), metric.L("type", "ext4"), metric.L("mode", "rw"), metric.L("state", state))
	}
	s.Float(ioTime, 1.5, metric.L("device", "vda"))
	s.Int(dirty, 5)
	s.Int(physical, 4)
	s.Float(uptime, 3.5)
	return s
}

// TestHekaNames checks the Python agent's names. In its psutil, used memory was
// total less free, buffers, cache and reclaimable slab.
func TestHekaNames(t *testing.T) {
	var got tick
	naming.NewSink(naming.Config{Scheme: naming.Heka}, &got).Put(host())
	want(t, got, `
		heka_cpu_usage_percent{} 25 % gauge
		heka_cpu_time_percent{mode=user} 6.25 % gauge
		heka_cpu_time_percent{mode=iowait} 12.5 % gauge
		heka_cpu_time_percent{mode=irq} 18.75 % gauge
		heka_memory_virtual_used_bytes{} 970 By gauge
		heka_memory_virtual_available_bytes{} 900 By gauge
		heka_memory_virtual_total_bytes{} 1000 By gauge
		heka_memory_swap_used_bytes{} 30 By gauge
		heka_memory_swap_total_bytes{} 100 By gauge
		heka_disk_read_bytes_total{} 300 By counter
		heka_disk_read_bytes_total{device=vda} 100 By counter
		heka_disk_read_bytes_total{device=vdb} 200 By counter
		heka_disk_write_bytes_total{} 302 By counter
		heka_disk_write_bytes_total{device=vda} 101 By counter
		heka_disk_write_bytes_total{device=vdb} 201 By counter
		heka_disk_reads_total{} 320 count counter
		heka_disk_reads_total{device=vda} 110 count counter
		heka_disk_reads_total{device=vdb} 210 count counter
		heka_disk_writes_total{} 322 count counter
		heka_disk_writes_total{device=vda} 111 count counter
		heka_disk_writes_total{device=vdb} 211 count counter
		system.cpu.time{state=interrupt} 2.5 s counter
		system.cpu.time{state=user} 0.5 s counter
		system.cpu.time{state=wait} 1.5 s counter
		system.filesystem.usage{device=/dev/vda,mountpoint=/,type=ext4,mode=rw,state=free} 2 By updown
		system.filesystem.usage{device=/dev/vda,mountpoint=/,type=ext4,mode=rw,state=reserved} 4 By updown
		system.filesystem.usage{device=/dev/vda,mountpoint=/,type=ext4,mode=rw,state=used} 1 By updown
		system.memory.usage{state=buffered} 8 By updown
		system.memory.usage{state=cached} 4 By updown
		system.memory.usage{state=free} 2 By updown
		system.memory.usage{state=slab_reclaimable} 16 By updown
		system.memory.usage{state=slab_unreclaimable} 32 By updown
		system.memory.usage{state=used} 1 By updown
		system.uptime{} 3.5 s gauge`)
}

// TestNodeNames checks that a metric unknown to node_exporter keeps its name,
// unless it is collected only for the scheme. Such a metric is left out.
func TestNodeNames(t *testing.T) {
	for _, asked := range []bool{false, true} {
		var got tick
		naming.NewSink(naming.Config{Scheme: naming.Node, Detailed: asked, PerCore: asked}, &got).Put(host())
		more := ""
		if asked {
			more = `
			system.cpu.utilization{cpu=cpu0} 0.5 1 gauge
			system.cpu.utilization{state=interrupt} 0.1875 1 gauge
			system.cpu.utilization{state=user} 0.0625 1 gauge
			system.cpu.utilization{state=wait} 0.125 1 gauge
			system.cpu.physical.count{} 4 {cpu} updown`
		}
		want(t, got, more+`
			node_cpu_seconds_total{cpu=0,mode=user} 0.25 s counter
			node_cpu_seconds_total{cpu=0,mode=iowait} 1.25 s counter
			node_cpu_seconds_total{cpu=0,mode=irq} 2.25 s counter
			node_memory_MemTotal_bytes{} 1000 By gauge
			node_memory_MemAvailable_bytes{} 900 By gauge
			node_memory_MemFree_bytes{} 2 By gauge
			node_memory_Cached_bytes{} 4 By gauge
			node_memory_Buffers_bytes{} 8 By gauge
			node_memory_SReclaimable_bytes{} 16 By gauge
			node_memory_SUnreclaim_bytes{} 32 By gauge
			node_memory_Dirty_bytes{} 5 By gauge
			node_memory_SwapFree_bytes{} 70 By gauge
			node_memory_SwapTotal_bytes{} 100 By gauge
			node_disk_read_bytes_total{device=vda} 100 By counter
			node_disk_read_bytes_total{device=vdb} 200 By counter
			node_disk_written_bytes_total{device=vda} 101 By counter
			node_disk_written_bytes_total{device=vdb} 201 By counter
			node_disk_reads_completed_total{device=vda} 110 {operations} counter
			node_disk_reads_completed_total{device=vdb} 210 {operations} counter
			node_disk_writes_completed_total{device=vda} 111 {operations} counter
			node_disk_writes_completed_total{device=vdb} 211 {operations} counter
			node_disk_io_time_seconds_total{device=vda} 1.5 s counter
			node_filesystem_size_bytes{device=/dev/vda,fstype=ext4,mountpoint=/} 7 By gauge
			node_filesystem_free_bytes{device=/dev/vda,fstype=ext4,mountpoint=/} 6 By gauge
			node_filesystem_avail_bytes{device=/dev/vda,fstype=ext4,mountpoint=/} 2 By gauge
			system.cpu.utilization{} 0.25 1 gauge
			system.memory.usage{state=used} 1 By updown
			node_time_seconds{} 1 s gauge
			system.uptime{} 3.5 s gauge`)
	}
}

// TestNodeFacts checks the metrics by which dashboards find a host. Unknown
// facts are not sent.
func TestNodeFacts(t *testing.T) {
	s := metric.NewSnapshot(0)
	s.Reset(1795368867500)
	for _, c := range []struct {
		host  naming.Host
		lines string
	}{
		{naming.Host{}, "node_time_seconds{} 1795368867.5 s gauge"},
		{naming.Host{BootMS: 1795000000000, Uname: []metric.Label{metric.L("nodename", "web1"), metric.L("domainname", "")}}, `
			node_time_seconds{} 1795368867.5 s gauge
			node_boot_time_seconds{} 1795000000 s gauge
			node_uname_info{nodename=web1} 1  gauge`},
	} {
		var got tick
		naming.NewSink(naming.Config{Scheme: naming.Node, Host: c.host}, &got).Put(s)
		want(t, got, c.lines)
	}
}

// TestTotalIsInTheNameOfCounters: OTLP receivers that write for Prometheus
// append _total to the names of counters, and to no others.
func TestTotalIsInTheNameOfCounters(t *testing.T) {
	for _, scheme := range []naming.Scheme{naming.Heka, naming.Node} {
		for _, n := range naming.Names(scheme) {
			name, _, _ := strings.Cut(n.Name, "{")
			if (n.Kind == metric.Counter) != strings.HasSuffix(name, "_total") {
				t.Errorf("%s is a %s", name, n.Kind)
			}
		}
	}
}

// TestOtherMetricsKeepTheirLabels: a metric from another source may have labels
// with the same keys as ours.
func TestOtherMetricsKeepTheirLabels(t *testing.T) {
	temperature := &metric.Desc{Name: "sensor_celsius"}
	s := metric.NewSnapshot(0)
	s.Reset(1000)
	s.Float(temperature, 41, metric.L("cpu", "cpu0"))
	s.Float(temperature, 42, metric.L("state", "wait"))
	for scheme, more := range map[naming.Scheme]string{naming.Heka: "", naming.Node: "node_time_seconds{} 1 s gauge"} {
		var got tick
		naming.NewSink(naming.Config{Scheme: scheme}, &got).Put(s)
		want(t, got, more+`
			sensor_celsius{cpu=cpu0} 41  gauge
			sensor_celsius{state=wait} 42  gauge`)
	}
}

// TestPercentagesAreShort: a ratio with six digits becomes a percentage with as
// many.
func TestPercentagesAreShort(t *testing.T) {
	s := metric.NewSnapshot(0)
	for millionths := 0; millionths <= 1e6; millionths += 997 {
		s.Reset(int64(millionths))
		s.Float(utilization, float64(millionths)/1e6)
		var got tick
		naming.NewSink(naming.Config{Scheme: naming.Heka}, &got).Put(s)
		want(t, got, "heka_cpu_usage_percent{} "+string(metric.Float(float64(millionths)/1e4).Append(nil))+" % gauge")
	}
}

// TestPrefix: the prefix is put before every name that does not have it.
// Nothing else changes.
func TestPrefix(t *testing.T) {
	var got tick
	s := metric.NewSnapshot(0)
	s.Reset(1000)
	s.Since(77)
	s.Int(diskIO, 5, metric.L("device", "vda"))
	s.Int(&metric.Desc{Name: "shop.orders"}, 6)
	sink := naming.NewSink(naming.Config{Scheme: naming.OTel, Prefix: "shop"}, &got)
	sink.Put(s)
	want(t, got, `
		shop.system.disk.io{device=vda} 5 By counter
		shop.orders{} 6  gauge`)
	if same := naming.NewSink(naming.Config{Scheme: naming.OTel}, &got); same != naming.Sink(&got) {
		t.Error("OpenTelemetry's names take a mapper")
	}
}

// starts holds the start times of the series of a tick.
type starts map[string]int64

func (s starts) Put(in *metric.Snapshot) {
	for _, p := range in.Points {
		s[p.Series.Name] = p.Series.StartMS
	}
}

func TestARenamedCounterKeepsItsStart(t *testing.T) {
	got := starts{}
	s := metric.NewSnapshot(0)
	s.Reset(1000)
	s.Since(77)
	s.Int(diskIO, 5, metric.L("device", "vda"), metric.L("direction", "read"))
	s.Since(0)
	s.Float(uptime, 1)
	naming.NewSink(naming.Config{Scheme: naming.Node}, got).Put(s)
	if got["node_disk_read_bytes_total"] != 77 || got["system.uptime"] != 0 {
		t.Errorf("starts %v", got)
	}
}

// totals checks that the sum over all disks never falls.
type totals struct {
	t    *testing.T
	last int64
}

func (s *totals) Put(in *metric.Snapshot) {
	for _, p := range in.Points {
		if p.Series.Name != "heka_disk_read_bytes_total" || len(p.Series.Labels) > 0 {
			continue
		}
		if now := p.Value.Int64(); now < s.last {
			s.t.Fatalf("the total fell from %d to %d", s.last, now)
		} else {
			s.last = now
		}
	}
}

// TestATotalNeverFalls: disks are added and removed, come back and restart
// their counters. The total is what all of them read.
func TestATotalNeverFalls(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	out := &totals{t: t}
	sink := naming.NewSink(naming.Config{Scheme: naming.Heka}, out)
	s := metric.NewSnapshot(0)
	counts, there := make([]int64, 5), make([]bool, 5)
	var read int64 // by all
	for tick := range 5000 {
		s.Reset(int64(tick) * 1000)
		for i := range counts {
			switch rng.IntN(200) {
			case 0:
				there[i] = !there[i]
			case 1:
				counts[i] = 0 // removed and inserted again
			}
			if there[i] {
				n := rng.Int64N(100)
				counts[i] += n
				read += n
				s.Int(diskIO, counts[i], metric.L("device", fmt.Sprint("sd", i)), metric.L("direction", "read"))
			}
		}
		sink.Put(s)
	}
	if out.last < read*9/10 || out.last > read {
		t.Errorf("the total is %d, %d bytes were read", out.last, read)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	for _, scheme := range []naming.Scheme{naming.Heka, naming.Node} {
		s := host()
		sink := naming.NewSink(naming.Config{Scheme: scheme, Prefix: "p"}, nothing{})
		sink.Put(s)
		if n := testing.AllocsPerRun(100, func() { sink.Put(s) }); n > 0 {
			t.Errorf("%s: %v allocations a tick", scheme, n)
		}
	}
}

type nothing struct{}

func (nothing) Put(*metric.Snapshot) {}

// TestOneSourceOfASeries: a text file may have a metric with the new name of
// one of ours. Ours is sent, wherever it is in the tick, and this is reported
// once.
func TestOneSourceOfASeries(t *testing.T) {
	load := &metric.Desc{Name: "system.cpu.load_average.1m"}
	text := func(name string) *metric.Desc {
		return &metric.Desc{Name: name, Kind: metric.Counter, Source: "textfile"}
	}
	theirs := []*metric.Desc{text("node_load1"), text("node_memory_SwapTotal_bytes"), text("node_time_seconds"), text("node_load15")}
	for _, textFirst := range []bool{false, true} {
		var got tick
		var told []string
		sink := naming.NewSink(naming.Config{Scheme: naming.Node, Conflict: func(name string) { told = append(told, name) }}, &got)
		for range 3 {
			s := metric.NewSnapshot(0)
			s.Reset(1000)
			add := func(text bool) {
				if !text {
					s.Float(load, 0.5)
					s.Int(swap, 30, metric.L("state", "used"))
					s.Int(swap, 70, metric.L("state", "free"))
					return
				}
				for _, d := range theirs {
					s.Int(d, 7)
				}
				s.Int(theirs[0], 8, metric.L("host", "other"))
			}
			add(textFirst)
			add(!textFirst)
			sink.Put(s)
			want(t, got, `
				node_load1{} 0.5 {thread} gauge
				node_memory_SwapFree_bytes{} 70 By gauge
				node_memory_SwapTotal_bytes{} 100 By gauge
				node_time_seconds{} 1 s gauge
				node_load15{} 7  counter
				node_load1{host=other} 8  counter`)
		}
		if slices.Sort(told); !slices.Equal(told, []string{"node_load1", "node_memory_SwapTotal_bytes", "node_time_seconds"}) {
			t.Errorf("told of %v", told)
		}
	}
}
