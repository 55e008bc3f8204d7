package collect

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// DefaultFilesystemTypesExclude matches file system types that hold no space of
// this host's own: the kernel's pseudo file systems, file systems in memory,
// read-only images, overlays, and network file systems. Every client would
// report a network file system again, and its server would be queried at every
// tick. To report one of these types, set a pattern that does not match it. A
// file system without blocks is always left out.
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
			"and is not asked again before. In basic, sent while there are any.",
		Source: "the collector",
	}
	mountsHidden = metric.Desc{
		Name: "heka.agent.mounts.hidden", Unit: "{mounts}", Kind: metric.UpDown,
		Help:   "Mounts of the host that are left out because their paths lead the agent to another file system or nowhere; the log names them. In basic, sent while there are any.",
		Source: "the collector",
	}
)

func filesystemDescs() []*metric.Desc {
	return []*metric.Desc{&filesystemUsage, &filesystemInodes, &mountsStuck, &mountsHidden}
}

type filesystemCollector struct {
	cfg    Config
	mounts mountList
	stats  statfser
}

func newFilesystem(cfg Config) Collector {
	return &filesystemCollector{
		cfg:    cfg,
		mounts: newMountList(cfg),
		stats:  statfser{statfs: statfs, stuck: make(map[string]<-chan statfsAnswer)},
	}
}

// Name implements Collector.
func (*filesystemCollector) Name() string { return "filesystem" }

// Collect queries every mount. It leaves out mounts that do not answer in time,
// and those whose values this process cannot read.
func (c *filesystemCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	mounts, err := c.mounts.current(ctx)
	errs := []error{err}
	var hidden []string
	for i, result := range c.stats.all(ctx, mounts) {
		switch point := mounts[i].point; {
		case errors.Is(result.err, errElsewhere):
			hidden = append(hidden, point)
		case result.err != nil:
			errs = append(errs, fmt.Errorf("statfs %s: %w", point, result.err))
		default:
			c.emit(s, &mounts[i], &result.space)
		}
	}
	c.emitSelf(s, len(hidden))
	return errors.Join(append(errs, whyHidden(hidden))...)
}

// emitSelf reports how many mounts were left out. If there are none it reports
// that only in detailed metrics, because most hosts never have any.
func (c *filesystemCollector) emitSelf(s *metric.Snapshot, hidden int) {
	if c.cfg.OmitSelf {
		return
	}
	if stuck := len(c.stats.stuck); stuck > 0 || c.cfg.DetailedSelf {
		s.Int(&mountsStuck, int64(stuck))
	}
	if hidden > 0 || c.cfg.DetailedSelf {
		s.Int(&mountsHidden, int64(hidden))
	}
}

// whyHidden returns an error that says that mounts are left out and names a few
// of them. It is logged once.
func whyHidden(points []string) error {
	if len(points) == 0 {
		return nil
	}
	const most = 5
	names := strings.Join(points[:min(most, len(points))], ", ")
	if len(points) > most {
		names += ", …"
	}
	return unavailable(fmt.Sprintf("mounts of the host are left out (%d: %s): their paths lead to another file system here, or nowhere; "+
		"in a container HOST_ROOT has to be the host's root, and a service may hide them (ProtectHome)", len(points), names))
}

func (c *filesystemCollector) emit(s *metric.Snapshot, m *mount, u *space) {
	if u.total == 0 {
		return
	}
	labels := [5]metric.Label{
		metric.L("device", m.device), metric.L("mountpoint", m.point), metric.L("type", m.fstype), metric.L("mode", m.mode),
	}
	usage := func(d *metric.Desc, state string, v uint64) {
		labels[4] = metric.L("state", state)
		s.Uint(d, v, labels[:]...)
	}
	usage(&filesystemUsage, "used", u.used)
	usage(&filesystemUsage, "free", u.free)
	usage(&filesystemUsage, "reserved", u.total-u.used-u.free)
	if c.cfg.Detailed && u.inodes >= u.inodesFree && u.inodes > 0 {
		usage(&filesystemInodes, "used", u.inodes-u.inodesFree)
		usage(&filesystemInodes, "free", u.inodesFree)
	}
}
