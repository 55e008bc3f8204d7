package truth_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/promtext"
)

const nodeExporter = "/usr/bin/prometheus-node-exporter"

// same is the rule for a metric that has no more labels than ours.
func same(ours ...string) rule { return rule{ours: ours} }

func memory(name string) rule { return same("system.linux.memory." + name + "{}") }

func memoryState(state string) rule { return same("system.memory.usage{state=" + state + "}") }

func disk(name, direction string) rule {
	return rule{ours: []string{"system.disk." + name + "{device=$device,direction=" + direction + "}"}}
}

func nic(name, direction string) rule {
	return same("system.network." + name + "{device=$device,direction=" + direction + "}")
}

func mountStates(name string, states ...string) (r rule) {
	for _, state := range states {
		r.ours = append(r.ours, "system.filesystem."+name+"{device=$device,mode=$access,mountpoint=$mountpoint,state="+state+",type=$fstype}")
	}
	return r
}

func sockets(protocol, state string) rule {
	return same("system.network.connections{protocol=" + protocol + ",state=" + state + "}")
}

func pressure(resource, kind string) rule {
	return rule{ours: []string{"system.linux.pressure.stall_time{resource=" + resource + ",type=" + kind + "}"}, within: 1e-6}
}

func paging(direction string, factor float64) rule {
	kind := "major"
	if factor != 1 {
		kind = "minor"
	}
	return rule{ours: []string{"system.paging.operations{direction=" + direction + ",type=" + kind + "}"}, factor: factor, within: 1 - factor}
}

