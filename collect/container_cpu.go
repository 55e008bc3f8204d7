package collect

import (
	"bytes"
	"errors"
	"math"
	"strconv"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

func (c *containerCollector) addCPU(s *metric.Snapshot) error {
	var err error
	switch {
	case c.groups.cpuacct.found():
		err = errors.Join(c.cpuTime1(s), c.throttled(s, c.groups.cpu))
	case c.groups.unified.found():
		err = errors.Join(c.cpuTime2(s), c.throttled(s, c.groups.unified))
	}
	limit, file, limitErr := c.cpuLimit()
	if file != "" {
		s.Float(&containerCPULimit, limit)
	}
	return errors.Join(err, limitErr)
}

// cpuTime2 reads version 2, whose times are in µs. The file exists even if the
// controller is off.
func (c *containerCollector) cpuTime2(s *metric.Snapshot) error {
	text, err := c.read(c.groups.unified.path("cpu.stat"))
	if err != nil {
		return err
	}
	user, haveUser := flatField(text, "user_usec")
	system, haveSystem := flatField(text, "system_usec")
	if haveUser && haveSystem {
		addCPUTime(s, float64(user)/1e6, float64(system)/1e6)
	} else if usage, ok := flatField(text, "usage_usec"); ok {
		s.Float(&containerCPUTime, float64(usage)/1e6)
	}
	return nil
}

// cpuTime1 reads version 1: ns by state since Linux 4.7, hundredths of a second
// before.
func (c *containerCollector) cpuTime1(s *metric.Snapshot) error {
	group := c.groups.cpuacct
	user, haveUser, err := c.number(group.path("cpuacct.usage_user"))
	if err != nil {
		return err
	}
	system, haveSystem, err := c.number(group.path("cpuacct.usage_sys"))
	if err != nil {
		return err
	}
	if haveUser && haveSystem {
		addCPUTime(s, float64(user)/1e9, float64(system)/1e9)
		return nil
	}
	text, err := c.read(group.path("cpuacct.stat"))
	if err != nil {
		return err
	}
	user, haveUser = flatField(text, "user")
	system, haveSystem = flatField(text, "system")
	if haveUser && haveSystem {
		addCPUTime(s, float64(user)/userHz, float64(system)/userHz)
		return nil
	}
	usage, ok, err := c.number(group.path("cpuacct.usage"))
	if ok {
		s.Float(&containerCPUTime, float64(usage)/1e9)
	}
	return err
}

func addCPUTime(s *metric.Snapshot, user, system float64) {
	s.Float(&containerCPUTime, user, metric.L("state", "user"))
	s.Float(&containerCPUTime, system, metric.L("state", "system"))
}

// throttled adds the throttled time of a group with a CPU controller. The file
// is cpu.stat in both versions; version 1 counts in ns.
func (c *containerCollector) throttled(s *metric.Snapshot, group cgroup) error {
	if !group.found() {
		return nil
	}
	text, err := c.read(group.path("cpu.stat"))
	if err != nil {
		return err
	}
	if micros, ok := flatField(text, "throttled_usec"); ok {
		s.Float(&containerThrottled, float64(micros)/1e6)
	} else if nanos, ok := flatField(text, "throttled_time"); ok {
		s.Float(&containerThrottled, float64(nanos)/1e9)
	}
	return nil
}

// cpuLimit returns the smallest quota in CPUs and the file that sets it. file
// is empty if there is no quota.
func (c *containerCollector) cpuLimit() (limit float64, file string, err error) {
	limit = math.Inf(1)
	lower := func(quota, period uint64, path string) {
		if quota > 0 && period > 0 && float64(quota)/float64(period) < limit {
			limit, file = float64(quota)/float64(period), path
		}
	}
	for _, dir := range c.groups.cpu.dirs {
		path := dir + "/cpu.cfs_quota_us"
		quota, ok, e := c.number(path) // -1 means no quota
		if ok {
			var period uint64
			period, _, e = c.number(dir + "/cpu.cfs_period_us")
			lower(quota, period, path)
		}
		err = errors.Join(err, e)
	}
	if c.groups.cpu.found() {
		return limit, file, err
	}
	for _, dir := range c.groups.unified.dirs {
		path := dir + "/cpu.max"
		text, e := c.read(path) // "max 100000", "50000 100000"
		first, second, _ := bytes.Cut(text, []byte(" "))
		quota, _ := parseUint(first)
		period, _ := parseUint(second)
		lower(quota, period, path)
		err = errors.Join(err, e)
	}
	return limit, file, err
}

// flatField returns the number on the line "name number" of a flat-keyed file,
// such as cpu.stat. It ignores a unit after the number.
func flatField(text []byte, name string) (uint64, bool) {
	for line := range bytes.Lines(text) {
		if len(line) <= len(name) || string(line[:len(name)]) != name || line[len(name)] != ' ' && line[len(name)] != '\t' {
			continue
		}
		number, _, _ := bytes.Cut(bytes.TrimSpace(line[len(name):]), []byte(" "))
		return parseUint(number)
	}
	return 0, false
}

// parseUint parses a decimal number with optional white space around it. It
// rejects numbers of 2^63 and more, which no kernel counter reaches.
func parseUint(text []byte) (uint64, bool) {
	v, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 63)
	return v, err == nil
}
