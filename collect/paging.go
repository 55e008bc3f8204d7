package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/shirou/gopsutil/v4/mem"
)

var (
	pagingUsage = metric.Desc{
		Name: "system.paging.usage", Unit: "By", Kind: metric.UpDown, Labels: []string{"state"},
		Help: "Swap space by state, all swap devices together; 0 on a host without swap.", Source: "/proc/swaps",
	}
	pagingOperations = metric.Desc{
		Name: "system.paging.operations", Unit: "{operations}", Kind: metric.Counter, Detailed: true, Labels: []string{"direction", "type"},
		Help:   "Pages moved between memory and disk. major: to and from swap, in the kernel's pages. minor: all block input and output of the page cache, in 4 KiB pages.",
		Source: "/proc/vmstat",
	}
	pagingFaults = metric.Desc{
		Name: "system.paging.faults", Unit: "{faults}", Kind: metric.Counter, Detailed: true, Labels: []string{"type"},
		Help: "Page faults; a major one had to wait for a disk.", Source: "/proc/vmstat",
	}
)

func pagingDescs() []*metric.Desc {
	return []*metric.Desc{&pagingUsage, &pagingOperations, &pagingFaults}
}

type pagingCollector struct{ detailed bool }

func newPaging(cfg Config) Collector { return pagingCollector{detailed: cfg.Detailed} }

// Name implements Collector.
func (pagingCollector) Name() string { return "paging" }

// Collect adds swap space and, with detailed metrics, the pages moved.
func (c pagingCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	err := c.usage(ctx, s)
	if c.detailed {
		err = errors.Join(err, c.activity(ctx, s))
	}
	return err
}

func (pagingCollector) usage(ctx context.Context, s *metric.Snapshot) error {
	devices, err := mem.SwapDevicesWithContext(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without swap has no such file and nothing to report
	}
	if err != nil {
		return fmt.Errorf("read swap: %w", err)
	}
	var used, free uint64
	for _, d := range devices {
		used += d.UsedBytes
		free += d.FreeBytes
	}
	s.Uint(&pagingUsage, used, metric.L("state", "used"))
	s.Uint(&pagingUsage, free, metric.L("state", "free"))
	return nil
}

// gopsutilPage is the factor by which gopsutil multiplies every count of
// /proc/vmstat, regardless of the host's page size and the unit of the count.
const gopsutilPage = 4096

func (pagingCollector) activity(ctx context.Context, s *metric.Snapshot) error {
	m, err := mem.SwapMemoryWithContext(ctx)
	if err != nil {
		return fmt.Errorf("read paging: %w", err)
	}
	direction := func(d, t string, v uint64) {
		s.Uint(&pagingOperations, v, metric.L("direction", d), metric.L("type", t))
	}
	direction("page_in", "major", m.Sin/gopsutilPage)
	direction("page_out", "major", m.Sout/gopsutilPage)
	// pgpgin and pgpgout count KiB.
	direction("page_in", "minor", m.PgIn/gopsutilPage/4)
	direction("page_out", "minor", m.PgOut/gopsutilPage/4)
	s.Uint(&pagingFaults, m.PgMajFault/gopsutilPage, metric.L("type", "major"))
	s.Uint(&pagingFaults, (m.PgFault-min(m.PgFault, m.PgMajFault))/gopsutilPage, metric.L("type", "minor"))
	return nil
}
