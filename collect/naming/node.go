package naming

import (
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// nodeRules are the metrics of node_exporter that mean exactly the same as
// ours. collect/truth compares them on a live host.
func nodeRules() []rule {
	rules := []rule{
		{from: "system.cpu.time", absent: []string{"cpu"}}, // node_exporter has no total
		{
			from: "system.cpu.time", to: counter("node_cpu_seconds_total", "s"),
			keep: []rename{{"cpu", "cpu"}, {"state", "mode"}}, values: cpuModes(),
		},
		{from: "system.cpu.load_average.1m", to: gauge("node_load1", "{thread}")},
		{from: "system.cpu.load_average.5m", to: gauge("node_load5", "{thread}")},
		{from: "system.cpu.load_average.15m", to: gauge("node_load15", "{thread}")},
		{from: "system.processes.count", where: status("running"), to: gauge("node_procs_running", "{processes}")},
		{from: "system.processes.count", where: status("blocked"), to: gauge("node_procs_blocked", "{processes}")},
		{from: "system.processes.created", to: counter("node_forks_total", "{processes}")},
		{from: "system.paging.usage", where: state("free"), to: gauge("node_memory_SwapFree_bytes", "By")},
		{from: "system.paging.usage", to: gauge("node_memory_SwapTotal_bytes", "By"), weight: 1, terms: 2},
		// node_exporter sends the metrics of /proc/vmstat without a type. If
		// they were counters, Prometheus's OTLP receiver would append _total to
		// their names.
		{from: "system.paging.operations", where: paging("page_in"), to: gauge("node_vmstat_pswpin", "{operations}")},
		{from: "system.paging.operations", where: paging("page_out"), to: gauge("node_vmstat_pswpout", "{operations}")},
		{from: "system.paging.faults", where: kind("major"), to: gauge("node_vmstat_pgmajfault", "{faults}")},
		{from: "system.paging.faults", to: gauge("node_vmstat_pgfault", "{faults}"), weight: 1, terms: 2},
	}
	for _, list := range [][]rule{nodeMemory(), nodeDisk(), nodeFilesystem(), nodeNetwork(), nodePressure()} {
		rules = append(rules, list...)
	}
	return rules
}

// nodeFacts are the metrics by which dashboards find hosts and compute their
// uptime.
func nodeFacts(h Host) []fact {
	facts := []fact{{to: gauge("node_time_seconds", "s"), value: seconds}}
	if h.BootMS != 0 {
		boot := seconds(h.BootMS)
		facts = append(facts, fact{to: gauge("node_boot_time_seconds", "s"), value: func(int64) metric.Value { return boot }})
	}
	// Prometheus treats an empty label as absent.
	uname := slices.DeleteFunc(slices.Clone(h.Uname), func(l metric.Label) bool { return l.Value == "" })
	if len(uname) > 0 {
		facts = append(facts, fact{to: gauge("node_uname_info", ""), labels: uname, value: func(int64) metric.Value { return metric.Int(1) }})
	}
	return facts
}

func seconds(ms int64) metric.Value { return metric.Float(float64(ms) / 1000) }

func counter(name, unit string) *metric.Desc {
	return &metric.Desc{Name: name, Unit: unit, Kind: metric.Counter}
}

func gauge(name, unit string) *metric.Desc { return &metric.Desc{Name: name, Unit: unit} }

func status(value string) []metric.Label { return []metric.Label{metric.L("status", value)} }

func kind(value string) []metric.Label { return []metric.Label{metric.L("type", value)} }

func paging(direction string) []metric.Label {
	return []metric.Label{metric.L("direction", direction), metric.L("type", "major")}
}

func nodeMemory() (rules []rule) {
	for _, m := range []struct{ from, state, to string }{
		{"system.memory.limit", "", "MemTotal_bytes"},
		{"system.memory.usage", "free", "MemFree_bytes"},
		{"system.linux.memory.available", "", "MemAvailable_bytes"},
		{"system.memory.usage", "cached", "Cached_bytes"},
		{"system.memory.usage", "buffered", "Buffers_bytes"},
		{"system.memory.usage", "slab_reclaimable", "SReclaimable_bytes"},
		{"system.memory.usage", "slab_unreclaimable", "SUnreclaim_bytes"},
		{"system.linux.memory.active", "", "Active_bytes"},
		{"system.linux.memory.inactive", "", "Inactive_bytes"},
		{"system.linux.memory.dirty", "", "Dirty_bytes"},
		{"system.linux.memory.writeback", "", "Writeback_bytes"},
		{"system.linux.memory.writeback_tmp", "", "WritebackTmp_bytes"},
		{"system.linux.memory.mapped", "", "Mapped_bytes"},
		{"system.linux.memory.slab", "", "Slab_bytes"},
		{"system.linux.memory.page_tables", "", "PageTables_bytes"},
		{"system.linux.memory.swap_cached", "", "SwapCached_bytes"},
		{"system.linux.memory.commit_limit", "", "CommitLimit_bytes"},
		{"system.linux.memory.committed", "", "Committed_AS_bytes"},
		{"system.linux.memory.vmalloc_total", "", "VmallocTotal_bytes"},
		{"system.linux.memory.vmalloc_used", "", "VmallocUsed_bytes"},
		{"system.linux.memory.anon_hugepages", "", "AnonHugePages_bytes"},
		{"system.memory.linux.shared", "", "Shmem_bytes"},
		{"system.memory.linux.hugepages.page_size", "", "Hugepagesize_bytes"},
		{"system.memory.linux.hugepages.limit", "", "HugePages_Total"},
		{"system.memory.linux.hugepages.reserved", "", "HugePages_Rsvd"},
		{"system.memory.linux.hugepages.surplus", "", "HugePages_Surp"},
	} {
		unit := "By"
		if !strings.HasSuffix(m.to, "_bytes") {
			unit = "{page}"
		}
		r := rule{from: m.from, to: gauge("node_memory_"+m.to, unit)}
		if m.state != "" {
			r.where = state(m.state)
		}
		rules = append(rules, r)
	}
	const huge = "system.memory.linux.hugepages"
	return append(rules, rule{
		from: huge + ".usage", where: []metric.Label{metric.L(huge+".state", "free")},
		to: gauge("node_memory_HugePages_Free", "{page}"),
	})
}

// directed makes two rules, one for each direction of a metric.
func directed(from string, first, second string, to [2]*metric.Desc) []rule {
	device := same("device")
	return []rule{
		{from: from, where: []metric.Label{metric.L("direction", first)}, to: to[0], keep: device},
		{from: from, where: []metric.Label{metric.L("direction", second)}, to: to[1], keep: device},
	}
}

func nodeDisk() (rules []rule) {
	for _, m := range []struct{ from, read, write, unit string }{
		{"system.disk.io", "read_bytes_total", "written_bytes_total", "By"},
		{"system.disk.operations", "reads_completed_total", "writes_completed_total", "{operations}"},
		{"system.disk.operation_time", "read_time_seconds_total", "write_time_seconds_total", "s"},
		{"system.disk.merged", "reads_merged_total", "writes_merged_total", "{operations}"},
	} {
		to := [2]*metric.Desc{counter("node_disk_"+m.read, m.unit), counter("node_disk_"+m.write, m.unit)}
		rules = append(rules, directed(m.from, "read", "write", to)...)
	}
	return append(rules,
		rule{from: "system.disk.io_time", to: counter("node_disk_io_time_seconds_total", "s"), keep: same("device")},
		rule{from: "system.disk.weighted_io_time", to: counter("node_disk_io_time_weighted_seconds_total", "s"), keep: same("device")},
		rule{from: "system.disk.pending_operations", to: gauge("node_disk_io_now", "{operations}"), keep: same("device")})
}

// nodeFilesystem returns the rules for file systems. Reserved space is free,
// but not available.
func nodeFilesystem() []rule {
	mount := []rename{{"device", "device"}, {"type", "fstype"}, {"mountpoint", "mountpoint"}}
	size, free := gauge("node_filesystem_size_bytes", "By"), gauge("node_filesystem_free_bytes", "By")
	files := gauge("node_filesystem_files", "{inodes}")
	const usage, inodes = "system.filesystem.usage", "system.filesystem.inodes.usage"
	return []rule{
		{from: usage, to: size, keep: mount, weight: 1, terms: 3},
		{from: usage, where: state("free"), to: free, keep: mount, weight: 1, terms: 2},
		{from: usage, where: state("reserved"), to: free, keep: mount, weight: 1, terms: 2},
		{from: usage, where: state("free"), to: gauge("node_filesystem_avail_bytes", "By"), keep: mount},
		{from: inodes, to: files, keep: mount, weight: 1, terms: 2},
		{from: inodes, where: state("free"), to: gauge("node_filesystem_files_free", "{inodes}"), keep: mount},
	}
}

func nodeNetwork() (rules []rule) {
	for _, m := range []struct{ from, to, unit string }{
		{"system.network.io", "bytes", "By"},
		{"system.network.packets", "packets", "{packets}"},
		{"system.network.errors", "errs", "{errors}"},
		{"system.network.dropped", "drop", "{packets}"},
	} {
		to := [2]*metric.Desc{counter("node_network_receive_"+m.to+"_total", m.unit), counter("node_network_transmit_"+m.to+"_total", m.unit)}
		rules = append(rules, directed(m.from, "receive", "transmit", to)...)
	}
	return rules
}

func nodePressure() (rules []rule) {
	for _, m := range []struct{ resource, kind, to string }{
		{"cpu", "some", "cpu_waiting"},
		{"memory", "some", "memory_waiting"},
		{"memory", "full", "memory_stalled"},
		{"io", "some", "io_waiting"},
		{"io", "full", "io_stalled"},
	} {
		rules = append(rules, rule{
			from:  "system.linux.pressure.stall_time",
			where: []metric.Label{metric.L("resource", m.resource), metric.L("type", m.kind)},
			to:    counter("node_pressure_"+m.to+"_seconds_total", "s"),
		})
	}
	return rules
}
