package collect

import (
	"errors"
	"math"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// memoryFiles holds the names of files and fields in one cgroup version.
type memoryFiles struct {
	usage, limit, events string
	// inactive is a field of memory.stat: the inactive page cache of the group
	// and its descendants.
	inactive string
}

var (
	memory1 = memoryFiles{"memory.usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control", "total_inactive_file"}
	memory2 = memoryFiles{"memory.current", "memory.max", "memory.events", "inactive_file"}
)

// memoryGroup returns the group that memory is charged to, and the names in its
// cgroup version.
func (c *containerCollector) memoryGroup() (cgroup, *memoryFiles) {
	if c.groups.memory.found() {
		return c.groups.memory, &memory1
	}
	return c.groups.unified, &memory2
}

func (c *containerCollector) addMemory(s *metric.Snapshot) error {
	group, files := c.memoryGroup()
	if !group.found() {
		return nil
	}
	usage, haveUsage, err := c.number(group.path(files.usage))
	if haveUsage {
		s.Uint(&containerMemoryUsage, usage)
	}
	text, statErr := c.read(group.path("memory.stat"))
	if inactive, ok := flatField(text, files.inactive); ok && haveUsage {
		// inactive may exceed usage, because the two files are read one after
		// the other.
		s.Uint(&containerWorkingSet, usage-min(usage, inactive))
	}
	text, eventsErr := c.read(group.path(files.events))
	if kills, ok := flatField(text, "oom_kill"); ok {
		s.Uint(&containerOOMKills, kills)
	}
	limit, file, limitErr := c.memoryLimit()
	if file != "" {
		s.Uint(&containerMemoryLimit, limit)
	}
	return errors.Join(err, statErr, eventsErr, limitErr)
}

// memoryLimit returns the smallest limit in bytes and the file that sets it.
// file is empty if there is no limit. Version 1 reports "no limit" as a number
// near 2^63, rounded to a page, so a limit above the host's memory is ignored.
func (c *containerCollector) memoryLimit() (limit uint64, file string, err error) {
	limit = c.total
	if limit == 0 {
		limit = math.MaxInt64 >> 1
	}
	group, files := c.memoryGroup()
	for _, dir := range group.dirs {
		path := dir + "/" + files.limit
		v, ok, e := c.number(path)
		if ok && (v < limit || v == limit && file == "") {
			limit, file = v, path
		}
		err = errors.Join(err, e)
	}
	return limit, file, err
}
