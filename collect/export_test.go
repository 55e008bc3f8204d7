package collect

import (
	"time"

	"golang.org/x/sys/unix"
)

// SetWall replaces the scheduler's wall clock, because the time in a bubble
// cannot be set.
func (s *Scheduler) SetWall(wall func() time.Time) { s.wall = wall }

// StatfsReply is a statfsReply.
type StatfsReply = statfsReply

// NewStatfsReply returns the reply for a file system on a device.
func NewStatfsReply(dev uint64, btrfs bool, fs *unix.Statfs_t) StatfsReply {
	return statfsReply{spaceOf(fs), dev, btrfs}
}

// SetStatfs replaces the function with which the filesystem collector queries a
// mount.
func SetStatfs(c Collector, statfs func(path string) (StatfsReply, error)) {
	c.(*filesystemCollector).stats.statfs = statfs
}

// MountInfo exports a mountInfo.
type MountInfo struct {
	ID, Parent                                int
	Dev                                       uint64
	Root, Point, Options, Type, Source, Super string
}

// ParseMountinfo is parseMountinfo. seen holds the mounts that visible returns.
func ParseMountinfo(text string) (all, seen []MountInfo) {
	show := func(table []mountInfo) (out []MountInfo) {
		for _, m := range table {
			out = append(out, MountInfo{m.id, m.parent, m.dev, m.root, m.point, m.options, m.fstype, m.source, m.super})
		}
		return out
	}
	table := parseMountinfo(text)
	return show(table), show(visible(table))
}

// StuckMounts returns how many mounts have not answered the filesystem
// collector yet.
func StuckMounts(c Collector) int { return len(c.(*filesystemCollector).stats.stuck) }

// ErrAbsent is errAbsent.
var ErrAbsent = errAbsent

// PressureIsAbsent is pressureIsAbsent.
var PressureIsAbsent = pressureIsAbsent

// UntilPhase is untilPhase.
var UntilPhase = untilPhase

// CountCPUList is countCPUList.
var CountCPUList = countCPUList

// SetContainer makes the container collector read another process's cgroup.
// proc stands for /proc, self for /proc/self, and root is prepended to their
// mount points and to /sys.
func SetContainer(c Collector, proc, self, root string) {
	c.(*containerCollector).readFrom(proc, self, root)
}

// LimitedBy returns what ContainerLimit would return for the collector's
// process.
func LimitedBy(c Collector) string { return c.(*containerCollector).limitedBy() }

// ProcessStat exports a processStat.
type ProcessStat struct {
	Pid                          int
	Comm                         string
	CPU, Threads, Pages, Started int64
}

// ParseProcessStat is parseProcessStat.
func ParseProcessStat(text []byte) (ProcessStat, bool) {
	p, ok := parseProcessStat(text)
	return ProcessStat{p.pid, string(p.comm), p.cpu(), p.threads, p.pages, p.started}, ok
}
