package collect

import (
	"context"
	"errors"
	"fmt"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/shirou/gopsutil/v4/mem"
)

var (
	memoryUsage = metric.Desc{
		Name: "system.memory.usage", Unit: "By", Kind: metric.UpDown, Labels: []string{"state"},
		Help: "Memory by state. used is MemTotal - MemAvailable, what programs cannot get back without swapping; " +
			"free MemFree, buffered Buffers, cached Cached, slab_reclaimable SReclaimable, slab_unreclaimable SUnreclaim. " +
			"cached excludes reclaimable slab, which has a state of its own. used overlaps with slab_unreclaimable and with the part of cached that is shared memory, so the states do not add up to the limit.",
		Source: "/proc/meminfo",
	}
	memoryLimit = metric.Desc{
		Name: "system.memory.limit", Unit: "By", Kind: metric.UpDown,
		Help: "Memory that the kernel manages (MemTotal).", Source: "/proc/meminfo",
	}
	memoryAvailable = metric.Desc{
		Name: "system.linux.memory.available", Unit: "By", Kind: metric.UpDown,
		Help: "Memory that programs can get without swapping (MemAvailable).", Source: "/proc/meminfo",
	}
	hugepagesUsage = metric.Desc{
		Name: "system.memory.linux.hugepages.usage", Unit: "{page}", Kind: metric.UpDown, Detailed: true, Labels: []string{hugepagesState},
		Help: "Huge pages by state (HugePages_Total and HugePages_Free).", Source: "/proc/meminfo",
	}
)

// hugepagesState is the hostmetrics receiver's key for the label that is called
// "state" elsewhere.
const hugepagesState = "system.memory.linux.hugepages.state"

// memoryField is one more field of the reading, sent unchanged with detailed
// metrics.
type memoryField struct {
	desc  metric.Desc
	value func(*mem.VirtualMemoryStat) uint64
}

// memoryFields is never changed. The address of its descs identifies them.
var memoryFields = []memoryField{
	memoryExtra("system.memory.linux.shared", "Shmem", func(m *mem.VirtualMemoryStat) uint64 { return m.Shared }),
	memoryExtra("system.linux.memory.active", "Active", func(m *mem.VirtualMemoryStat) uint64 { return m.Active }),
	memoryExtra("system.linux.memory.inactive", "Inactive", func(m *mem.VirtualMemoryStat) uint64 { return m.Inactive }),
	memoryExtra("system.linux.memory.dirty", "Dirty", func(m *mem.VirtualMemoryStat) uint64 { return m.Dirty }),
	memoryExtra("system.linux.memory.writeback", "Writeback", func(m *mem.VirtualMemoryStat) uint64 { return m.WriteBack }),
	memoryExtra("system.linux.memory.writeback_tmp", "WritebackTmp", func(m *mem.VirtualMemoryStat) uint64 { return m.WriteBackTmp }),
	memoryExtra("system.linux.memory.mapped", "Mapped", func(m *mem.VirtualMemoryStat) uint64 { return m.Mapped }),
	memoryExtra("system.linux.memory.slab", "Slab", func(m *mem.VirtualMemoryStat) uint64 { return m.Slab }),
	memoryExtra("system.linux.memory.page_tables", "PageTables", func(m *mem.VirtualMemoryStat) uint64 { return m.PageTables }),
	memoryExtra("system.linux.memory.swap_cached", "SwapCached", func(m *mem.VirtualMemoryStat) uint64 { return m.SwapCached }),
	memoryExtra("system.linux.memory.commit_limit", "CommitLimit", func(m *mem.VirtualMemoryStat) uint64 { return m.CommitLimit }),
	memoryExtra("system.linux.memory.committed", "Committed_AS", func(m *mem.VirtualMemoryStat) uint64 { return m.CommittedAS }),
	memoryExtra("system.linux.memory.vmalloc_total", "VmallocTotal", func(m *mem.VirtualMemoryStat) uint64 { return m.VmallocTotal }),
	memoryExtra("system.linux.memory.vmalloc_used", "VmallocUsed", func(m *mem.VirtualMemoryStat) uint64 { return m.VmallocUsed }),
	memoryExtra("system.linux.memory.anon_hugepages", "AnonHugePages", func(m *mem.VirtualMemoryStat) uint64 { return m.AnonHugePages }),
	memoryExtra("system.memory.linux.hugepages.page_size", "Hugepagesize", func(m *mem.VirtualMemoryStat) uint64 { return m.HugePageSize }),
	hugepagesExtra("system.memory.linux.hugepages.limit", "HugePages_Total", func(m *mem.VirtualMemoryStat) uint64 { return m.HugePagesTotal }),
	hugepagesExtra("system.memory.linux.hugepages.reserved", "HugePages_Rsvd", func(m *mem.VirtualMemoryStat) uint64 { return m.HugePagesRsvd }),
	hugepagesExtra("system.memory.linux.hugepages.surplus", "HugePages_Surp", func(m *mem.VirtualMemoryStat) uint64 { return m.HugePagesSurp }),
}

