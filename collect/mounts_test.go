package collect_test

import (
	"context"
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

// mountPoints returns "device mountpoint" of what a tick says about mounts.
func mountPoints(k tick) []string {
	var out []string
	re := regexp.MustCompile(`^system\.filesystem\.usage\{device=(.*),mountpoint=(.*),type=.*state=used`)
	for series := range k {
		if m := re.FindStringSubmatch(series); m != nil {
			out = append(out, m[1]+" "+m[2])
		}
	}
	slices.Sort(out)
	return out
}

func TestWhichMountsAreSent(t *testing.T) {
	for name, c := range map[string]struct{ mountinfo, want string }{
		"mounted over": {
			"30 1 8:1 / /data rw - ext4 /dev/sda1 rw\n31 30 8:2 / /data rw - ext4 /dev/sdb1 rw\n",
			"/dev/sdb1 /data",
		},
		"a container's hosts file": {
			"30 1 0:50 / / rw - overlay overlay rw\n31 30 8:1 /docker/x/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n",
			"",
		},
		"volume of a pod": {
			"30 1 8:1 / /plugins/globalmount rw - ext4 /dev/sda1 rw\n31 1 8:1 / /pods/x/mount rw - ext4 /dev/sda1 rw\n",
			"/dev/sda1 /plugins/globalmount",
		},
		"btrfs subvolumes": {
			"30 1 0:30 /@ / rw - btrfs /dev/sda1 rw,subvol=/@\n31 1 0:30 /@home /home rw - btrfs /dev/sda1 rw,subvol=/@home\n",
			"/dev/sda1 /,/dev/sda1 /home",
		},
		"logical volume": {
			"30 1 253:0 / / rw - xfs /dev/mapper/vg-root rw\n",
			"/dev/mapper/vg-root /",
		},
	} {
		files := tree{
			"proc/1/mountinfo": c.mountinfo, "proc/filesystems": "\text4\n",
			"dev/mapper/vg-root": "-> ../dm-0", "dev/dm-0": "block",
		}
		k := ticksOf(t, collect.Config{}, []tree{files}, "filesystem")[0]
		if got := strings.Join(mountPoints(k), ","); got != c.want {
			t.Errorf("%s: sent %q, want %q", name, got, c.want)
		}
	}
}

// TestListsAgeOut changes what nothing hints at: mounts in a file that cannot
// be polled, and a partition of a disk that was there before.
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

// TestAllMountsDead makes every mount hang: they are waited for together.
func TestAllMountsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, vm()[0])
		c := h.collectors(collect.Config{}, "filesystem")[0]
		release := make(chan bool)
		collect.SetStatfs(c, func(ctx context.Context, path string) (*disk.UsageStat, error) {
			<-release
			return h.statfs(ctx, path)
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
