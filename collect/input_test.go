package collect_test

import (
	"bytes"
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
)

// ticksOf runs some collectors over states of a host, five seconds apart.
func ticksOf(t *testing.T, cfg collect.Config, states []tree, only ...string) []tick {
	t.Helper()
	ticks, _ := ticksAndLog(t, cfg, states, only...)
	return ticks
}

func ticksAndLog(t *testing.T, cfg collect.Config, states []tree, only ...string) ([]tick, string) {
	t.Helper()
	var log bytes.Buffer
	k := &sink{}
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, states[0])
		k.after = func(n int) {
			if n < len(states) {
				h.write(t, states[n])
			}
		}
		s := collect.NewScheduler(cfg, h.collectors(cfg, only...), k, zerolog.New(&log))
		check(t, s.Take(h.ctx, len(states), 5*time.Second))
	})
	return k.ticks, log.String()
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

// TestUnreadableFiles makes one file at a time unreadable. Its reading must be
// missing and counted, and every other reading must be there. A file that this
// host does not have is logged once and not counted.
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
		for state, without := range map[string]tree{
			"missing": {c.file: ""}, "spoilt": {c.file: "-> " + filepath.Base(c.file)},
		} {
			ticks, log := ticksAndLog(t, cfg, slices.Repeat([]tree{whole.with(without)}, 3))
			if has(ticks[2], c.gone) {
				t.Errorf("%s %s: there is %s", state, c.file, c.gone)
			}
			if !has(ticks[2], c.stays) {
				t.Errorf("%s %s: there is no %s", state, c.file, c.stays)
			}
			want := map[string]int64{"missing": 0, "spoilt": 3}[state]
			if got := errorsOf(ticks[2], c.collector); got != want {
				t.Errorf("%s %s: collector %s counts %d errors in three ticks, want %d", state, c.file, c.collector, got, want)
			}
			if got := strings.Count(log, `"collector":"`+c.collector+`"`); got != 1 {
				t.Errorf("%s %s: the log speaks %d times of it, want once:\n%s", state, c.file, got, log)
			}
		}
	}
}

