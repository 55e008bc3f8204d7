package collect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/shirou/gopsutil/v4/cpu"
)

var (
	cpuUtilization = metric.Desc{
		Name: "system.cpu.utilization", Unit: "1", Kind: metric.Gauge, Labels: []string{"state", "cpu"},
		Help: "Share of CPU time since the previous tick, 0 to 1. Without the label state: neither idle nor waiting for I/O. " +
			"With it (detailed): spent in the state; the states of one CPU add up to 1. Without the label cpu: all CPUs. " +
			"None in the first tick and after a change in the number of CPUs.",
		Source: "/proc/stat",
	}
	cpuTime = metric.Desc{
		Name: "system.cpu.time", Unit: "s", Kind: metric.Counter, Labels: []string{"state", "cpu"},
		Help:   "CPU time spent in the state. The state user includes guest time. Without the label cpu: the sum over all CPUs.",
		Source: "/proc/stat",
	}
	cpuLogical = metric.Desc{
		Name: "system.cpu.logical.count", Unit: "{cpu}", Kind: metric.UpDown,
		Help: "CPUs that are online, hardware threads counted each.", Source: "/sys/devices/system/cpu/online",
	}
	cpuPhysical = metric.Desc{
		Name: "system.cpu.physical.count", Unit: "{cpu}", Kind: metric.UpDown, Detailed: true,
		Help: "Processor cores, hardware threads of one core counted once.", Source: "/sys/devices/system/cpu/cpu*/topology/core_cpus_list",
	}
)

func cpuDescs() []*metric.Desc {
	return []*metric.Desc{&cpuUtilization, &cpuTime, &cpuLogical, &cpuPhysical}
}

// cpuStates names the columns of cpuTicks, as the hostmetrics receiver does.
var cpuStates = [...]string{"user", "nice", "system", "idle", "wait", "interrupt", "softirq", "steal"}

const (
	stateIdle = 3
	stateWait = 4
)

// cpuTicks holds CPU time by state, in the kernel's USER_HZ. Guest time has no
// column, because the kernel includes it in user and nice.
type cpuTicks [len(cpuStates)]int64

type cpuCollector struct {
	cfg      Config
	total    cpuRow
	cores    map[string]*cpuRow
	online   []string // the online CPUs: their names, or a single kernel list
	physical int
	file     reader
}

func newCPU(cfg Config) Collector {
	return &cpuCollector{cfg: cfg, cores: make(map[string]*cpuRow)}
}

// Name implements Collector.
func (*cpuCollector) Name() string { return "cpu" }

// Collect reads the CPU times once, so that utilization and time of a tick
// agree.
func (c *cpuCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	rows, err := cpu.NewExLinux().TimesWithContext(ctx, c.cfg.PerCore)
	if err == nil && len(rows) == 0 {
		err = errors.New("no CPU in /proc/stat")
	}
	if err != nil {
		return fmt.Errorf("read CPU times: %w", err)
	}
	online, changed, countErr := c.countOnline(ctx, rows)
	if changed {
		c.changed(ctx)
	}
	if online != 0 {
		s.Int(&cpuLogical, int64(online))
	}
	if c.cfg.Detailed && c.physical != 0 {
		s.Int(&cpuPhysical, int64(c.physical))
	}
	c.emitRows(s, rows)
	return countErr
}

// countOnline returns the number of online CPUs, and whether the set of online
// CPUs changed since the last tick. The set can change while the number stays
// the same. countOnline does not use gopsutil's count, which reads
// /proc/cpuinfo: to write that file, the kernel asks every CPU for its
// frequency.
func (c *cpuCollector) countOnline(ctx context.Context, rows []cpu.ExTimesStat) (n int, changed bool, err error) {
	if c.cfg.PerCore {
		same := slices.EqualFunc(rows, c.online, func(row cpu.ExTimesStat, name string) bool { return row.CPU == name })
		if !same {
			c.online = c.online[:0]
			for i := range rows {
				c.online = append(c.online, rows[i].CPU)
			}
		}
		return len(rows), !same, nil
	}
	list, err := c.file.read(sysPath(ctx, "devices/system/cpu/online"))
	if err != nil {
		return 0, false, fmt.Errorf("count CPUs: %w", err)
	}
	if n, err = countCPUList(string(list)); err != nil {
		return 0, false, err
	}
	if len(c.online) == 1 && c.online[0] == string(list) {
		return n, false, nil
	}
	c.online = []string{string(list)}
	return n, true, nil
}

// changed makes every row warm up again. The sums may now cover other CPUs, and
// the kernel may keep their idle time elsewhere.
func (c *cpuCollector) changed(ctx context.Context) {
	c.total.warmUp()
	c.total.rebase = c.total.seen
	for _, row := range c.cores {
		row.warmUp()
	}
	if c.cfg.Detailed {
		c.physical, _ = cpu.CountsWithContext(ctx, false)
	}
}

