package collect

// Difference is a place where a metric differs on purpose from what a peer
// makes of the same host. docs/metrics.md lists them; the truth test compares
// everything else, and these by their own rule.
type Difference struct {
	// Metric is the name of ours.
	Metric string
	// Peer is "hostmetrics" (the OpenTelemetry Collector's receiver, v0.160.0)
	// or "node_exporter".
	Peer string
	// Theirs says what the peer sends, and Why what we do instead and why.
	Theirs, Why string
}

// The peers.
const (
	Hostmetrics  = "hostmetrics"
	NodeExporter = "node_exporter"
)

// Differences returns all of them. The caller owns the slice.
func Differences() []Difference {
	return []Difference{
		{
			"system.memory.usage", Hostmetrics, "The state cached is Cached and SReclaimable.",
			"Ours is Cached: SReclaimable has a state of its own, slab_reclaimable, and would count twice.",
		},
		{
			"system.paging.faults", Hostmetrics, "The counts multiplied by 4096.",
			"Ours are the counts: gopsutil takes all of /proc/vmstat for pages and returns bytes.",
		},
		{
			"system.paging.operations", Hostmetrics, "The counts multiplied by 4096; for the type minor that of KiB.",
			"Ours are pages: the kernel's for the type major, of 4 KiB for minor.",
		},
		{
			"system.processes.count", Hostmetrics, "Processes in each of nine states, found by reading every process.",
			"Ours are the kernel's own sums of threads that run or wait for a disk: the walk costs milliseconds on a busy host.",
		},
		{
			"system.network.connections", Hostmetrics, "TCP sockets in each of thirteen states, found by listing every socket.",
			"Ours are the kernel's own sums, by protocol: the list costs 20 ms a tick.",
		},
		{
			"system.uptime", Hostmetrics, "Whole seconds.",
			"Ours are the kernel's hundredths.",
		},
		{
			"system.cpu.time", NodeExporter, "Guest time again, as node_cpu_guest_seconds_total.",
			"Ours has it in user and nice alone, where the kernel puts it.",
		},
		{
			"system.disk.io", NodeExporter, "Devices that never did any input or output, too; no partitions.",
			"Ours has such a device from its first operation on; which devices there are is a matter of HEKA_DISK_INCLUDE.",
		},
		{
			"system.filesystem.usage", NodeExporter, "Every mount of a file system.",
			"Ours has each device once, unless HEKA_FILESYSTEM_INCLUDE names the mounts.",
		},
		{
			"system.network.io", NodeExporter, "Every interface.",
			"Ours leaves out loopback and what containers are connected by, unless HEKA_NETWORK_INCLUDE names them.",
		},
	}
}