// TestBrokenFiles truncates every file at random places and inserts garbage.
// There must be no panic, which would show as a scheduler error, and no
// negative value.
func TestBrokenFiles(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	hosts := fixtureHosts()
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		states := hosts[name]
		for range 5 {
			broken := states[1].with(nil)
			for _, file := range slices.Sorted(maps.Keys(broken)) { // the same order in every run
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
	// The disk is missing only in diskstats, as at the moment of its removal.
	ticks = ticksOf(t, cfg, []tree{two, two.with(tree{"proc/diskstats": one["proc/diskstats"]})}, "disk")
	if has(ticks[1], "system.disk.io{device=vdb") || !has(ticks[1], "system.disk.io{device=vda") {
		t.Error("a disk that vanished is still sent, or took another one along")
	}
}

// TestDisksInADirectory reads disks with a "/" in their names, which sysfs
// writes as "!".
func TestDisksInADirectory(t *testing.T) {
	host := tree{
		"proc/diskstats":              diskLine(104, 0, "cciss/c0d0", 100) + diskLine(104, 1, "cciss/c0d0p1", 50) + diskLine(152, 0, "etherd/e1.0", 7) + diskLine(8, 0, "sda", 9) + diskLine(8, 16, "c0d0", 3),
		"sys/block/cciss!c0d0/device": "-> ../x", "sys/block/sda/device": "-> ../y", "sys/block/etherd!e1.0/size": "1\n",
	}
	for _, c := range []struct{ include, exclude, want string }{
		{"", "", "cciss/c0d0 sda"},
		{"", "^cciss/", "sda"},
		{"^cciss/c0d0", "", "cciss/c0d0 cciss/c0d0p1"},
		{"^etherd/", "", "etherd/e1.0"},
		{"!", "", ""},
	} {
		var cfg collect.Config
		if c.include != "" {
			cfg.Disk.Include = regexp.MustCompile(c.include)
		}
		if c.exclude != "" {
			cfg.Disk.Exclude = regexp.MustCompile(c.exclude)
		}
		k := ticksOf(t, cfg, []tree{host}, "disk")[0]
		var got []string
		for _, name := range []string{"c0d0", "cciss!c0d0", "cciss/c0d0", "cciss/c0d0p1", "etherd/e1.0", "sda"} {
			if has(k, "system.disk.io{device="+name+",") {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != c.want || errorsOf(k, "disk") != 0 {
			t.Errorf("include %q, exclude %q: sent %v, want %s", c.include, c.exclude, got, c.want)
		}
	}
}

// TestInterfacesOfTheHost checks the default set: interfaces that lead outside
// the host.
func TestInterfacesOfTheHost(t *testing.T) {
	for names, want := range map[string]bool{
		"eth0 ens5 enp0s31f6 eno1 bond0 bond0.100 vlan12 wlan0 wg0 tun0 br-ex br-int ovn-k8s-mp0 genev_sys_6081 vmbr0 fwd0 eni azure0 gke0 0a1b2c3d4e5f60": true,
		"eni3f5399ec799 eni0123456789a azv0123456789a gke1234567890a gkeffffffffffa 0a1b2c3d4e5f607 fedcba987654321":                                       false,
		"fwbr100i0 fwpr100p0 fwln100i0 fwbr100000i12 docker_gwbridge docker0 lo veth12ab34 cali0123456789a lxc1234 lxcbr0 tap100i0 cni0":                   false,
	} {
		for name := range strings.FieldsSeq(names) {
			k := ticksOf(t, collect.Config{}, []tree{{"proc/1/net/dev": netHeader + nic(name, 1, 2)}}, "network")[0]
			if got := has(k, "system.network.io{device="+name+","); got != want {
				t.Errorf("%s sent: %v, want %v", name, got, want)
			}
		}
	}
}

// TestNothingOfTheContainerForTheHost removes the files of process 1. The files
// of this process must not replace them, because they describe its container.
func TestNothingOfTheContainerForTheHost(t *testing.T) {
	own := "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
	host := vm()[0].with(tree{
		"proc/net/dev": netHeader + nic("eth9", 1, 2), "proc/net/snmp": snmp, "proc/net/sockstat": sockstat, "proc/self/mountinfo": own,
	})
	for state, spoil := range map[string]func(file string) string{
		"hidden":      func(string) string { return "" },
		"not allowed": func(file string) string { return "-> " + filepath.Base(file) },
	} {
		changes := tree{"proc/1/net/sockstat6": ""}
		for _, file := range []string{"proc/1/net/dev", "proc/1/net/snmp", "proc/1/net/sockstat", "proc/1/mountinfo"} {
			changes[file] = spoil(file)
		}
		k := ticksOf(t, collect.Config{Detailed: true}, []tree{host.with(changes)}, "network", "filesystem")[0]
		for series := range k {
			if strings.HasPrefix(series, "system.") {
				t.Errorf("%s: %s is sent as the host's", state, series)
			}
		}
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

// TestCountersThatFall feeds counters that step back a little, restart, and
// wrap.
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

// TestDeadMount makes one of three mounts hang. The others are read in every
// tick, only the first tick waits, and no second goroutine is used for the
// mount.
func TestDeadMount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, vm()[0])
		c := h.collectors(collect.Config{}, "filesystem")[0]
		release := make(chan bool)
		asked := map[string]chan bool{}
		for _, m := range []string{"/", "/boot/efi", "/mnt/with space"} {
			asked[filepath.Join(h.dir, "root", m)] = make(chan bool, 100)
		}
		collect.SetStatfs(c, func(path string) (collect.StatfsReply, error) {
			asked[path] <- true
			if strings.HasSuffix(path, "efi") {
				<-release
			}
			return h.statfs(path)
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
		if got := s.Stats().Collectors[0]; got.Timeouts != 30 || got.Errors != 30 || got.LastError != "" {
			t.Errorf("stats are %+v, want 30 ticks with an error, a timeout each", got)
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
		collect.SetStatfs(c, func(path string) (collect.StatfsReply, error) {
			if strings.HasSuffix(path, "efi") {
				return collect.StatfsReply{}, os.ErrNotExist
			}
			return h.statfs(path)
		})
		k := &sink{}
		s := collect.NewScheduler(collect.Config{}, []collect.Collector{c}, k, zerolog.Nop())
		check(t, s.Take(h.ctx, 1, time.Second))
		if has(k.ticks[0], "system.filesystem.usage{device=/dev/vda15") || !has(k.ticks[0], "system.filesystem.usage{device=/dev/vda1,") {
			t.Error("one mount that is gone costs another its reading, or is sent")
		}
		if got := k.ticks[0]["heka.agent.mounts.hidden"].value.Int64(); got != 1 || errorsOf(k.ticks[0], "filesystem") != 0 {
			t.Errorf("%d mounts are counted as hidden, want the one that is gone", got)
		}
	})
}
