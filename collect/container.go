package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

var (
	containerCPUTime = metric.Desc{
		Name: "container.cpu.time", Unit: "s", Kind: metric.Counter, Labels: []string{"state"},
		Help: "CPU time that the agent's own container used, on all CPUs, by state (user, system); without the label where the kernel does not tell them apart. " +
			"Like every counter of this collector it counts since the cgroup was made, which is taken to be when process 1 of the container started, " +
			"or the agent where process 1 is not in its cgroup.",
		Source: "cpu.stat; version 1: cpuacct.usage_user and _sys, cpuacct.stat, cpuacct.usage",
	}
	containerThrottled = metric.Desc{
		Name: "container.cpu.throttled.time", Unit: "s", Kind: metric.Counter,
		Help: "Time in which the container's own CPU limit kept it from running, added up over CPUs.", Source: "cpu.stat",
	}
	containerCPULimit = metric.Desc{
		Name: "container.cpu.limit", Unit: "{cpu}", Kind: metric.UpDown,
		Help: "CPUs that the container may use: quota by period, the smallest of its own and those of the enclosing cgroups that it can see. None without a quota.", Source: "cpu.max; version 1: cpu.cfs_quota_us, cpu.cfs_period_us",
	}
	containerMemoryUsage = metric.Desc{
		Name: "container.memory.usage", Unit: "By", Kind: metric.UpDown,
		Help: "Memory charged to the container, its page cache included.", Source: "memory.current; version 1: memory.usage_in_bytes",
	}
	containerWorkingSet = metric.Desc{
		Name: "container.memory.working_set", Unit: "By", Kind: metric.UpDown,
		Help: "Usage without the page cache that was not used lately (inactive_file), 0 at least: what the container needs, and what Kubernetes evicts by.", Source: "memory.current, memory.stat; version 1: memory.usage_in_bytes, memory.stat",
	}
	containerMemoryLimit = metric.Desc{
		Name: "container.memory.limit", Unit: "By", Kind: metric.UpDown,
		Help: "Memory that the container may use: the smallest limit of its own and those of the enclosing cgroups that it can see. None without a limit, or with one above the host's memory.", Source: "memory.max; version 1: memory.limit_in_bytes",
	}
	containerOOMKills = metric.Desc{
		Name: "container.memory.oom_kills", Unit: "{kills}", Kind: metric.Counter,
		Help: "Processes of the container that were killed for want of memory.", Source: "memory.events; version 1: memory.oom_control",
	}
	containerDiskIO = metric.Desc{
		Name: "container.disk.io", Unit: "By", Kind: metric.Counter, Labels: []string{"device", "direction"},
		Help:   "Bytes that the container read and wrote, by block device. A volume and the disk below it may both count the same bytes: do not add them up.",
		Source: "io.stat; version 1: blkio.throttle.io_service_bytes_recursive, blkio.throttle.io_service_bytes",
	}
	containerPressure = metric.Desc{
		Name: "container.pressure.stall_time", Unit: "s", Kind: metric.Counter, Labels: []string{"resource", "type"},
		Help:   "Time in which work of the container waited for the resource (cpu, memory, io). some: at least one task waited. full: all that were not idle waited at once. Version 2 only.",
		Source: "cpu.pressure, memory.pressure, io.pressure",
	}
)

func containerDescs() []*metric.Desc {
	return []*metric.Desc{
		&containerCPUTime, &containerThrottled, &containerCPULimit, &containerMemoryUsage, &containerWorkingSet,
		&containerMemoryLimit, &containerOOMKills, &containerDiskIO, &containerPressure,
	}
}

// errNoContainer means that this process runs in the root of each hierarchy, or
// cannot see its groups.
var errNoContainer = fmt.Errorf("%w: the agent is in no cgroup of its own that it can see; system.* tells of the whole host", errAbsent)