func (c *cpuCollector) emitRows(s *metric.Snapshot, rows []cpu.ExTimesStat) {
	if !c.cfg.PerCore {
		c.emit(s, &c.total, ticksOf(&rows[0]))
		return
	}
	var sum cpuTicks
	for i := range rows {
		name := rows[i].CPU
		row := c.cores[name]
		if row == nil {
			row = new(cpuRow)
			c.cores[name] = row
		}
		ticks := ticksOf(&rows[i])
		for state, v := range ticks {
			sum[state] += v
		}
		c.emit(s, row, ticks, metric.L("cpu", name))
	}
	c.emit(s, &c.total, sum)
}

// emit adds the points of one row; cpuLabel is empty for all CPUs.
func (c *cpuCollector) emit(s *metric.Snapshot, row *cpuRow, raw cpuTicks, cpuLabel ...metric.Label) {
	labels := append(make([]metric.Label, 1, 2), cpuLabel...)
	for state, ticks := range row.advance(raw) {
		labels[0] = metric.L("state", cpuStates[state])
		s.Float(&cpuTime, float64(ticks)/cpu.ClocksPerSec, labels...)
	}
	shares, ok := row.shares(raw)
	if !ok {
		return
	}
	s.Float(&cpuUtilization, round6(1-shares[stateIdle]-shares[stateWait]), cpuLabel...)
	if !c.cfg.Detailed {
		return
	}
	for state, share := range shares {
		labels[0] = metric.L("state", cpuStates[state])
		s.Float(&cpuUtilization, round6(share), labels...)
	}
}

func ticksOf(t *cpu.ExTimesStat) cpuTicks {
	return cpuTicks{
		int64(t.User), int64(t.Nice), int64(t.System), int64(t.Idle),
		int64(t.Iowait), int64(t.Irq), int64(t.Softirq), int64(t.Steal),
	}
}

// cpuRow remembers the last readings of one line of /proc/stat.
type cpuRow struct {
	sent   cpuTicks // the values last sent
	offset cpuTicks // added to the kernel's values before they are sent
	base   cpuTicks // the values from which utilization is measured
	seen   bool     // sent is set
	warm   bool     // base is set
	rebase bool     // the next reading continues from sent
	settle bool     // its idle and wait continue from sent: the CPU may have gone offline after /proc/stat was read
	falls  cpuTicks // for how many more readings a fall of the column is expected
}

const (
	// holdTicks is the largest step back that is held until the kernel catches
	// up. iowait and idle step back because they are estimates. A larger step
	// means that the CPU lost its history.
	holdTicks = 300
	// fallsAgain is the number of readings for which a column that fell is
	// expected to fall again. On some kernels steal falls for days.
	fallsAgain = 100
	// minTicks is the least CPU time from which a ratio is computed.
	minTicks = 10
)

func (r *cpuRow) warmUp() { r.warm, r.falls = false, cpuTicks{} }

// advance returns the counts to send, which never fall.
func (r *cpuRow) advance(raw cpuTicks) cpuTicks {
	for i, v := range raw {
		back := r.sent[i] - (v + r.offset[i])
		idle := i == stateIdle || i == stateWait
		if r.rebase || (r.settle && idle) || (r.seen && back > holdTicks) {
			r.offset[i] += back
		}
		r.sent[i] = max(r.sent[i], v+r.offset[i])
	}
	r.seen, r.rebase, r.settle = true, false, r.rebase
	return r.sent
}

// shares returns the share of each state in the time since the last call that
// returned ok. A column that stepped back by at most holdTicks counts as
// unchanged, so each share is between 0 and 1. After a larger step the tick has
// no shares. A column that keeps falling is a kernel bug: it counts as
// unchanged, and the other shares are still returned.
func (r *cpuRow) shares(raw cpuTicks) (shares [len(cpuStates)]float64, ok bool) {
	var total int64
	var delta cpuTicks
	for i := range raw {
		if r.base[i]-raw[i] > holdTicks {
			r.warm = r.warm && r.falls[i] > 0
			r.falls[i] = fallsAgain
		} else if r.falls[i] > 0 {
			r.falls[i]--
		}
		delta[i] = max(0, raw[i]-r.base[i])
		total += delta[i]
	}
	if !r.warm {
		r.base, r.warm = raw, true
		return shares, false
	}
	if total < minTicks {
		return shares, false
	}
	r.base = raw
	for i, d := range delta {
		shares[i] = float64(d) / float64(total)
	}
	return shares, true
}

// round6 rounds a ratio to six decimals and limits it to the range 0 to 1.
func round6(v float64) float64 {
	return min(max(math.Round(v*1e6)/1e6, 0), 1)
}
