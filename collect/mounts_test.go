package collect_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// mountPoints returns "device mountpoint" for the mounts of a tick.
func mountPoints(k tick) []string {
	var out []string
	re := regexp.MustCompile(`(?s)^system\.filesystem\.usage\{device=(.*),mountpoint=(.*),type=.*state=used`)
	for series := range k {
		if m := re.FindStringSubmatch(series); m != nil {
			out = append(out, m[1]+" "+m[2])
		}
	}
	slices.Sort(out)
	return out
}

func TestWhichMountsAreSent(t *testing.T) {
	const hosts = "31 30 8:1 /docker/x/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n"
	for name, c := range map[string]struct{ mountinfo, want string }{
		"mounted over": {
			"30 1 8:1 / /data rw - ext4 /dev/sda1 rw\n31 30 8:2 / /data rw - ext4 /dev/sdb1 rw\n",
			"/dev/sdb1 /data",
		},
		"mounted over what others are mounted in": {
			"29 1 8:3 / / rw - ext4 /dev/sdc1 rw\n30 29 8:1 / /data/a rw - ext4 /dev/sda1 rw\n31 29 8:2 / /data rw - ext4 /dev/sdb1 rw\n",
			"/dev/sdb1 /data,/dev/sdc1 /",
		},
		"a container's hosts file": {"30 1 0:50 / / rw - overlay overlay rw\n" + hosts, ""},
		"root of LXC": {
			"30 1 8:1 /var/lib/lxc/c1/rootfs / rw - ext4 /dev/sda1 rw\n" + hosts + "32 30 8:17 /data /srv rw - ext4 /dev/sdb1 rw\n",
			"/dev/sda1 /",
		},
		"root of nspawn on btrfs": {
			"30 1 0:30 /@/machines/c1 / rw - btrfs /dev/sda2 rw,subvol=/@\n31 30 0:30 /@/machines/c1/x /x rw - btrfs /dev/sda2 rw,subvol=/@\n",
			"/dev/sda2 /",
		},
		"OSTree": {
			"30 1 8:4 /ostree/deploy/x/deploy/1 / rw - xfs /dev/sda4 rw\n31 30 8:4 / /sysroot rw - xfs /dev/sda4 rw\n32 30 8:4 /ostree/deploy/x/var /var rw - xfs /dev/sda4 rw\n",
			"/dev/sda4 /",
		},
		"volume of a pod": {
			"30 1 8:1 / /plugins/globalmount rw - ext4 /dev/sda1 rw\n31 1 8:1 / /pods/x/mount rw - ext4 /dev/sda1 rw\n",
			"/dev/sda1 /plugins/globalmount",
		},
		"btrfs subvolumes": {
			"30 1 0:30 /@ / rw - btrfs /dev/sda1 rw,subvol=/@\n31 1 0:30 /@home /home rw - btrfs /dev/sda1 rw,subvolid=5,subvol=/@home\n" +
				"32 1 0:30 /@home /mnt rw - btrfs /dev/sda1 rw,subvol=/@home\n33 1 0:30 /@home/a /mnt/a rw - btrfs /dev/sda1 rw,subvol=/@home\n",
			"/dev/sda1 /,/dev/sda1 /home",
		},
		"one name, three file systems": {
			"30 1 0:30 / /a rw - ubifs ubi rw\n31 1 0:31 / /b rw - ubifs ubi rw\n32 1 0:32 / /c rw - ubifs ubi rw\n33 1 0:31 /d /d rw - ubifs ubi rw\n",
			"ubi /a,ubi /b,ubi /c",
		},
		"names are bytes": {
			"30 1 8:1 / /caf\xe9 rw - ext4 /dev/mapper/\xff rw\n" + `31 1 8:2 / /a"b\134\040c rw - ext4 /dev/disk\040"x" rw` + "\n" + `32 1 8:3 / /x\012y rw - ext4 /dev/sdc rw` + "\n",
			"/dev/disk \"x\" /a\"b\\ c,/dev/mapper/\uFFFD /caf\uFFFD,/dev/sdc /x\ny",
		},
		"a bind mount of what was deleted": {"30 1 8:1 /x//deleted /y rw - ext4 /dev/sda1 rw\n", ""},
		"logical volume": {
			"30 1 253:0 / / rw - xfs /dev/mapper/vg-root rw\n",
			"/dev/mapper/vg-root /",
		},
		"root without a name of its own": {
			"30 1 104:2 / / rw - ext4 /dev/root rw\n31 1 104:3 / /home rw - ext4 /dev/root rw\n",
			"/dev/cciss/c0d0p2 /,/dev/root /home",
		},
	} {
		files := tree{
			"proc/1/mountinfo":   c.mountinfo,
			"dev/mapper/vg-root": "-> ../dm-0", "dev/dm-0": "block",
			"sys/dev/block/104:2": "-> ../../devices/pci/block/cciss!c0d0/cciss!c0d0p2",
		}
		k := ticksOf(t, collect.Config{}, []tree{files}, "filesystem")[0]
		if got := strings.Join(mountPoints(k), ","); got != c.want {
			t.Errorf("%s: sent %q, want %q", name, got, c.want)
		}
		if n := k["heka.agent.mounts.hidden"].value.Int64(); n != 0 {
			t.Errorf("%s: %d mounts are hidden", name, n)
		}
	}
}

