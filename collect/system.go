package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

var (
	systemUptime = metric.Desc{
		Name: "system.uptime", Unit: "s", Kind: metric.Gauge,
		Help: "Time since the host booted, time asleep included.", Source: "/proc/uptime",
	}
	processesCount = metric.Desc{
		Name: "system.processes.count", Unit: "{processes}", Kind: metric.UpDown, Detailed: true, Labels: []string{"status"},
		Help:   "Threads that run or are ready to (running), or wait for a disk (blocked). Other states are not counted: that takes a walk over every process.",
		Source: "/proc/stat",
	}
	processesCreated = metric.Desc{
		Name: "system.processes.created", Unit: "{processes}", Kind: metric.Counter, Detailed: true,
		Help: "Processes and threads created.", Source: "/proc/stat",
	}
)

func systemDescs() []*metric.Desc {
	return []*metric.Desc{&systemUptime, &processesCount, &processesCreated}
}

type systemCollector struct {
	detailed bool
	file     reader
}

func newSystem(cfg Config) Collector { return &systemCollector{detailed: cfg.Detailed} }

// Name implements Collector.
func (*systemCollector) Name() string { return "system" }

// Collect adds the uptime and, with detailed metrics, the counts of processes.
func (c *systemCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	err := c.uptime(ctx, s)
	if c.detailed {
		err = errors.Join(err, c.processes(ctx, s))
	}
	return err
}

func (c *systemCollector) uptime(ctx context.Context, s *metric.Snapshot) error {
	text, err := c.file.read(procPath(ctx, "uptime"))
	if err != nil {
		return fmt.Errorf("read uptime: %w", err)
	}
	first, _, _ := bytes.Cut(text, []byte(" "))
	seconds, err := strconv.ParseFloat(string(first), 64)
	if err != nil {
		return fmt.Errorf("read uptime: %w", err)
	}
	s.Float(&systemUptime, seconds)
	return nil
}

func (c *systemCollector) processes(ctx context.Context, s *metric.Snapshot) error {
	stat, err := c.file.read(procPath(ctx, "stat"))
	if err != nil {
		return fmt.Errorf("read processes: %w", err)
	}
	if v, ok := statField(stat, "processes"); ok {
		s.Int(&processesCreated, v)
	}
	if v, ok := statField(stat, "procs_running"); ok {
		s.Int(&processesCount, v, metric.L("status", "running"))
	}
	if v, ok := statField(stat, "procs_blocked"); ok {
		s.Int(&processesCount, v, metric.L("status", "blocked"))
	}
	return nil
}

// statField returns the number on the line "name number" of /proc/stat.
func statField(stat []byte, name string) (int64, bool) {
	for line := range bytes.Lines(stat) {
		value, found := bytes.CutPrefix(line, []byte(name+" "))
		if !found {
			continue
		}
		v, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 63)
		return int64(v), err == nil
	}
	return 0, false
}

// BootTimeMS returns the time of the host's boot in Unix ms, at which its
// counters start. It reads /proc/stat once and does not block. The kernel
// reports whole seconds.
func BootTimeMS(ctx context.Context) (int64, error) {
	var file reader
	stat, err := file.read(procPath(ctx, "stat"))
	if err != nil {
		return 0, fmt.Errorf("read boot time: %w", err)
	}
	seconds, ok := statField(stat, "btime")
	if !ok {
		return 0, errors.New("read boot time: no btime in /proc/stat")
	}
	return seconds * 1000, nil
}
