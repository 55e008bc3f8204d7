package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

var pressureStall = metric.Desc{
	Name: "system.linux.pressure.stall_time", Unit: "s", Kind: metric.Counter, Labels: []string{"resource", "type"},
	Help: "Time in which work waited for the resource (cpu, memory, io). some: at least one task waited. full: all tasks that were not idle waited at once, " +
		"so that nothing was done; older kernels do not count it for cpu, newer ones send 0 there. None where the kernel does not count (CONFIG_PSI, psi=1).",
	Source: "/proc/pressure/cpu, memory, io",
}

func pressureDescs() []*metric.Desc { return []*metric.Desc{&pressureStall} }

// pressureResources are the names of the files in /proc/pressure. In a cgroup,
// the names end with ".pressure".
var pressureResources = [...]string{"cpu", "memory", "io"}

// errNoPressure means that the kernel was built without pressure stall
// information, or booted with psi=0.
var errNoPressure = fmt.Errorf("%w: the kernel does not count pressure; boot it with psi=1, or leave the collector out", errAbsent)

type pressureCollector struct{ file reader }

func newPressure(Config) Collector { return &pressureCollector{} }

// Name implements Collector.
func (*pressureCollector) Name() string { return "pressure" }

// Collect adds the stall times. These files describe the whole host, not the
// process's cgroup, also in a container.
func (c *pressureCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	var errs []error
	found := 0
	for _, resource := range pressureResources {
		text, err := c.file.read(procPath(ctx, "pressure", resource))
		if pressureIsAbsent(err) {
			continue
		}
		found++
		if err == nil {
			err = addPressure(s, &pressureStall, resource, text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read pressure: %w", err))
		}
	}
	if found == 0 {
		return errNoPressure
	}
	return errors.Join(errs...)
}

// pressureIsAbsent distinguishes a kernel that does not count pressure from one
// that fails: with psi=0 the files exist and return EOPNOTSUPP.
func pressureIsAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported)
}

// addPressure adds the totals of one file, whose lines read "some avg10=0.00
// avg60=0.00 avg300=0.00 total=123". The total is in µs.
// Documentation/accounting/psi.rst describes the format.
func addPressure(s *metric.Snapshot, d *metric.Desc, resource string, text []byte) error {
	found := false
	for line := range bytes.Lines(text) {
		for _, kind := range [...]string{"some", "full"} {
			rest, ok := bytes.CutPrefix(line, []byte(kind+" "))
			if !ok {
				continue
			}
			_, total, _ := bytes.Cut(rest, []byte(" total="))
			micros, err := strconv.ParseUint(string(bytes.TrimSpace(total)), 10, 63)
			if err != nil {
				return fmt.Errorf("%s: line %q has no total", resource, bytes.TrimSpace(line))
			}
			s.Float(d, float64(micros)/1e6, metric.L("resource", resource), metric.L("type", kind))
			found = true
		}
	}
	if !found {
		return fmt.Errorf("%s: no line of some or full", resource)
	}
	return nil
}