// TestMode expects ro for every reason why a mount cannot be written.
func TestMode(t *testing.T) {
	for options, want := range map[string]string{
		"rw,noatime - ext4 D rw,discard": "rw", "ro - ext4 D rw": "ro", "rw - ext4 D ro,discard": "ro", "rw - ext4 D rw,errors=remount-ro": "rw",
		"rw - ext4 D rw,emergency_ro,errors=remount-ro": "ro", "rw - ext4 D rw,emergency_ro": "ro", "rw - ext4 D": "rw",
		"noatime,ro - ext4 D rw": "ro", "relatime,nosymfollow - ext4 D seclabel,ro": "ro", "rw - ext4 ro rw": "rw",
	} {
		k := ticksOf(t, collect.Config{}, []tree{{"proc/1/mountinfo": "30 1 8:1 / /data " + options + "\n"}}, "filesystem")[0]
		if !has(k, "system.filesystem.usage{device=") {
			t.Errorf("%s: nothing is sent", options)
		}
		for series := range k {
			if strings.HasPrefix(series, "system.filesystem.usage") && !strings.Contains(series, ",mode="+want+",") {
				t.Errorf("%s: %s, want the mode %s", options, series, want)
			}
		}
	}
}

// TestFiguresOfAnotherFilesystem uses paths that lead to another file system.
// Its values must not be sent, and the log must say so once.
func TestFiguresOfAnotherFilesystem(t *testing.T) {
	const own, other = 2049, 99 // 8:1 is own
	reply := func(dev uint64, btrfs bool) func(string) (collect.StatfsReply, error) {
		return func(string) (collect.StatfsReply, error) {
			return collect.NewStatfsReply(dev, btrfs, &unix.Statfs_t{Frsize: 1, Blocks: 10, Bfree: 5, Bavail: 5}), nil
		}
	}
	fails := func(err error) func(string) (collect.StatfsReply, error) {
		return func(string) (collect.StatfsReply, error) { return collect.StatfsReply{}, err }
	}
	for name, c := range map[string]struct {
		fstype               string
		here, first          func(string) (collect.StatfsReply, error) // at the path, and through process 1
		sent, hidden, errors int64
	}{
		"own":                        {"ext4", reply(own, false), nil, 1, 0, 0},
		"another":                    {"ext4", reply(other, false), fails(unix.EACCES), 0, 1, 0},
		"another, twice":             {"ext4", reply(other, false), reply(other, false), 0, 1, 0},
		"another, own by process 1":  {"ext4", reply(other, false), reply(own, false), 1, 0, 0},
		"nothing":                    {"ext4", fails(unix.ENOENT), fails(unix.ENOENT), 0, 1, 0},
		"a file in its path":         {"ext4", fails(unix.ENOTDIR), fails(unix.EIO), 0, 1, 0},
		"not allowed":                {"ext4", fails(unix.EACCES), fails(unix.EPERM), 0, 1, 0},
		"not allowed, by 1":          {"ext4", fails(unix.EACCES), reply(own, false), 1, 0, 0},
		"broken":                     {"ext4", fails(unix.EIO), reply(own, false), 0, 0, 3},
		"stale":                      {"ext4", fails(unix.ESTALE), reply(own, false), 0, 0, 3},
		"a subvolume's number":       {"btrfs", reply(other, true), nil, 1, 0, 0},
		"not btrfs":                  {"btrfs", reply(other, false), fails(unix.ENOENT), 0, 1, 0},
		"btrfs, where ext4 ought be": {"ext4", reply(other, true), fails(unix.ENOENT), 0, 1, 0},
	} {
		var log bytes.Buffer
		k := &sink{}
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t, tree{"proc/1/mountinfo": "30 1 8:1 / /data rw - " + c.fstype + " /dev/sda1 rw\n"})
			list := h.collectors(collect.Config{}, "filesystem")
			collect.SetStatfs(list[0], func(path string) (collect.StatfsReply, error) {
				switch path {
				case h.dir + "/root/data":
					return c.here(path)
				case h.dir + "/proc/1/root/data":
					return c.first(path)
				}
				t.Errorf("%s is asked for", path)
				return collect.StatfsReply{}, unix.EIO
			})
			check(t, collect.NewScheduler(collect.Config{}, list, k, zerolog.New(&log)).Take(h.ctx, 3, 5*time.Second))
		})
		end := k.ticks[2]
		if got := int64(len(mountPoints(end))); got != c.sent {
			t.Errorf("%s: %d mounts are sent, want %d", name, got, c.sent)
		}
		if got := end["heka.agent.mounts.hidden"].value.Int64(); got != c.hidden {
			t.Errorf("%s: %d mounts are hidden, want %d", name, got, c.hidden)
		}
		if got := errorsOf(end, "filesystem"); got != c.errors {
			t.Errorf("%s: %d errors, want %d", name, got, c.errors)
		}
		if got, want := strings.Count(log.String(), "/data"), int(min(1, c.hidden+c.errors)); got != want {
			t.Errorf("%s: the log names the mount %d times, want %d:\n%s", name, got, want, &log)
		}
	}
}

