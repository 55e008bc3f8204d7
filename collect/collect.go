package collect

import (
	"context"
	"regexp"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// Collector reads one part of the host.
type Collector interface {
	// Name is the collector's name in HEKA_COLLECTORS and in the label
	// "collector" of the scheduler's own metrics.
	Name() string
	// Collect adds one tick's points to s. It is never called again before it
	// has returned. A reading that fails is left out and reported in the error
	// (several are joined); points added before or after it still count. An
	// error that is a context.DeadlineExceeded counts as a timeout. Collect has
	// to return by the deadline of ctx.
	Collect(ctx context.Context, s *metric.Snapshot) error
}

// Sink receives the ticks.
type Sink interface {
	// Put takes one tick. It must not block. s is reused, so Put must copy what
	// it keeps of it, except the series, which are immutable.
	Put(s *metric.Snapshot)
}

// Config says what is collected and when. The zero value of each field is
// usable; the field's comment says what it means.
type Config struct {
	// Interval is the time between two ticks; 0 means 5 s.
	Interval time.Duration
	// Timeout is how long one collector may take; 0 means 2 s. A collector
	// never gets more than half an interval.
	Timeout time.Duration
	// PhaseKey determines when in the interval ticks fall. It is the agent's
	// id, so that the ticks of a fleet are spread over the interval.
	PhaseKey string
	// MaxSeries limits the number of live series; 0 means no limit.
	MaxSeries int
	// OmitSelf leaves out the scheduler's own metrics, which [SchedulerDescs]
	// lists. DetailedSelf adds those of them whose Desc is Detailed.
	OmitSelf, DetailedSelf bool

	// Detailed adds the metrics whose [metric.Desc] is Detailed.
	Detailed bool
	// PerCore adds a series with the label cpu for each CPU. The series that
	// cover all CPUs stay, so never sum both.
	PerCore bool
	// Disk selects block devices by their name in /dev ("sda1", "cciss/c0d0").
	// Without Include it selects whole physical disks; see
	// [DefaultDiskExclude].
	Disk Filter
	// Filesystem selects file systems by mount point. Without Include it
	// selects all but further mounts of the same device and bind mounts other
	// than the root.
	Filesystem Filter
	// FilesystemTypesExclude leaves out file system types, even those that
	// Filesystem.Include selects. nil means [DefaultFilesystemTypesExclude].
	FilesystemTypesExclude *regexp.Regexp
	// Network selects interfaces by name. Without Include it selects all but
	// those that match [DefaultNetworkExclude].
	Network Filter
	// Process selects processes by name. Without Include, only ProcessTop
	// selects processes.
	Process Filter
	// ProcessTop is how many of the processes that used the most CPU since the
	// previous tick are sent, and how many of those with the most resident
	// memory.
	ProcessTop int
	// TextfileDir is the directory of the *.prom files that the collector
	// textfile reads; "" means none.
	TextfileDir string
	// TextfileMaxAge leaves out files that were last written longer ago; 0
	// means no limit.
	TextfileMaxAge time.Duration
}

const (
	defaultInterval = 5 * time.Second
	defaultTimeout  = 2 * time.Second
)

func (c Config) interval() time.Duration {
	if c.Interval <= 0 {
		return defaultInterval
	}
	return c.Interval
}

// budget is how long a tick waits for one collector. It is at most half an
// interval, so that a dead mount does not also cost the next tick when it is
// first found.
func (c Config) budget() time.Duration {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return min(timeout, c.interval()/2)
}

// Filter selects by name. The zero Filter selects the default set of the things
// that it filters. Both patterns are unanchored RE2.
type Filter struct {
	// Include, if set, replaces the default set.
	Include *regexp.Regexp
	// Exclude overrules Include and the default set.
	Exclude *regexp.Regexp
}

// Match reports whether name is selected. inDefault tells it whether name
// belongs to the default set.
func (f Filter) Match(name string, inDefault bool) bool {
	switch {
	case f.Exclude != nil && f.Exclude.MatchString(name):
		return false
	case f.Include != nil:
		return f.Include.MatchString(name)
	default:
		return inDefault
	}
}

// Builtin describes one of the collectors of this package.
type Builtin struct {
	// Name is the collector's name in HEKA_COLLECTORS.
	Name string
	// Descs lists every metric that the collector can emit.
	Descs []*metric.Desc
	// New returns the collector. It does not read the host.
	New func(Config) Collector
	// OptIn means that HEKA_COLLECTORS does not include it by default.
	OptIn bool
}

// Builtins returns the table of built-in collectors in the order in which a
// tick runs them. The caller owns the slice.
func Builtins() []Builtin {
	return []Builtin{
		{Name: "cpu", Descs: cpuDescs(), New: newCPU},
		{Name: "memory", Descs: memoryDescs(), New: newMemory},
		{Name: "paging", Descs: pagingDescs(), New: newPaging},
		{Name: "disk", Descs: diskDescs(), New: newDisk},
		{Name: "filesystem", Descs: filesystemDescs(), New: newFilesystem},
		{Name: "network", Descs: networkDescs(), New: newNetwork},
		{Name: "load", Descs: loadDescs(), New: newLoad},
		{Name: "system", Descs: systemDescs(), New: newSystem},
		{Name: "pressure", Descs: pressureDescs(), New: newPressure, OptIn: true},
		{Name: "container", Descs: containerDescs(), New: newContainer, OptIn: true},
		{Name: "process", Descs: processDescs(), New: newProcess, OptIn: true},
		{Name: "textfile", Descs: textfileDescs(), New: newTextfile, OptIn: true},
	}
}
