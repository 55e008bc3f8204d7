package collect_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/rs/zerolog"
	"github.com/shirou/gopsutil/v4/disk"
)

// ticksOf runs some collectors over states of a host, five seconds apart.
func ticksOf(t *testing.T, cfg collect.Config, states []tree, only ...string) []tick {
	t.Helper()
	k := &sink{}
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, states[0])
		k.after = func(n int) {
			if n < len(states) {
				h.write(t, states[n])
			}
		}
		s := collect.NewScheduler(cfg, h.collectors(cfg, only...), k, zerolog.Nop())
		check(t, s.Take(h.ctx, len(states), 5*time.Second))
	})
	return k.ticks
}

func errorsOf(k tick, collector string) int64 {
	return k["heka.agent.collect.errors{collector="+collector+"}"].value.Int64()
}

func has(k tick, prefix string) bool {
	for name := range k {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// TestUnreadableFiles takes away one file at a time: its reading is missing
// and counted, every other one is there.
func TestUnreadableFiles(t *testing.T) {
	whole := vm()[0]
	cfg := collect.Config{Detailed: true}
	for _, c := range []struct {
		file, collector, gone, stays string
	}{
		{"proc/stat", "cpu", "system.cpu.time", "system.uptime"},
		{"proc/meminfo", "memory", "system.memory.usage", "system.paging.usage"},
		{"proc/vmstat", "paging", "system.paging.faults", "system.paging.usage"},
		{"proc/diskstats", "disk", "system.disk.io", "system.filesystem.usage"},
		{"proc/1/mountinfo", "filesystem", "system.filesystem.usage", "system.disk.io"},
		{"proc/1/net/snmp", "network", "system.network.connections{protocol=tcp,state=ESTABLISHED", "system.network.io"},
		{"proc/uptime", "system", "system.uptime", "system.processes.created"},
		{"sys/devices/system/cpu/online", "cpu", "system.cpu.logical.count", "system.cpu.time"},
	} {
		k := ticksOf(t, cfg, []tree{whole.with(tree{c.file: ""})})[0]
		if has(k, c.gone) {
			t.Errorf("without %s there is %s", c.file, c.gone)
		}
		if !has(k, c.stays) {
			t.Errorf("without %s there is no %s", c.file, c.stays)
		}
		if errorsOf(k, c.collector) == 0 {
			t.Errorf("without %s collector %s counts no error", c.file, c.collector)
		}
	}
}

// TestBrokenFiles cuts every file at random places and puts rubbish in: no
// panic, and no value below zero. Panics would show as errors of the scheduler.
func TestBrokenFiles(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	hosts := fixtureHosts()
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		states := hosts[name]
		for range 5 {
			broken := states[1].with(nil)
			for _, file := range slices.Sorted(maps.Keys(broken)) { // the same in every run
				text := broken[file]
				if strings.HasPrefix(text, "-> ") {
					continue
				}
				switch at := rnd.IntN(len(text) + 1); rnd.IntN(4) {
				case 0:
					broken[file] = text[:at]
				case 1:
					broken[file] = text[:at] + "99999999999999999999 NaN \x00\n" + text[at:]
				}
			}
			ticks := ticksOf(t, collect.Config{Detailed: true, PerCore: true}, []tree{states[0], broken, states[1]})
			for _, k := range ticks {
				for series, p := range k {
					if p.value.Float64() < 0 {
						t.Errorf("%s: %s = %v", name, series, p.value.Float64())
					}
				}
			}
			if _, ok := ticks[2]["system.uptime"]; !ok {
				t.Errorf("%s: nothing after the files are whole again", name)
			}
		}
	}
}

func TestDisksComeAndGo(t *testing.T) {
	one := vm()[0].with(tree{"sys/block/vdb/device/vendor": ""})
	one["proc/diskstats"] = diskLine(254, 0, "vda", 1000)
	two := one.with(tree{"sys/block/vdb/device/vendor": "0x1af4\n"})
	two["proc/diskstats"] += diskLine(254, 16, "vdb", 5)
	cfg := collect.Config{}
	ticks := ticksOf(t, cfg, []tree{one, two, one}, "disk")
	for i, want := range []bool{false, true, false} {
		if got := has(ticks[i], "system.disk.io{device=vdb"); got != want {
			t.Errorf("tick %d has the disk: %v, want %v", i, got, want)
		}
		if !has(ticks[i], "system.disk.io{device=vda") || errorsOf(ticks[i], "disk") != 0 {
			t.Errorf("tick %d lost the disk that stayed, or counts an error", i)
		}
	}
	// Gone from diskstats alone, as in the moment of its removal.
	ticks = ticksOf(t, cfg, []tree{two, two.with(tree{"proc/diskstats": one["proc/diskstats"]})}, "disk")
	if has(ticks[1], "system.disk.io{device=vdb") || !has(ticks[1], "system.disk.io{device=vda") {
		t.Error("a disk that vanished is still sent, or took another one along")
	}
}

func TestPatterns(t *testing.T) {
	cfg := collect.Config{
		Disk:                   collect.Filter{Include: regexp.MustCompile(`^(vda\d|sr0)$`)},
		Network:                collect.Filter{Include: regexp.MustCompile(`^(lo|eth0)$`), Exclude: regexp.MustCompile(`^eth`)},
		Filesystem:             collect.Filter{Include: regexp.MustCompile(`^/(srv|mnt)/`)},
		FilesystemTypesExclude: regexp.MustCompile(`^overlay$`),
	}
	k := ticksOf(t, cfg, []tree{vm()[0]}, "disk", "network", "filesystem")[0]
	for prefix, want := range map[string]bool{
		"system.disk.io{device=vda1,": true, "system.disk.io{device=vda,": false, "system.disk.io{device=sr0,": true,
		"system.network.io{device=lo,": true, "system.network.io{device=eth0,": false,
		"system.filesystem.usage{device=/dev/vda1,mountpoint=/srv/data,": true,
		"system.filesystem.usage{device=/dev/vda1,mountpoint=/,":         false,
		"system.filesystem.usage{device=server:/export,":                 true,
		"system.filesystem.usage{device=/dev/vdb,mountpoint=/mnt/again,": true,
	} {
		if got := has(k, prefix); got != want {
			t.Errorf("%s sent: %v, want %v", prefix, got, want)
		}
	}
}

func TestMountsInAContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil)
		inside := strings.ReplaceAll("27 1 8:1 / ROOT rw - ext4 /dev/sda1 rw\n28 27 8:2 / ROOT/home rw - ext4 /dev/sda2 rw\n29 27 0:9 / /etc/hosts rw - tmpfs x rw\n", "ROOT", h.dir+"/root")
		h.write(t, tree{"proc/1/mountinfo": inside, "proc/filesystems": "\text4\n"})
		k := &sink{}
		s := collect.NewScheduler(collect.Config{}, h.collectors(collect.Config{}, "filesystem"), k, zerolog.Nop())
		check(t, s.Take(h.ctx, 1, time.Second))
		for _, mountpoint := range []string{"mountpoint=/,", "mountpoint=/home,"} {
			found := false
			for name := range k.ticks[0] {
				found = found || strings.Contains(name, mountpoint)
			}
			if !found {
				t.Errorf("no %s among %v", mountpoint, k.ticks[0])
			}
		}
	})
}