// TestSpaceIsCountedInFragments uses the replies of statfs(2) for a few file
// systems.
func TestSpaceIsCountedInFragments(t *testing.T) {
	for name, c := range map[string]struct {
		fs                   unix.Statfs_t
		used, free, reserved int64 // -1: not sent
	}{
		"ext4":           {unix.Statfs_t{Bsize: 4096, Frsize: 4096, Blocks: 1000, Bfree: 600, Bavail: 550}, 400 * 4096, 550 * 4096, 50 * 4096},
		"fuseblk":        {unix.Statfs_t{Bsize: 131072, Frsize: 512, Blocks: 2147483648, Bfree: 1457905063, Bavail: 1457905063}, 689578585 * 512, 1457905063 * 512, 0},
		"no fragments":   {unix.Statfs_t{Bsize: 1024, Blocks: 10, Bfree: 5, Bavail: 5}, 5 * 1024, 5 * 1024, 0},
		"full":           {unix.Statfs_t{Bsize: 1, Frsize: 1, Blocks: 10}, 10, 0, 0},
		"no blocks":      {unix.Statfs_t{Bsize: 4096, Frsize: 4096}, -1, -1, -1},
		"no unit":        {unix.Statfs_t{Blocks: 10, Bfree: 5, Bavail: 5}, -1, -1, -1},
		"more than all":  {unix.Statfs_t{Frsize: 1, Blocks: 10, Bfree: 11, Bavail: 1}, -1, -1, -1},
		"below zero":     {unix.Statfs_t{Frsize: 1, Blocks: 10, Bfree: 5, Bavail: 1<<64 - 3}, -1, -1, -1},
		"more than 2^63": {unix.Statfs_t{Frsize: 1 << 20, Blocks: 1 << 60, Bfree: 1, Bavail: 1}, -1, -1, -1},
	} {
		k := &sink{}
		h := newHost(t, tree{"proc/1/mountinfo": "30 1 8:1 / /data rw - fuseblk /dev/sda1 rw\n"})
		list := h.collectors(collect.Config{}, "filesystem")
		collect.SetStatfs(list[0], func(string) (collect.StatfsReply, error) {
			return collect.NewStatfsReply(unix.Mkdev(8, 1), false, &c.fs), nil
		})
		check(t, collect.NewScheduler(collect.Config{}, list, k, zerolog.Nop()).Take(h.ctx, 1, time.Second))
		for state, want := range map[string]int64{"used": c.used, "free": c.free, "reserved": c.reserved} {
			p, sent := k.ticks[0]["system.filesystem.usage{device=/dev/sda1,mountpoint=/data,type=fuseblk,mode=rw,state="+state+"}"]
			if got := p.value.Int64(); sent != (want >= 0) || sent && got != want {
				t.Errorf("%s: %s = %d (sent: %v), want %d", name, state, got, sent, want)
			}
		}
	}
}

