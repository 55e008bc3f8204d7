package collect_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/rs/zerolog"
)

// containerOf returns the collector for a process in the host's own /proc.
func containerOf(h *host) collect.Collector {
	for _, b := range collect.Builtins() {
		if b.Name == "container" {
			c := b.New(collect.Config{})
			collect.SetContainer(c, h.dir+"/proc", h.dir+"/proc/self", h.dir)
			return c
		}
	}
	return nil
}

// setContainerProcess makes c read the cgroup of a process of this machine.
func setContainerProcess(c collect.Collector, pid int) {
	collect.SetContainer(c, "/proc", fmt.Sprintf("/proc/%d", pid), "")
}

// setContainerThread makes c read the cgroup of the calling thread.
func setContainerThread(c collect.Collector) {
	collect.SetContainer(c, "/proc", "/proc/thread-self", "")
}

func TestContainerGolden(t *testing.T) {
	for name, files := range containerHosts() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, files)
				k := &sink{}
				s := collect.NewScheduler(collect.Config{}, []collect.Collector{containerOf(h)}, k, zerolog.New(os.Stderr))
				check(t, s.Take(h.ctx, 1, time.Second))
				compareGolden(t, filepath.Join("testdata", "container", name+".json"), k.ticks[0])
				if c := s.Stats().Collectors[0]; c.Errors > 0 {
					t.Errorf("error %q", c.LastError)
				}
			})
		})
	}
}

// TestContainerLimit checks, for each fixture host, which file enables the
// collector by itself.
func TestContainerLimit(t *testing.T) {
	want := map[string]string{
		"v2-host-root":     "",
		"v2-service":       "/sys/fs/cgroup/system.slice/agent.service/memory.max",
		"v2-nested":        "/sys/fs/cgroup/kubepods.slice/kubepods-pod1.slice/memory.max",
		"v2-namespace":     "/sys/fs/cgroup/cpu.max",
		"v2-no-limits":     "",
		"v2-outside":       "",
		"v1-docker":        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
		"v1-kubernetes":    "/sys/fs/cgroup/memory/kubepods/burstable/podabc/memory.limit_in_bytes",
		"v1-no-limits":     "",
		"hybrid-systemd":   "/sys/fs/cgroup/cpu,cpuacct/system.slice/agent.service/cpu.cfs_quota_us",
		"hybrid-no-memory": "",
	}
	hosts := containerHosts()
	for name, file := range want {
		h := newHost(t, hosts[name])
		if got := strings.TrimPrefix(collect.LimitedBy(containerOf(h)), h.dir); got != file {
			t.Errorf("%s is limited by %q, want %q", name, got, file)
		}
	}
	if len(want) != len(hosts) {
		t.Errorf("%d hosts, want %d", len(hosts), len(want))
	}
}

// collectOnce returns the points that one call adds, and its error.
func collectOnce(h *host, c collect.Collector) (map[string]float64, error) {
	s := metric.NewSnapshot(0)
	s.Reset(1)
	err := c.Collect(h.ctx, s)
	got := map[string]float64{}
	for _, p := range s.Points {
		got[seriesName(p.Series)] = p.Value.Float64()
	}
	return got, err
}

// TestContainerKeepsWhatItCanRead makes one file unreadable by replacing it
// with a directory.
func TestContainerKeepsWhatItCanRead(t *testing.T) {
	const group = "sys/fs/cgroup/system.slice/agent.service/"
	whole, err := collectOnce(newHostContainer(t, containerHosts()["v2-service"]))
	check(t, err)
	for file, lost := range map[string]int{
		"cpu.stat": 3, "memory.current": 2, "memory.stat": 1, "memory.events": 1, "io.stat": 4, "cpu.pressure": 2, "memory.max": 1, "cpu.max": 1,
	} {
		files := containerHosts()["v2-service"].with(tree{group + file: ""})
		files[group+file+"/in-the-way"] = "x"
		got, err := collectOnce(newHostContainer(t, files))
		if err == nil || !strings.Contains(err.Error(), file) || errors.Is(err, collect.ErrAbsent) {
			t.Errorf("%s: error %v", file, err)
		}
		if len(got) != len(whole)-lost {
			t.Errorf("%s: %d of %d points, want %d less: %v", file, len(got), len(whole), lost, got)
		}
	}
}

func newHostContainer(t *testing.T, files tree) (*host, collect.Collector) {
	t.Helper()
	h := newHost(t, files)
	return h, containerOf(h)
}

// TestContainerMoves moves the process to another group and removes the old
// one, as a service manager may do.
func TestContainerMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := containerHosts()["v2-service"]
		h, c := newHostContainer(t, files)
		_, err := collectOnce(h, c)
		check(t, err)
		moved := files.with(tree{
			"proc/self/cgroup": "0::/user.slice/new.scope\n",
			"sys/fs/cgroup/user.slice/new.scope/cgroup.procs":   "42\n",
			"sys/fs/cgroup/user.slice/new.scope/cgroup.events":  "populated 1\n",
			"sys/fs/cgroup/user.slice/new.scope/memory.current": "7\n",
		})
		for name := range files {
			if strings.Contains(name, "agent.service") {
				delete(moved, name)
			}
		}
		h.write(t, moved)
		got, err := collectOnce(h, c)
		if len(got) > 0 || err != nil {
			t.Errorf("of a group that is gone: %v, %v", got, err)
		}
		if got, err = collectOnce(h, c); got["container.memory.usage"] != 7 || err != nil {
			t.Errorf("a tick later: %v, %v, want the new group's 7 bytes", got, err)
		}
	})
}

// FuzzContainer feeds files that no kernel would write.
func FuzzContainer(f *testing.F) {
	for _, files := range containerHosts() {
		f.Add(files["proc/self/cgroup"], files["proc/self/mountinfo"], files["proc/self/stat"], files["sys/fs/cgroup/io.stat"])
	}
	f.Add("0::/\n", "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 c rw\n", "1 () S", "8:0 8:16 rbytes=18446744073709551615 wbytes=-1 =\n:\n1:2=3 rbytes")
	f.Fuzz(func(t *testing.T, groups, mounts, stat, io string) {
		h, c := newHostContainer(t, v2Group(containerBase(), "/", tree{
			"io.stat": io, "cpu.stat": io, "memory.stat": stat, "memory.max": groups, "cpu.max": stat, "cpu.pressure": io,
		}).with(tree{"proc/self/cgroup": groups + "\n", "proc/self/mountinfo": mounts + "\n", "proc/self/stat": stat + "\n"}))
		got, _ := collectOnce(h, c)
		for name, v := range got {
			if !(v >= 0) {
				t.Errorf("%s = %v", name, v)
			}
		}
	})
}

// TestContainerIsNotTheHost mounts a host elsewhere, and checks that no metric
// is sent by both kinds of collector.
func TestContainerIsNotTheHost(t *testing.T) {
	h, c := newHostContainer(t, containerHosts()["v2-service"])
	want, err := collectOnce(h, c)
	check(t, err)
	elsewhere := newHost(t, containerHosts()["v2-namespace"])
	h.ctx = elsewhere.ctx
	if got, err := collectOnce(h, containerOf(h)); err != nil || !maps.Equal(got, want) {
		t.Errorf("with HOST_PROC and HOST_SYS: %v, %v, want %v", got, err, want)
	}
	for _, b := range collect.Builtins() {
		for _, d := range b.Descs {
			if strings.HasPrefix(d.Name, "container.") != (b.Name == "container") {
				t.Errorf("collector %s sends %s", b.Name, d.Name)
			}
		}
	}
}
