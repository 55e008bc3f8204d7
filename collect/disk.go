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

// DefaultDiskExclude matches devices that are no whole disk of the host though
// the kernel shows hardware behind them: CD and floppy drives, and the boot and
// key areas of an eMMC.
//
// The default set is each entry of /sys/block that has a device link, is not
// hidden, and does not match. The link is what virtual devices lack: loop, ram,
// zram, dm (LVM, LUKS, multipath maps), md, nbd, bcache; their input and output
// ends up on the disks below, where it is counted. Paths of one multipath disk
// (sda, sdb) each count what went over them. With NVMe multipath the kernel
// hides the paths (nvme0c0n1) and shows the whole (nvme0n1).
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

// listAge is how long a list of disks or mounts is used when nothing hints
// that it changed.
const listAge = time.Minute

type diskCollector struct {
	cfg      Config
	virtual  *regexp.Regexp
	blocks   map[string]bool // what /sys/block held when names was made
	names    []string        // selected devices
	namesAge time.Time
	file     reader
}

func newDisk(cfg Config) Collector {
	return &diskCollector{cfg: cfg, virtual: regexp.MustCompile(DefaultDiskExclude)}
}

// Name implements Collector.
func (*diskCollector) Name() string { return "disk" }

// Collect leaves out a disk that has never read or written anything, such as
// an empty card reader: gopsutil does.
func (c *diskCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	listErr := c.refresh(ctx)
	if len(c.names) == 0 {
		return listErr // gopsutil takes no name to mean every name
	}
	// For each disk and tick gopsutil looks up a serial number and a label in
	// udev's database. Without these trees that ends at the first stat.
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

// askFor returns the names for gopsutil, which changes them: of "cciss/c0d0" it
// would look for "c0d0". Such a host is asked for all.
func (c *diskCollector) askFor() []string {
	if slices.ContainsFunc(c.names, func(name string) bool { return strings.Contains(name, "/") }) {
		return nil
	}
	return slices.Clone(c.names)
}

// refresh renews the list of devices when a disk came or went, or the list is
// old. To look costs one directory listing.
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

// selectNames returns the devices to read, sorted. An include pattern can name
// any device of /proc/diskstats, partitions too; /sys/block has only whole ones,
// so a partition that comes to a disk already there is seen a minute late.
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

// isPhysical looks at an entry of /sys/block.
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

// milliseconds returns a count of ms in seconds.
func milliseconds(ms uint64) float64 { return float64(ms) / 1000 }

// readNames returns the names in a directory.
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