func memoryExtra(name, field string, value func(*mem.VirtualMemoryStat) uint64) memoryField {
	return memoryField{value: value, desc: metric.Desc{
		Name: name, Unit: "By", Kind: metric.UpDown, Detailed: true,
		Help: "The kernel's " + field + ".", Source: "/proc/meminfo",
	}}
}

func hugepagesExtra(name, field string, value func(*mem.VirtualMemoryStat) uint64) memoryField {
	f := memoryExtra(name, field, value)
	f.desc.Unit = "{page}"
	return f
}

func memoryDescs() []*metric.Desc {
	descs := []*metric.Desc{&memoryUsage, &memoryLimit, &memoryAvailable, &hugepagesUsage}
	for i := range memoryFields {
		descs = append(descs, &memoryFields[i].desc)
	}
	return descs
}

type memoryCollector struct{ detailed bool }

func newMemory(cfg Config) Collector { return memoryCollector{detailed: cfg.Detailed} }

// Name implements Collector.
func (memoryCollector) Name() string { return "memory" }

// Collect reads /proc/meminfo once.
func (c memoryCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err == nil && m.Total == 0 {
		err = errors.New("no MemTotal in /proc/meminfo")
	}
	if err != nil {
		return fmt.Errorf("read memory: %w", err)
	}
	// Available exceeds Total only in a truncated or forged file. Sending
	// nothing is better than an underflow to nearly 2^64.
	if m.Available <= m.Total {
		s.Uint(&memoryUsage, m.Total-m.Available, metric.L("state", "used"))
		s.Uint(&memoryAvailable, m.Available)
	}
	// gopsutil adds SReclaimable to Cached, as free(1) does.
	s.Uint(&memoryUsage, m.Cached-m.Sreclaimable, metric.L("state", "cached"))
	s.Uint(&memoryUsage, m.Free, metric.L("state", "free"))
	s.Uint(&memoryUsage, m.Buffers, metric.L("state", "buffered"))
	s.Uint(&memoryUsage, m.Sreclaimable, metric.L("state", "slab_reclaimable"))
	s.Uint(&memoryUsage, m.Sunreclaim, metric.L("state", "slab_unreclaimable"))
	s.Uint(&memoryLimit, m.Total)
	if c.detailed {
		emitMemoryFields(s, m)
	}
	return nil
}

func emitMemoryFields(s *metric.Snapshot, m *mem.VirtualMemoryStat) {
	for i := range memoryFields {
		f := &memoryFields[i]
		s.Uint(&f.desc, f.value(m))
	}
	if m.HugePagesFree <= m.HugePagesTotal {
		s.Uint(&hugepagesUsage, m.HugePagesTotal-m.HugePagesFree, metric.L(hugepagesState, "used"))
		s.Uint(&hugepagesUsage, m.HugePagesFree, metric.L(hugepagesState, "free"))
	}
}
