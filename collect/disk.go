package collect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/shirou/gopsutil/v4/common"
	"github.com/shirou/gopsutil/v4/disk"
)

// DefaultDiskExclude matches devices that are not whole disks of the host
// although the kernel shows hardware behind them: CD and floppy drives, and the
// boot and key areas of an eMMC.
//
// The default set is each entry of /sys/block that has a device link, is not
// hidden and does not match. Virtual devices have no such link: loop, ram,
// zram, dm (LVM, LUKS, multipath maps), md, nbd, bcache. Their input and output
// reaches the disks below them and is counted there. Each path of a multipath
// disk (sda, sdb) counts its own traffic. With NVMe multipath the kernel hides
// the paths (nvme0c0n1) and shows the whole disk (nvme0n1).
const DefaultDiskExclude = `^(sr|scd|fd)\d+$|^mmcblk\d+(boot\d+|rpmb)$`

var (
	diskIO = metric.Desc{
		Name: "system.disk.io", Unit: "By", Kind: metric.Counter, Labels: []string{"device", "direction"},
		Help: "Bytes read from and written to the disk.", Source: "/proc/diskstats",
	}
	diskOperations = metric.Desc{
		Name: "system.disk.operations", Unit: "{operations}", Kind: metric.Counter, Labels: []string{"device", "direction"},
		Help: "Reads and writes that the disk completed.", Source: "/proc/diskstats",
	}
	diskOperationTime = metric.Desc{
		Name: "system.disk.operation_time", Unit: "s", Kind: metric.Counter, Detailed: true, Labels: []string{"device", "direction"},
		Help: "Time that reads and writes took, added up over all of them.", Source: "/proc/diskstats",
	}
	diskIOTime = metric.Desc{
		Name: "system.disk.io_time", Unit: "s", Kind: metric.Counter, Detailed: true, Labels: []string{"device"},
		Help: "Time during which the disk had something to do.", Source: "/proc/diskstats",
	}
	diskWeightedIOTime = metric.Desc{
		Name: "system.disk.weighted_io_time", Unit: "s", Kind: metric.Counter, Detailed: true, Labels: []string{"device"},
		Help: "io_time multiplied by the operations pending.", Source: "/proc/diskstats",
	}
	diskMerged = metric.Desc{
		Name: "system.disk.merged", Unit: "{operations}", Kind: metric.Counter, Detailed: true, Labels: []string{"device", "direction"},
		Help: "Reads and writes that were merged with a neighbour before they reached the disk.", Source: "/proc/diskstats",
	}
	diskPending = metric.Desc{
		Name: "system.disk.pending_operations", Unit: "{operations}", Kind: metric.UpDown, Detailed: true, Labels: []string{"device"},
		Help: "Operations that the disk is working on.", Source: "/proc/diskstats",
	}
)

func diskDescs() []*metric.Desc {
	return []*metric.Desc{
		&diskIO, &diskOperations, &diskOperationTime, &diskIOTime,
		&diskWeightedIOTime, &diskMerged, &diskPending,
	}
}

// listAge is how long a list of disks or mounts is used if nothing indicates a
// change.
const listAge = time.Minute

type diskCollector struct {
	cfg      Config
	virtual  *regexp.Regexp
	blocks   map[string]bool // the entries of /sys/block when names was built
	names    []string        // selected devices
	namesAge time.Time
	file     reader
}

func newDisk(cfg Config) Collector {
	return &diskCollector{cfg: cfg, virtual: regexp.MustCompile(DefaultDiskExclude)}
}

// Name implements Collector.
func (*diskCollector) Name() string { return "disk" }

// Collect leaves out disks that have never read or written anything, such as an
// empty card reader, because gopsutil does.
func (c *diskCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	listErr := c.refresh(ctx)
	if len(c.names) == 0 {
		return listErr // to gopsutil, no name means every name
	}
	// For each disk and tick, gopsutil looks up a serial number and a label in
	// udev's database. Without these directories the lookup ends at the first
	// stat.
	noUdev := hideHost(ctx, common.HostDevEnvKey, common.HostSysEnvKey)
	counters, err := disk.IOCountersWithContext(noUdev, c.askFor()...)
	if err != nil {
		err = fmt.Errorf("read disks: %w", err)
	}
	for _, name := range c.names {
		if d, ok := counters[name]; ok {
			c.emit(s, &d)
		}
	}
	return errors.Join(listErr, err)
}