// TestCountersThatFall feeds a counter that steps back a little, one that
// starts anew and one that wraps.
func TestCountersThatFall(t *testing.T) {
	at := func(received uint64) tree {
		return tree{"proc/1/net/dev": netHeader + nic("eth0", received, 7)}
	}
	ticks := ticksOf(t, collect.Config{}, []tree{at(1000), at(990), at(1010), at(4294967000), at(300), at(400)}, "network")
	const series = "system.network.io{device=eth0,direction=receive}"
	first := ticks[0][series].timeMS
	for i, want := range []point{
		{startMS: 0},
		{startMS: 0},
		{startMS: 0},
		{startMS: 0},
		{startMS: first + 15000},
		{startMS: first + 15000},
	} {
		if got := ticks[i][series]; got.startMS != want.startMS {
			t.Errorf("tick %d starts at %d, want %d", i, got.startMS, want.startMS)
		}
	}
	for i, want := range []int64{1000, 1000, 1010, 4294967000, 300, 400} {
		if got := ticks[i][series].value.Int64(); got != want {
			t.Errorf("tick %d is %d, want %d", i, got, want)
		}
	}
}

// TestDeadMount lets one of three mounts hang: the others are read in every
// tick, only the first waits, and no second goroutine is spent on it.
func TestDeadMount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, vm()[0])
		c := h.collectors(collect.Config{}, "filesystem")[0]
		release := make(chan bool)
		asked := map[string]chan bool{}
		for _, m := range []string{"/", "/boot/efi", "/mnt/with space"} {
			asked[filepath.Join(h.dir, "root", m)] = make(chan bool, 100)
		}
		collect.SetStatfs(c, func(ctx context.Context, path string) (*disk.UsageStat, error) {
			asked[path] <- true
			if strings.HasSuffix(path, "efi") {
				<-release
			}
			return h.statfs(ctx, path)
		})
		k := &sink{}
		var took []time.Duration
		began := time.Now()
		k.after = func(n int) {
			took = append(took, time.Since(began)-time.Duration(n-1)*5*time.Second)
			if n == 30 {
				close(release)
				synctest.Wait()
			}
		}
		s := collect.NewScheduler(collect.Config{Timeout: 2 * time.Second}, []collect.Collector{c}, k, zerolog.Nop())
		check(t, s.Take(h.ctx, 32, 5*time.Second))

		if took[0] <= 0 || took[0] > 2*time.Second {
			t.Errorf("the first tick took %v, want at most the timeout", took[0])
		}
		for i, d := range took[1:] {
			if d != 0 {
				t.Errorf("tick %d took %v, want no wait for a mount known to be dead", i+1, d)
			}
		}
		for i, tick := range k.ticks {
			if !has(tick, "system.filesystem.usage{device=/dev/vda1,mountpoint=/,") || !has(tick, "system.filesystem.usage{device=/dev/vdb") {
				t.Errorf("tick %d lacks a mount that answers", i)
			}
			if got := has(tick, "system.filesystem.usage{device=/dev/vda15"); got != (i >= 30) {
				t.Errorf("tick %d has the dead mount: %v", i, got)
			}
		}
		if got := len(asked[filepath.Join(h.dir, "root/boot/efi")]); got != 3 {
			t.Errorf("the dead mount was asked %d times, want once and, alive again, twice", got)
		}
		if got := s.Stats().Collectors[0]; got.Timeouts != 30 || got.Errors != 0 || got.LastError != "" {
			t.Errorf("stats are %+v, want 30 timeouts and no error", got)
		}
		if got := collect.StuckMounts(c); got != 0 {
			t.Errorf("%d mounts still waited for", got)
		}
	})
}

func TestVanishedMount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, vm()[0])
		c := h.collectors(collect.Config{}, "filesystem")[0]
		collect.SetStatfs(c, func(ctx context.Context, path string) (*disk.UsageStat, error) {
			if strings.HasSuffix(path, "efi") {
				return nil, os.ErrNotExist
			}
			return h.statfs(ctx, path)
		})
		k := &sink{}
		s := collect.NewScheduler(collect.Config{}, []collect.Collector{c}, k, zerolog.Nop())
		check(t, s.Take(h.ctx, 1, time.Second))
		if has(k.ticks[0], "system.filesystem.usage{device=/dev/vda15") || !has(k.ticks[0], "system.filesystem.usage{device=/dev/vda1,") {
			t.Error("one mount that is gone costs another its reading, or is sent")
		}
		if errorsOf(k.ticks[0], "filesystem") != 1 {
			t.Error("the mount that is gone is not counted")
		}
	})
}