// containerCollector reads the cgroup of this process: its container, its
// service or its session. It ignores HOST_PROC and HOST_SYS, which show the
// host, and never adds a value to a system.* metric.
type containerCollector struct {
	finder  cgroupFinder
	groups  cgroups
	age     time.Time // when groups was read; zero to read it again
	startMS int64     // 0 before the first find
	total   uint64    // the host's memory in bytes, 0 if unknown
	file    reader
	devices deviceNames
	// io and ioIndex hold the readings of one tick. They are kept to reuse
	// their memory.
	io      []deviceIO
	ioIndex map[string]int
}

func newContainer(Config) Collector { return newContainerCollector() }

func newContainerCollector() *containerCollector {
	c := &containerCollector{ioIndex: make(map[string]int)}
	c.readFrom("/proc", "/proc/self", "")
	return c
}

func (c *containerCollector) readFrom(proc, self, root string) {
	c.finder = cgroupFinder{proc: proc, self: self, root: root}
	c.devices = deviceNames{root: root}
}

// Name implements Collector.
func (*containerCollector) Name() string { return "container" }

// Collect adds the metrics that are available. A missing file is not an error:
// controllers may be off, and old kernels have fewer files.
func (c *containerCollector) Collect(_ context.Context, s *metric.Snapshot) error {
	if err := c.refresh(time.Now()); err != nil {
		return err
	}
	if !c.groups.any() {
		return errNoContainer
	}
	s.Since(c.startMS)
	defer s.Since(0)
	before := len(s.Points)
	err := errors.Join(c.addCPU(s), c.addMemory(s), c.addDisk(s), c.addPressure(s))
	if len(s.Points) == before {
		c.age = time.Time{} // the process may have been moved and its old group removed
	}
	return err
}

// refresh finds the groups again from time to time, because a service manager
// may move the process.
func (c *containerCollector) refresh(now time.Time) error {
	if !c.age.IsZero() && now.Sub(c.age) < listAge {
		return nil
	}
	groups, err := c.finder.find()
	if err != nil {
		return err
	}
	if c.startMS == 0 {
		// Only once: the result changes slightly when the clock is set.
		if c.startMS, err = c.finder.startMS(); err != nil {
			c.startMS = now.UnixMilli()
		}
	}
	c.total = 0
	if text, err := c.file.read(filepath.Join(c.finder.proc, "meminfo")); err == nil {
		if kb, ok := flatField(text, "MemTotal:"); ok {
			c.total = kb * 1024
		}
	}
	c.devices.forget()
	c.groups, c.age = groups, now
	return nil
}

// read returns the content of a group's file, or nil if the file does not
// exist.
func (c *containerCollector) read(path string) ([]byte, error) {
	text, err := c.file.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read cgroup: %w", err)
	}
	return text, nil
}

// number returns the only number in a file. ok is false if the file does not
// exist or holds something else, such as "max" or -1.
func (c *containerCollector) number(path string) (v uint64, ok bool, err error) {
	text, err := c.read(path)
	if err != nil || text == nil {
		return 0, false, err
	}
	v, ok = parseUint(text)
	return v, ok, nil
}

func (c *containerCollector) addPressure(s *metric.Snapshot) error {
	if !c.groups.unified.found() {
		return nil
	}
	var errs []error
	for _, resource := range pressureResources {
		text, err := c.file.read(c.groups.unified.path(resource + ".pressure"))
		if pressureIsAbsent(err) {
			continue
		}
		if err == nil {
			err = addPressure(s, &containerPressure, resource, text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read cgroup: %w", err))
		}
	}
	return errors.Join(errs...)
}

// ContainerLimit returns the path of the file that limits the CPUs or the
// memory of this process, in its own cgroup or in a visible one around it. It
// returns "" if there is no limit. The limits of a systemd service count like
// those of a container. ContainerLimit reads a few small kernel files and does
// not wait for a disk.
func ContainerLimit() string { return newContainerCollector().limitedBy() }

func (c *containerCollector) limitedBy() string {
	if err := c.refresh(time.Now()); err != nil {
		return ""
	}
	if _, file, _ := c.memoryLimit(); file != "" {
		return file
	}
	_, file, _ := c.cpuLimit()
	return file
}
