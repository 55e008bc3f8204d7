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

// UntilPhase is untilPhase.
var UntilPhase = untilPhase

// CountCPUList is countCPUList.
var CountCPUList = countCPUList
