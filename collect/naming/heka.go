package naming

import "github.com/heka-insights/heka-insights-agent/collect/metric"

// hekaRules are the eleven metrics of the Python agent, as psutil defines them.
// Its totals over all disks have no labels. Its unit "count" is not a UCUM
// unit. It is kept because a Prometheus that receives OTLP derives
// heka_disk_reads_count_total from it, and dashboards query that name.
func hekaRules() []rule {
	percent := func(name string) *metric.Desc { return &metric.Desc{Name: name, Unit: "%"} }
	bytes := func(name string) *metric.Desc { return &metric.Desc{Name: name, Unit: "By"} }
	virtual := bytes("heka_memory_virtual_used_bytes")
	swapTotal := bytes("heka_memory_swap_total_bytes")
	rules := []rule{
		{from: "system.cpu.utilization", absent: []string{"state", "cpu"}, to: percent("heka_cpu_usage_percent"), scale: 100},
		{
			from: "system.cpu.utilization", absent: []string{"cpu"}, to: percent("heka_cpu_time_percent"), scale: 100,
			keep: []rename{{"state", "mode"}}, values: cpuModes(),
		},
		{from: "system.linux.memory.available", to: bytes("heka_memory_virtual_available_bytes")},
		{from: "system.memory.limit", to: bytes("heka_memory_virtual_total_bytes")},
		// psutil: used = total - free - buffers - cached, reclaimable slab included.
		{from: "system.memory.limit", to: virtual, weight: 1, terms: 5},
		{from: "system.paging.usage", where: state("used"), to: bytes("heka_memory_swap_used_bytes")},
		{from: "system.paging.usage", to: swapTotal, weight: 1, terms: 2},
	}
	for _, name := range []string{"free", "buffered", "cached", "slab_reclaimable"} {
		rules = append(rules, rule{from: "system.memory.usage", where: state(name), to: virtual, weight: -1, terms: 5, also: true})
	}
	for _, disk := range []struct{ from, direction, to, unit string }{
		{"system.disk.io", "read", "heka_disk_read_bytes_total", "By"},
		{"system.disk.io", "write", "heka_disk_write_bytes_total", "By"},
		{"system.disk.operations", "read", "heka_disk_reads_total", "count"},
		{"system.disk.operations", "write", "heka_disk_writes_total", "count"},
	} {
		to := &metric.Desc{Name: disk.to, Unit: disk.unit, Kind: metric.Counter}
		where := []metric.Label{metric.L("direction", disk.direction)}
		rules = append(rules,
			rule{from: disk.from, where: where, to: to, keep: same("device")},
			rule{from: disk.from, where: where, to: to, weight: 1})
	}
	return rules
}

func state(value string) []metric.Label { return []metric.Label{metric.L("state", value)} }

// cpuModes maps OpenTelemetry's CPU states to the kernel's names.
func cpuModes() map[string]string {
	return map[string]string{"wait": "iowait", "interrupt": "irq"}
}
