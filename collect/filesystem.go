package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/shirou/gopsutil/v4/disk"
)

// DefaultFilesystemTypesExclude matches file system types that hold no space of
// this host's own: the kernel's pseudo file systems, those in memory, read-only
// images, layers over others, and those across a network, which every client
// would report again and whose server would be asked at every tick. To have one
// of them reported, set a pattern without it; a file system without blocks is
// left out in any case.
const DefaultFilesystemTypesExclude = `^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|fusectl|hugetlbfs|mqueue|nsfs|pipefs|proc|pstore|rpc_pipefs|securityfs|selinuxfs|smackfs|sockfs|sysfs|tracefs|` +
	`tmpfs|ramfs|rootfs|` +
	`iso9660|udf|squashfs|erofs|cramfs|romfs|` +
	`overlay|aufs|ecryptfs|` +
	`nfs\d?|nfsd|cifs|smb\d?|smbfs|ceph|glusterfs|lustre|afs|9p|virtiofs|ncpfs|coda|fuse\..*)$`

var (
	filesystemUsage = metric.Desc{
		Name: "system.filesystem.usage", Unit: "By", Kind: metric.UpDown,
		Labels: []string{"device", "mountpoint", "type", "mode", "state"},
		Help:   "Space by state; reserved is free to the superuser alone. The states add up to the file system's size.",
		Source: "statfs(2)",
	}
	filesystemInodes = metric.Desc{
		Name: "system.filesystem.inodes.usage", Unit: "{inodes}", Kind: metric.UpDown, Detailed: true,
		Labels: []string{"device", "mountpoint", "type", "mode", "state"},
		Help:   "Inodes by state. File systems that make inodes as needed (btrfs) report none.",
		Source: "statfs(2)",
	}
	mountsStuck = metric.Desc{
		Name: "heka.agent.mounts.stuck", Unit: "{mounts}", Kind: metric.UpDown,
		Help: "Mounts that do not answer; the log names them. Each holds one of the agent's goroutines until it answers, " +
			"and is not asked again before.",
		Source: "the collector",
	}
)

func filesystemDescs() []*metric.Desc {
	return []*metric.Desc{&filesystemUsage, &filesystemInodes, &mountsStuck}
}

type filesystemCollector struct {
	detailed bool
	omitSelf bool
	mounts   mountList
	stats    statfser
}

func newFilesystem(cfg Config) Collector {
	return &filesystemCollector{
		detailed: cfg.Detailed,
		omitSelf: cfg.OmitSelf,
		mounts:   newMountList(cfg),
		stats:    statfser{statfs: disk.UsageWithContext, stuck: make(map[string]<-chan statfsAnswer)},
	}
}

// Name implements Collector.
func (*filesystemCollector) Name() string { return "filesystem" }

// Collect asks every mount and leaves out those that do not answer in time.
func (c *filesystemCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	mounts, err := c.mounts.current(ctx)
	errs := []error{err}
	for i, result := range c.stats.all(ctx, mounts) {
		if result.err != nil {
			errs = append(errs, fmt.Errorf("statfs %s: %w", mounts[i].Mountpoint, result.err))
			continue
		}
		c.emit(s, &mounts[i], result.usage)
	}
	if !c.omitSelf {
		s.Int(&mountsStuck, int64(len(c.stats.stuck)))
	}
	return errors.Join(errs...)
}

func (c *filesystemCollector) emit(s *metric.Snapshot, m *mount, u *disk.UsageStat) {
	// Of a size that does not cover its parts nothing can be said.
	if u.Total == 0 || u.Used > u.Total || u.Free > u.Total-u.Used {
		return
	}
	mode := "rw"
	if slices.Contains(m.Opts, "ro") {
		mode = "ro"
	}
	labels := [5]metric.Label{
		{Key: "device", Value: m.Device},
		{Key: "mountpoint", Value: m.Mountpoint},
		{Key: "type", Value: m.Fstype},
		{Key: "mode", Value: mode},
	}
	usage := func(d *metric.Desc, state string, v uint64) {
		labels[4] = metric.L("state", state)
		s.Uint(d, v, labels[:]...)
	}
	usage(&filesystemUsage, "used", u.Used)
	usage(&filesystemUsage, "free", u.Free)
	usage(&filesystemUsage, "reserved", u.Total-u.Used-u.Free)
	if c.detailed && u.InodesTotal >= u.InodesFree && u.InodesTotal > 0 {
		usage(&filesystemInodes, "used", u.InodesTotal-u.InodesFree)
		usage(&filesystemInodes, "free", u.InodesFree)
	}
}