// nodeRules map node_exporter's metrics to ours.
var nodeRules = map[string]rule{
	"node_cpu_seconds_total": {ours: []string{"system.cpu.time{cpu=cpu$cpu,state=$mode}"}},
	"node_boot_time_seconds": same(bootTime),
	"node_load1":             same("system.cpu.load_average.1m{}"),
	"node_load5":             same("system.cpu.load_average.5m{}"),
	"node_load15":            same("system.cpu.load_average.15m{}"),

	"node_memory_MemTotal_bytes":      same("system.memory.limit{}"),
	"node_memory_MemAvailable_bytes":  memory("available"),
	"node_memory_MemFree_bytes":       memoryState("free"),
	"node_memory_Buffers_bytes":       memoryState("buffered"),
	"node_memory_Cached_bytes":        memoryState("cached"),
	"node_memory_SReclaimable_bytes":  memoryState("slab_reclaimable"),
	"node_memory_SUnreclaim_bytes":    memoryState("slab_unreclaimable"),
	"node_memory_Shmem_bytes":         same("system.memory.linux.shared{}"),
	"node_memory_Active_bytes":        memory("active"),
	"node_memory_Inactive_bytes":      memory("inactive"),
	"node_memory_Dirty_bytes":         memory("dirty"),
	"node_memory_Writeback_bytes":     memory("writeback"),
	"node_memory_WritebackTmp_bytes":  memory("writeback_tmp"),
	"node_memory_Mapped_bytes":        memory("mapped"),
	"node_memory_Slab_bytes":          memory("slab"),
	"node_memory_PageTables_bytes":    memory("page_tables"),
	"node_memory_SwapCached_bytes":    memory("swap_cached"),
	"node_memory_CommitLimit_bytes":   memory("commit_limit"),
	"node_memory_Committed_AS_bytes":  memory("committed"),
	"node_memory_VmallocTotal_bytes":  memory("vmalloc_total"),
	"node_memory_VmallocUsed_bytes":   memory("vmalloc_used"),
	"node_memory_AnonHugePages_bytes": memory("anon_hugepages"),
	"node_memory_Hugepagesize_bytes":  same("system.memory.linux.hugepages.page_size{}"),
	"node_memory_HugePages_Total":     same("system.memory.linux.hugepages.limit{}"),
	"node_memory_HugePages_Rsvd":      same("system.memory.linux.hugepages.reserved{}"),
	"node_memory_HugePages_Surp":      same("system.memory.linux.hugepages.surplus{}"),
	"node_memory_HugePages_Free":      same("system.memory.linux.hugepages.usage{system.memory.linux.hugepages.state=free}"),
	"node_memory_SwapFree_bytes":      same("system.paging.usage{state=free}"),
	"node_memory_SwapTotal_bytes":     same("system.paging.usage{state=free}", "system.paging.usage{state=used}"),

	"node_vmstat_pswpin":     paging("page_in", 1),
	"node_vmstat_pswpout":    paging("page_out", 1),
	"node_vmstat_pgpgin":     paging("page_in", 0.25),
	"node_vmstat_pgpgout":    paging("page_out", 0.25),
	"node_vmstat_pgmajfault": same("system.paging.faults{type=major}"),
	"node_vmstat_pgfault":    same("system.paging.faults{type=major}", "system.paging.faults{type=minor}"),

	"node_disk_read_bytes_total":               disk("io", "read"),
	"node_disk_written_bytes_total":            disk("io", "write"),
	"node_disk_reads_completed_total":          disk("operations", "read"),
	"node_disk_writes_completed_total":         disk("operations", "write"),
	"node_disk_read_time_seconds_total":        disk("operation_time", "read"),
	"node_disk_write_time_seconds_total":       disk("operation_time", "write"),
	"node_disk_reads_merged_total":             disk("merged", "read"),
	"node_disk_writes_merged_total":            disk("merged", "write"),
	"node_disk_io_time_seconds_total":          same("system.disk.io_time{device=$device}"),
	"node_disk_io_time_weighted_seconds_total": same("system.disk.weighted_io_time{device=$device}"),
	"node_disk_io_now":                         same("system.disk.pending_operations{device=$device}"),

	"node_filesystem_size_bytes":  mountStates("usage", "used", "free", "reserved"),
	"node_filesystem_free_bytes":  mountStates("usage", "free", "reserved"),
	"node_filesystem_avail_bytes": mountStates("usage", "free"),
	"node_filesystem_files":       mountStates("inodes.usage", "used", "free"),
	"node_filesystem_files_free":  mountStates("inodes.usage", "free"),

	"node_network_receive_bytes_total":    nic("io", "receive"),
	"node_network_transmit_bytes_total":   nic("io", "transmit"),
	"node_network_receive_packets_total":  nic("packets", "receive"),
	"node_network_transmit_packets_total": nic("packets", "transmit"),
	"node_network_receive_errs_total":     nic("errors", "receive"),
	"node_network_transmit_errs_total":    nic("errors", "transmit"),
	"node_network_receive_drop_total":     nic("dropped", "receive"),
	"node_network_transmit_drop_total":    nic("dropped", "transmit"),

	"node_sockstat_TCP_inuse":    sockets("tcp", "IN_USE"),
	"node_sockstat_TCP6_inuse":   sockets("tcp6", "IN_USE"),
	"node_sockstat_UDP_inuse":    sockets("udp", "IN_USE"),
	"node_sockstat_UDP6_inuse":   sockets("udp6", "IN_USE"),
	"node_sockstat_TCP_orphan":   sockets("tcp", "ORPHAN"),
	"node_sockstat_TCP_tw":       sockets("tcp", "TIME_WAIT"),
	"node_netstat_Tcp_CurrEstab": sockets("tcp", "ESTABLISHED"),

	"node_procs_running": same("system.processes.count{status=running}"),
	"node_procs_blocked": same("system.processes.count{status=blocked}"),
	"node_forks_total":   same("system.processes.created{}"),

	"node_pressure_cpu_waiting_seconds_total":    pressure("cpu", "some"),
	"node_pressure_memory_waiting_seconds_total": pressure("memory", "some"),
	"node_pressure_memory_stalled_seconds_total": pressure("memory", "full"),
	"node_pressure_io_waiting_seconds_total":     pressure("io", "some"),
	"node_pressure_io_stalled_seconds_total":     pressure("io", "full"),
}

// nodeOnly matches metrics of node_exporter that have no name in
// OpenTelemetry's host metrics, and those about itself.
var nodeOnly = regexp.MustCompile(`^(go|process|promhttp|node_scrape|node_exporter)_|^node_(` + strings.Join([]string{
	`cpu_guest_seconds_total`, `context_switches_total`, `intr_total`,
	`memory_((Active|Inactive)_(anon|file)|AnonPages|Balloon|Bounce|DirectMap\w+|File(HugePages|PmdMapped)|Hugetlb|KReclaimable|KernelStack|` +
		`HardwareCorrupted|Mlocked|NFS_Unstable|Percpu|SecPageTables|Shmem(HugePages|PmdMapped)|Unaccepted|Unevictable|VmallocChunk|Zswap(ped)?|Cma\w+)(_bytes)?`,
	`vmstat_oom_kill`, `disk_(discard\w+|flush\w+|info)`, `filesystem_(device_error|readonly)`,
	`network_(receive|transmit)_(compressed|fifo|frame|multicast|nohandler|carrier|colls)_total`,
	`netstat_\w+`, `sockstat_\w+`,
}, "|") + `)$`)