// askFor returns the names to ask gopsutil for, or nil for all disks. gopsutil
// would look up "cciss/c0d0" as "c0d0", so a host with such a disk is asked for
// all.
func (c *diskCollector) askFor() []string {
	if slices.ContainsFunc(c.names, func(name string) bool { return strings.Contains(name, "/") }) {
		return nil
	}
	return slices.Clone(c.names)
}

// refresh rebuilds the list of devices if a disk was added or removed, or if
// the list is old. The check costs one directory listing.
func (c *diskCollector) refresh(ctx context.Context) error {
	blocks, err := readNames(sysPath(ctx, "block"))
	if err != nil {
		return fmt.Errorf("list disks: %w", err)
	}
	now := time.Now()
	if maps.Equal(blocks, c.blocks) && now.Sub(c.namesAge) < listAge {
		return nil
	}
	names, err := c.selectNames(ctx, blocks)
	if err != nil {
		return fmt.Errorf("list disks: %w", err)
	}
	c.blocks, c.names, c.namesAge = blocks, names, now
	return nil
}

// selectNames returns the devices to read, sorted. An include pattern can
// select any device of /proc/diskstats, partitions included. /sys/block has
// whole disks only, so a new partition of an existing disk is noticed up to a
// minute late.
func (c *diskCollector) selectNames(ctx context.Context, blocks map[string]bool) ([]string, error) {
	var names []string
	if c.cfg.Disk.Include == nil {
		for entry := range blocks {
			if name := deviceName(entry); c.cfg.Disk.Match(name, true) && c.isPhysical(ctx, entry) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names, nil
	}
	stats, err := c.file.read(procPath(ctx, "diskstats"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(stats)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && c.cfg.Disk.Match(fields[2], false) {
			names = append(names, fields[2])
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// isPhysical reports whether an entry of /sys/block is a physical disk.
func (c *diskCollector) isPhysical(ctx context.Context, entry string) bool {
	if c.virtual.MatchString(entry) {
		return false
	}
	if _, err := os.Lstat(sysPath(ctx, "block", entry, "device")); err != nil {
		return false
	}
	hidden, err := c.file.read(sysPath(ctx, "block", entry, "hidden"))
	return err != nil || strings.TrimSpace(string(hidden)) != "1"
}

func (c *diskCollector) emit(s *metric.Snapshot, d *disk.IOCountersStat) {
	device := metric.L("device", d.Name)
	read, write := metric.L("direction", "read"), metric.L("direction", "write")
	s.Uint(&diskIO, d.ReadBytes, device, read)
	s.Uint(&diskIO, d.WriteBytes, device, write)
	s.Uint(&diskOperations, d.ReadCount, device, read)
	s.Uint(&diskOperations, d.WriteCount, device, write)
	if !c.cfg.Detailed {
		return
	}
	s.Float(&diskOperationTime, milliseconds(d.ReadTime), device, read)
	s.Float(&diskOperationTime, milliseconds(d.WriteTime), device, write)
	s.Float(&diskIOTime, milliseconds(d.IoTime), device)
	s.Float(&diskWeightedIOTime, milliseconds(d.WeightedIO), device)
	s.Uint(&diskMerged, d.MergedReadCount, device, read)
	s.Uint(&diskMerged, d.MergedWriteCount, device, write)
	s.Uint(&diskPending, d.IopsInProgress, device)
}

// milliseconds converts ms to seconds.
func milliseconds(ms uint64) float64 { return float64(ms) / 1000 }

// readNames returns the names of a directory's entries.
func readNames(dir string) (map[string]bool, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	list, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool, len(list))
	for _, name := range list {
		names[name] = true
	}
	return names, nil
}
