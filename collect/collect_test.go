package collect_test

import (
	"errors"
	"regexp"
	"slices"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

func TestFilter(t *testing.T) {
	a := regexp.MustCompile(`^a`)
	for _, c := range []struct {
		filter    collect.Filter
		name      string
		inDefault bool
		want      bool
	}{
		{collect.Filter{}, "a", true, true},
		{collect.Filter{}, "a", false, false},
		{collect.Filter{Include: a}, "a", false, true},
		{collect.Filter{Include: a}, "b", true, false},
		{collect.Filter{Exclude: a}, "a", true, false},
		{collect.Filter{Exclude: a}, "b", true, true},
		{collect.Filter{Exclude: a}, "b", false, false},
		{collect.Filter{Include: a, Exclude: a}, "a", true, false},
	} {
		if got := c.filter.Match(c.name, c.inDefault); got != c.want {
			t.Errorf("%v.Match(%q, %v) = %v, want %v", c.filter, c.name, c.inDefault, got, c.want)
		}
	}
}

func TestDefaultPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		out, in []string
	}{
		{
			collect.DefaultDiskExclude,
			[]string{"sr0", "fd0", "mmcblk0boot0", "mmcblk0rpmb"},
			[]string{"sda", "sdaa", "nvme0n1", "vda", "xvda", "mmcblk0", "dasda"},
		},
		{
			collect.DefaultNetworkExclude,
			[]string{"lo", "veth1a2b3c", "docker0", "br-0123456789ab", "cali0a", "virbr0", "virbr0-nic"},
			[]string{"eth0", "ens5", "enp3s0f1np1", "bond0", "eth0.100", "wlan0", "wg0", "br0", "tun0", "loop1"},
		},
		{
			collect.DefaultFilesystemTypesExclude,
			[]string{"proc", "sysfs", "tmpfs", "devtmpfs", "overlay", "squashfs", "nfs4", "nfs", "cifs", "fuse.sshfs", "cgroup2"},
			[]string{"ext4", "xfs", "btrfs", "zfs", "vfat", "fuseblk", "ntfs3", "f2fs", "bcachefs", "ubifs"},
		},
	} {
		re := regexp.MustCompile(c.pattern)
		for _, name := range c.out {
			if !re.MatchString(name) {
				t.Errorf("%q is not matched by %s", name, c.pattern)
			}
		}
		for _, name := range c.in {
			if re.MatchString(name) {
				t.Errorf("%q is matched by %s", name, c.pattern)
			}
		}
	}
}

// TestDescs checks that every point of the fixture hosts matches its Desc, and
// that every Desc is documented.
func TestDescs(t *testing.T) {
	names := map[string]bool{}
	for _, d := range collect.SchedulerDescs() {
		checkDesc(t, d, names)
	}
	for _, b := range collect.Builtins() {
		if c := b.New(collect.Config{}); c.Name() != b.Name {
			t.Errorf("collector %q calls itself %q", b.Name, c.Name())
		}
		if b.Cost() == "" {
			t.Errorf("collector %q does not say what it takes: go test -bench Collector/%s", b.Name, b.Name)
		}
		for _, d := range b.Descs {
			checkDesc(t, d, names)
		}
	}
	for host, states := range fixtureHosts() {
		for _, detailed := range []bool{false, true} {
			cfg := collect.Config{Detailed: detailed, PerCore: detailed}
			h := newHost(t, states[0])
			list := h.collectors(cfg)
			s := metric.NewSnapshot(0)
			for i, b := range collect.Builtins() {
				s.Reset(1)
				if err := list[i].Collect(h.ctx, s); !errors.Is(err, collect.ErrAbsent) {
					check(t, err)
				}
				for _, p := range s.Points {
					checkPoint(t, host, b, p, detailed)
				}
			}
		}
	}
}

func checkDesc(t *testing.T, d *metric.Desc, names map[string]bool) {
	t.Helper()
	if d.Name == "" || d.Unit == "" || d.Help == "" || d.Source == "" {
		t.Errorf("incomplete: %+v", *d)
	}
	if names[d.Name] {
		t.Errorf("%s is described twice", d.Name)
	}
	names[d.Name] = true
}

func checkPoint(t *testing.T, host string, b collect.Builtin, p metric.Point, detailed bool) {
	t.Helper()
	if !slices.Contains(b.Descs, p.Series.Desc) {
		t.Errorf("%s: %s is no metric of collector %s", host, p.Series.Name, b.Name)
	}
	if p.Series.Desc.Detailed && !detailed {
		t.Errorf("%s: %s is sent in basic", host, p.Series.Name)
	}
	for _, l := range p.Series.Labels {
		if !slices.Contains(p.Series.Desc.Labels, l.Key) {
			t.Errorf("%s: %s has the label %s", host, p.Series.Name, l.Key)
		}
	}
	if v := p.Value.Float64(); v < 0 || p.Value.IsNull() {
		t.Errorf("%s: %s is %v", host, p.Series.Name, v)
	}
}

func TestCountCPUList(t *testing.T) {
	for list, want := range map[string]int{"0\n": 1, "0-3\n": 4, "0-3,8,10-11\n": 7, "0-127": 128} {
		if got, err := collect.CountCPUList(list); got != want || err != nil {
			t.Errorf("countCPUList(%q) = %d, %v, want %d", list, got, err, want)
		}
	}
	for _, list := range []string{"", "\n", "3-1", "a", "0-", "0,,1", "-1", "0-99999999"} {
		if got, err := collect.CountCPUList(list); err == nil {
			t.Errorf("countCPUList(%q) = %d, want an error", list, got)
		}
	}
}