// compareNodeExporter compares on this host.
func compareNodeExporter(t *testing.T) map[string]bool {
	explained(t, collect.NodeExporter, "system.cpu.time")
	explained(t, collect.NodeExporter, "system.disk.io")
	explained(t, collect.NodeExporter, "system.filesystem.usage")
	explained(t, collect.NodeExporter, "system.network.io")
	ask := startNodeExporter(t, "--collector.filesystem")
	return compare(t.Context(), t, ask)
}

// startNodeExporter starts Debian's node_exporter with the collectors that read
// the same as ours.
func startNodeExporter(t *testing.T, more ...string) func(context.Context) []claim {
	scrape := scrapeNodeExporter(t, more...)
	return func(ctx context.Context) []claim { return nodeClaims(t, scrape(ctx)) }
}

// scrapeNodeExporter starts node_exporter, and returns a function that scrapes
// it.
func scrapeNodeExporter(t *testing.T, more ...string) func(context.Context) []promtext.Sample {
	if _, err := exec.LookPath(nodeExporter); err != nil {
		t.Skip("prometheus-node-exporter is not installed: make peers")
	}
	addr := freeAddress(t)
	args := []string{"--web.listen-address=" + addr, "--log.level=error", "--collector.disable-defaults"}
	for _, c := range []string{"cpu", "loadavg", "meminfo", "diskstats", "netdev", "vmstat", "stat", "sockstat", "netstat", "pressure"} {
		args = append(args, "--collector."+c)
	}
	run := exec.CommandContext(t.Context(), nodeExporter, append(args, more...)...)
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = run.Process.Kill()
		_ = run.Wait()
	})
	awaitPeer(t, addr)
	return func(ctx context.Context) []promtext.Sample {
		text, err := get(ctx, "http://"+addr+"/metrics")
		if err != nil {
			t.Fatal(err)
		}
		samples, err := promtext.Parse(text, math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		return samples
	}
}

func nodeClaims(t *testing.T, samples []promtext.Sample) (claims []claim) {
	idle, readOnly := idleDisks(samples), readOnlyMounts(samples)
	for _, s := range samples {
		access := "rw"
		if readOnly[labelOf(&s, "mountpoint")] {
			access = "ro"
		}
		s.Labels = append(s.Labels, promtext.Label{Name: "access", Value: access})
		if device := labelOf(&s, "device"); strings.HasPrefix(s.Name, "node_disk_") && idle[device] {
			continue
		}
		if c, ok := nodeClaim(t, &s); ok {
			claims = append(claims, c)
		}
	}
	return claims
}

// idleDisks returns the disks that never did any input or output.
func idleDisks(samples []promtext.Sample) map[string]bool {
	idle := map[string]bool{}
	for _, s := range samples {
		if s.Name == "node_disk_reads_completed_total" || s.Name == "node_disk_writes_completed_total" {
			device := labelOf(&s, "device")
			was, known := idle[device]
			idle[device] = s.Value == 0 && (was || !known)
		}
	}
	return idle
}

func readOnlyMounts(samples []promtext.Sample) map[string]bool {
	mounts := map[string]bool{}
	for _, s := range samples {
		if s.Name == "node_filesystem_readonly" && s.Value == 1 {
			mounts[labelOf(&s, "mountpoint")] = true
		}
	}
	return mounts
}

func labelOf(s *promtext.Sample, name string) string {
	for _, l := range s.Labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

func nodeClaim(t *testing.T, s *promtext.Sample) (claim, bool) {
	r, ok := nodeRules[s.Name]
	if !ok {
		if !nodeOnly.MatchString(s.Name) {
			t.Errorf("node_exporter has %s, of which no rule speaks", s.Name)
		}
		return claim{}, false
	}
	labels := map[string]string{}
	for _, l := range s.Labels {
		labels[l.Name] = l.Value
	}
	if r.factor == 0 {
		r.factor = 1
	}
	return claim{theirs: seriesName(s.Name, labels), ours: r.translate(labels), number: s.Value * r.factor, within: r.within}, true
}

func freeAddress(t *testing.T) string {
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func awaitPeer(t *testing.T, addr string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, err := get(t.Context(), "http://"+addr+"/metrics")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s", res.Status)
	}
	text, err := io.ReadAll(res.Body)
	return string(text), err
}
