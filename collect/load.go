package collect

import (
	"context"
	"fmt"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/shirou/gopsutil/v4/load"
)

var (
	load1  = loadDesc("1m", "minute")
	load5  = loadDesc("5m", "5 minutes")
	load15 = loadDesc("15m", "15 minutes")
)

func loadDesc(span, words string) metric.Desc {
	return metric.Desc{
		Name: "system.cpu.load_average." + span, Unit: "{thread}", Kind: metric.Gauge,
		Help:   "Threads that ran, were ready to run or waited for a disk, averaged over the last " + words + ".",
		Source: "/proc/loadavg",
	}
}

func loadDescs() []*metric.Desc { return []*metric.Desc{&load1, &load5, &load15} }

type loadCollector struct{}

func newLoad(Config) Collector { return loadCollector{} }

// Name implements Collector.
func (loadCollector) Name() string { return "load" }

// Collect adds the three load averages.
func (loadCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	avg, err := load.AvgWithContext(ctx)
	if err != nil {
		return fmt.Errorf("read load: %w", err)
	}
	s.Float(&load1, avg.Load1)
	s.Float(&load5, avg.Load5)
	s.Float(&load15, avg.Load15)
	return nil
}
