package collect

import (
	"errors"
	"math"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// memoryFiles are the names of one version's files and fields.
type memoryFiles struct {
	usage, limit, events string
	// inactive is of memory.stat: page cache of the group and those below it.
	inactive string
}

var (
	memory1 = memoryFiles{"memory.usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control", "total_inactive_file"}
	memory2 = memoryFiles{"memory.current", "memory.max", "memory.events", "inactive_file"}
)

// memoryGroup returns the group that memory is charged to, and its version's
// names.
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
		// The two files are read one after the other.
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

// memoryLimit returns the smallest limit in bytes, and the file that sets it;
// "" if there is none. Version 1 writes a number near 2^63 for none, rounded to
// a page; so whatever is above the host's memory limits nothing.
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
