package truth_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shirou/gopsutil/v4/common"
)

// TestNodeExporterOnAMadeUpHost lets both read the same files, in which all
// numbers differ. On a live host many numbers are zero, which would hide that
// one column is taken for another.
func TestNodeExporterOnAMadeUpHost(t *testing.T) {
	ctx, proc := writeMadeUpHost(t)
	ask := startNodeExporter(t, "--path.procfs="+proc, "--no-collector.netdev.netlink")
	confirmed := compare(ctx, t, ask)
	for _, name := range []string{
		"system.cpu.time", "system.memory.usage", "system.disk.io", "system.disk.merged", "system.network.dropped", "system.network.errors",
		"system.network.connections", "system.paging.faults", "system.paging.usage", "system.cpu.load_average.15m", "system.linux.pressure.stall_time",
	} {
		if !confirmed[name] {
			t.Errorf("%s was not compared", name)
		}
	}
}

// madeUpHost returns files of /proc in the format of Linux 6.
func madeUpHost(rng *rand.Rand) map[string]string {
	n := func() int64 { return 1_000_000 + rng.Int64N(1_000_000) }
	row := func(count int) string {
		var b strings.Builder
		for range count {
			fmt.Fprintf(&b, " %d", n())
		}
		return b.String()
	}
	files := map[string]string{
		"stat": "cpu " + row(10) + "\ncpu0 " + row(10) + "\ncpu1 " + row(10) +
			fmt.Sprintf("\nintr %d\nctxt %d\nbtime 1700000000\nprocesses %d\nprocs_running 7\nprocs_blocked 3\n", n(), n(), n()),
		"loadavg": "1.25 2.5 3.75 4/500 6000\n",
		"uptime":  "12345.67 23456.78\n",
		"swaps":   "Filename\tType\tSize\tUsed\tPriority\n/dev/vda2 partition 3000000 1000000 -2\n",
		"diskstats": fmt.Sprintf(" 254 0 vda%s 5%s\n 254 16 vdb%s 6%s\n",
			row(8), row(8), row(8), row(8)),
		"vmstat":         fmt.Sprintf("pgpgin %d\npgpgout %d\npswpin %d\npswpout %d\npgfault %d\npgmajfault %d\noom_kill 0\n", n(), n(), n(), n(), 5*n(), n()),
		"net/dev":        netDevHead + "  eth0:" + row(16) + "\n  wlan0:" + row(16) + "\n",
		"net/sockstat":   "sockets: used 91\nTCP: inuse 92 orphan 93 tw 94 alloc 95 mem 96\nUDP: inuse 97 mem 98\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
		"net/sockstat6":  "TCP6: inuse 81\nUDP6: inuse 82\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n",
		"net/snmp":       "Tcp: RtoAlgorithm ActiveOpens PassiveOpens CurrEstab InSegs OutSegs\nTcp: 1 71 72 73 74 75\n",
		"net/netstat":    "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 61 62\n",
		"net/snmp6":      "Ip6InOctets 5\n",
		"meminfo":        madeUpMeminfo(n),
		"self/mountinfo": "",
	}
	files["1/mountinfo"] = files["self/mountinfo"]
	for _, resource := range []string{"cpu", "memory", "io"} {
		files["pressure/"+resource] = fmt.Sprintf("some avg10=1.00 avg60=2.00 avg300=3.00 total=%d\nfull avg10=1.00 avg60=2.00 avg300=3.00 total=%d\n", n(), n())
	}
	for _, name := range []string{"dev", "sockstat", "sockstat6", "snmp", "netstat", "snmp6"} {
		files["1/net/"+name] = files["net/"+name]
	}
	return files
}

const netDevHead = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`

func madeUpMeminfo(n func() int64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "MemTotal: %d kB\n", 20*n())
	for _, name := range strings.Fields("MemFree MemAvailable Buffers Cached SwapCached Active Inactive Dirty Writeback Mapped Shmem Slab SUnreclaim PageTables " +
		"WritebackTmp CommitLimit Committed_AS VmallocTotal VmallocUsed AnonHugePages") {
		fmt.Fprintf(&b, "%s: %d kB\n", name, n())
	}
	fmt.Fprintf(&b, "SReclaimable: %d kB\nSwapTotal: 3000000 kB\nSwapFree: 2000000 kB\n", n()/10)
	b.WriteString("HugePages_Total: 60\nHugePages_Free: 13\nHugePages_Rsvd: 14\nHugePages_Surp: 15\nHugepagesize: 2048 kB\n")
	return b.String()
}

// writeMadeUpHost writes the files of such a host, and returns a context in
// which the collectors read them.
func writeMadeUpHost(t *testing.T) (ctx context.Context, proc string) {
	t.Helper()
	proc = filepath.Join(t.TempDir(), "proc")
	for name, text := range madeUpHost(rand.New(rand.NewPCG(1, 2))) {
		file := filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return context.WithValue(t.Context(), common.EnvKey, common.EnvMap{common.HostProcEnvKey: proc}), proc
}