// TestListsAgeOut makes changes that nothing indicates: a mount in a file that
// cannot be polled, and a partition of an existing disk.
func TestListsAgeOut(t *testing.T) {
	cfg := collect.Config{Disk: collect.Filter{Include: regexp.MustCompile(`^vd`)}}
	before := vm()[0]
	after := before.with(nil)
	after["proc/1/mountinfo"] += "36 27 254:17 / /mnt/new rw - ext4 /dev/vdb1 rw\n"
	after["proc/diskstats"] += diskLine(254, 17, "vdb1", 9)
	states := append([]tree{before}, slices.Repeat([]tree{after}, 13)...)
	for i, k := range ticksOf(t, cfg, states, "disk", "filesystem") {
		want := i >= 12 // a minute
		if got := slices.Contains(mountPoints(k), "/dev/vdb1 /mnt/new"); got != want {
			t.Errorf("tick %d has the new mount: %v, want %v", i, got, want)
		}
		if got := has(k, "system.disk.io{device=vdb1,"); got != want {
			t.Errorf("tick %d has the new partition: %v, want %v", i, got, want)
		}
	}
}

// TestAllMountsDead makes every mount hang. The tick must wait for all of them
// at once.
func TestAllMountsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, vm()[0])
		c := h.collectors(collect.Config{}, "filesystem")[0]
		release := make(chan bool)
		collect.SetStatfs(c, func(path string) (collect.StatfsReply, error) {
			<-release
			return h.statfs(path)
		})
		k := &sink{}
		s := collect.NewScheduler(collect.Config{Timeout: 2 * time.Second}, []collect.Collector{c}, k, zerolog.Nop())
		began := time.Now()
		check(t, s.Take(h.ctx, 1, time.Second))
		if took := time.Since(began); took <= 0 || took > 2*time.Second {
			t.Errorf("the tick took %v, want at most the timeout for all of them", took)
		}
		if got := collect.StuckMounts(c); got != 3 {
			t.Errorf("%d mounts are waited for, want 3", got)
		}
		if got := s.Stats().Collectors[0].LastError; strings.Count(got, "statfs") != 3 {
			t.Errorf("error is %q, want one line for each mount", got)
		}
		close(release)
		synctest.Wait()
	})
}
