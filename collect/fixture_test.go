package collect_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/shirou/gopsutil/v4/common"
	"golang.org/x/sys/unix"
)

// tree holds a host's files by path, such as "proc/stat".
type tree map[string]string

// with returns a copy with some files changed. An empty file is removed.
func (t tree) with(changes tree) tree {
	out := maps.Clone(t)
	for path, text := range changes {
		if text == "" {
			delete(out, path)
		} else {
			out[path] = text
		}
	}
	return out
}

// host is a tree on disk, with a context that points the collectors to it.
type host struct {
	dir   string
	ctx   context.Context
	files tree
	devs  atomic.Pointer[map[string]uint64] // by mount point
}

func newHost(t testing.TB, files tree) *host {
	t.Helper()
	dir := t.TempDir()
	h := &host{dir: dir, ctx: context.WithValue(t.Context(), common.EnvKey, common.EnvMap{
		common.HostProcEnvKey: filepath.Join(dir, "proc"),
		common.HostSysEnvKey:  filepath.Join(dir, "sys"),
		common.HostDevEnvKey:  filepath.Join(dir, "dev"),
		common.HostRunEnvKey:  filepath.Join(dir, "run"),
		common.HostEtcEnvKey:  filepath.Join(dir, "etc"),
		common.HostRootEnvKey: dir + "/root",
	})}
	h.write(t, files)
	return h
}

// write makes the tree contain exactly files. "-> x" creates a link to x.
func (h *host) write(t testing.TB, files tree) {
	t.Helper()
	for name := range h.files {
		if _, stays := files[name]; !stays {
			h.remove(t, name)
		}
	}
	for name, text := range files {
		path := filepath.Join(h.dir, name)
		if was, there := h.files[name]; there && was == text {
			continue
		}
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, isLink := strings.CutPrefix(text, "-> "); isLink {
			check(t, os.Symlink(target, path))
			continue
		}
		check(t, os.WriteFile(path, []byte(text), 0o644))
	}
	h.files = files
	all, _ := collect.ParseMountinfo(files["proc/1/mountinfo"])
	devs := make(map[string]uint64, len(all))
	for _, m := range all {
		devs[m.Point] = m.Dev // the last one at each point counts
	}
	h.devs.Store(&devs)
}

// remove removes a file, and the directories that become empty.
func (h *host) remove(t testing.TB, name string) {
	t.Helper()
	check(t, os.Remove(filepath.Join(h.dir, name)))
	for dir := filepath.Dir(name); os.Remove(filepath.Join(h.dir, dir)) == nil; {
		dir = filepath.Dir(dir)
	}
}

// collectors returns the collectors of cfg. Mounts answer with values computed
// from the length of the mount point; stale NFS never answers.
func (h *host) collectors(cfg collect.Config, only ...string) []collect.Collector {
	var list []collect.Collector
	for _, b := range collect.Builtins() {
		if len(only) > 0 && !strings.Contains(" "+strings.Join(only, " ")+" ", " "+b.Name+" ") {
			continue
		}
		c := b.New(cfg)
		if b.Name == "filesystem" {
			collect.SetStatfs(c, h.statfs)
		}
		if b.Name == "container" {
			collect.SetContainer(c, h.dir+"/own/proc", h.dir+"/own/proc/self", h.dir+"/own")
		}
		list = append(list, c)
	}
	return list
}

// statfs answers for the mount at a path, according to the host's table.
func (h *host) statfs(path string) (collect.StatfsReply, error) {
	point, found := strings.CutPrefix(path, h.dir+"/root")
	if !found {
		return collect.StatfsReply{}, fmt.Errorf("%s is not below HOST_ROOT", path)
	}
	if point == "" {
		point = "/"
	}
	devs := *h.devs.Load()
	dev, there := devs[point]
	if !there {
		dev, there = devs[path] // a container's table has the path itself
	}
	if !there {
		return collect.StatfsReply{}, os.ErrNotExist
	}
	n := uint64(len(strings.TrimSuffix(point, "/"))) + 1
	return collect.NewStatfsReply(dev, false, &unix.Statfs_t{
		Frsize: 1 << 30, Blocks: 100 * n, Bfree: 70 * n, Bavail: 65 * n, Files: 1000 * n, Ffree: 900 * n,
	}), nil
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const mib = 1024

// meminfo returns a /proc/meminfo with values in kB.
func meminfo(totalKB int) string {
	return fmt.Sprintf(`MemTotal:       %8d kB
MemFree:        %8d kB
MemAvailable:   %8d kB
Buffers:        %8d kB
Cached:         %8d kB
SwapCached:            12 kB
Active:           478872 kB
Inactive:         979900 kB
Unevictable:       14884 kB
SwapTotal:       2097148 kB
SwapFree:        2000000 kB
Dirty:               860 kB
Writeback:             4 kB
AnonPages:         99656 kB
Mapped:            41536 kB
Shmem:              8872 kB
KReclaimable:     123324 kB
Slab:             150432 kB
SReclaimable:     123324 kB
SUnreclaim:        27108 kB
KernelStack:        1812 kB
PageTables:         2680 kB
WritebackTmp:          0 kB
CommitLimit:    12342040 kB
Committed_AS:     398952 kB
VmallocTotal:   34359738367 kB
VmallocUsed:       14668 kB
VmallocChunk:          0 kB
Percpu:              688 kB
AnonHugePages:      4096 kB
`, totalKB, totalKB/4, totalKB/2, totalKB/32, totalKB/8)
}

const netHeader = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`

// nic returns a line of /proc/net/dev.
func nic(name string, received, sent uint64) string {
	return fmt.Sprintf("%6s: %d %d 1 2 0 0 0 3 %d %d 4 5 0 0 0 0\n", name, received, received/1000, sent, sent/1000)
}

// diskLine returns a line of /proc/diskstats with counters computed from n.
func diskLine(major, minor int, name string, n uint64) string {
	return fmt.Sprintf("%4d %7d %s %d %d %d %d %d %d %d %d 1 %d %d 0 0 0 0 0 0\n", major, minor, name,
		n, n/10, n*16, n/2, n*2, n/5, n*64, n, n/3, n*3)
}

const smallVmstat = "nr_free_pages 100\npgpgin 507437\npgpgout 627480\npswpin 12\npswpout 34\npgfault 5000000\npgmajfault 1234\n"

const sockstat = "sockets: used 215\nTCP: inuse 13 orphan 2 tw 5 alloc 21 mem 7\nUDP: inuse 4 mem 1\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n"

const sockstat6 = "TCP6: inuse 6\nUDP6: inuse 3\nUDPLITE6: inuse 0\nRAW6: inuse 1\nFRAG6: inuse 0 memory 0\n"

const snmp = "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab\nTcp: 1 200 120000 -1 1000 2000 3 4 17\n"
