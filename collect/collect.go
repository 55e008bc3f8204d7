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
	// has returned. What cannot be read is left out and reported in the error
	// (several are joined); points added before or after still count. An error
	// that is a context.DeadlineExceeded counts as a timeout. ctx carries the
	// deadline by which Collect has to return.
	Collect(ctx context.Context, s *metric.Snapshot) error
}

// Sink takes the ticks.
type Sink interface {
	// Put takes one tick. It must not block, and must copy what it keeps of s
	// apart from the series, which are immutable: s is reused.
	Put(s *metric.Snapshot)
}

// Config says what is collected and when. The zero value of each field is
// usable and described with it.
type Config struct {
	// Interval is the time between two ticks; 0 means 5 s.
	Interval time.Duration
	// Timeout is how long one collector may take; 0 means 2 s. More than half
	// an interval is never waited.
	Timeout time.Duration
	// PhaseKey decides when in the interval ticks fall, so that a fleet spreads
	// itself: the agent's id.
	PhaseKey string
	// MaxSeries bounds the live series; 0 means no bound.
	MaxSeries int
	// OmitSelf leaves out the scheduler's own metrics, heka.agent.collect.* and
	// the like, and DetailedSelf adds those of them whose Desc is Detailed.
	OmitSelf, DetailedSelf bool

	// Detailed adds the metrics whose Desc says so.
	Detailed bool
	// PerCore adds a series for each CPU, with the label cpu, to those of all
	// CPUs together. The latter do not change: never sum both.
	PerCore bool
	// Disk selects block devices by their name in /dev ("sda1", "cciss/c0d0"). Without
	// Include: whole physical disks, see DefaultDiskExclude.
	Disk Filter
	// Filesystem selects file systems by mount point. Without Include: all but
	// bind mounts, if they are not the root, and further mounts of the same device.
	Filesystem Filter
	// FilesystemTypesExclude leaves out file system types; it also overrules
	// Filesystem.Include. nil means DefaultFilesystemTypesExclude.
	FilesystemTypesExclude *regexp.Regexp
	// Network selects interfaces by name. Without Include: all but
	// DefaultNetworkExclude.
	Network Filter
	// Process selects processes by name. Without Include: those of ProcessTop.
	Process Filter
	// ProcessTop is how many processes are sent that took the most CPU since the
	// tick before, and how many that have the most resident memory.
	ProcessTop int
	// TextfileDir is where the collector textfile looks for *.prom files; "" is
	// nowhere.
	TextfileDir string
	// TextfileMaxAge leaves out files that were last written longer ago; 0 means
	// none.
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

// budget is how long a tick waits for one collector: half an interval at most,
// so that a host's first dead mount does not cost the next tick too.
func (c Config) budget() time.Duration {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return min(timeout, c.interval()/2)
}

// Filter selects by name. The zero Filter selects the default set of whatever
// is filtered. Both patterns are unanchored RE2.
type Filter struct {
	// Include, when set, replaces the default set.
	Include *regexp.Regexp
	// Exclude leaves out, and wins over Include and over the default set.
	Exclude *regexp.Regexp
}

// Match reports whether name is selected; inDefault says whether it belongs to
// the default set.
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

// Builtin is one of the collectors of this package.
type Builtin struct {
	// Name is the collector's name in HEKA_COLLECTORS.
	Name string
	// Descs lists every metric that the collector can emit.
	Descs []*metric.Desc
	// New makes the collector. It reads nothing yet.
	New func(Config) Collector
	// OptIn says that HEKA_COLLECTORS does not name it by default.
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
