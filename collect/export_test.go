package collect

import (
	"context"
	"time"

	"github.com/shirou/gopsutil/v4/disk"
)

// SetWall replaces the scheduler's wall clock: time in a bubble cannot be set.
func (s *Scheduler) SetWall(wall func() time.Time) { s.wall = wall }

// SetStatfs replaces how the filesystem collector asks a mount.
func SetStatfs(c Collector, statfs func(context.Context, string) (*disk.UsageStat, error)) {
	c.(*filesystemCollector).stats.statfs = statfs
}

// StuckMounts returns how many mounts the filesystem collector still waits for.
func StuckMounts(c Collector) int { return len(c.(*filesystemCollector).stats.stuck) }

// ErrAbsent is errAbsent.
var ErrAbsent = errAbsent

// PressureIsAbsent is pressureIsAbsent.
var PressureIsAbsent = pressureIsAbsent

// UntilPhase is untilPhase.
var UntilPhase = untilPhase

// CountCPUList is countCPUList.
var CountCPUList = countCPUList

// SetContainer makes the container collector read another process's cgroup:
// proc stands for /proc, self for /proc/self, and root is put before the mount
// points that they name and before /sys.
func SetContainer(c Collector, proc, self, root string) {
	c.(*containerCollector).readFrom(proc, self, root)
}

// LimitedBy is what ContainerLimit returns for the collector's process.
func LimitedBy(c Collector) string { return c.(*containerCollector).limitedBy() }

// ProcessStat shows a processStat.
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
