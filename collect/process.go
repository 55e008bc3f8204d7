package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"golang.org/x/sys/unix"
)

var (
	processCPU = metric.Desc{
		Name: "process.cpu.time", Unit: "s", Kind: metric.Counter, Labels: []string{"process.pid", "process.executable.name", "state"},
		Help: "CPU time of the process, of those of its threads that have ended, too.", Source: "/proc/PID/stat",
	}
	processMemory = metric.Desc{
		Name: "process.memory.usage", Unit: "By", Kind: metric.UpDown, Labels: []string{"process.pid", "process.executable.name"},
		Help: "Resident memory, shared pages included.", Source: "/proc/PID/statm",
	}
	processThreads = metric.Desc{
		Name: "process.threads", Unit: "{threads}", Kind: metric.UpDown, Labels: []string{"process.pid", "process.executable.name"},
		Help: "Threads of the process.", Source: "/proc/PID/stat",
	}
	processFiles = metric.Desc{
		Name: "process.open_file_descriptors", Unit: "{file_descriptors}", Kind: metric.UpDown, Labels: []string{"process.pid", "process.executable.name"},
		Help: "Open file descriptors; threads of the kernel have none. Before Linux 6.2 those of other users' processes take the capability CAP_SYS_PTRACE.", Source: "/proc/PID/fd",
	}
)

func processDescs() []*metric.Desc {
	return []*metric.Desc{&processCPU, &processMemory, &processThreads, &processFiles}
}

// errNoPtrace tells of file descriptors that cannot be counted.
const errNoPtrace = unavailable("open file descriptors of other users' processes are left out: the agent needs the capability CAP_SYS_PTRACE to count them")

// errHidden tells of processes that are not shown.
const errHidden = unavailable("processes that /proc hides (hidepid) are left out: the agent needs the capability CAP_SYS_PTRACE to see them")

// maxNameBytes bounds a name that a program may have given itself.
const maxNameBytes = 128

// maxFiles bounds how many file descriptors of one process are counted.
const maxFiles = 1 << 20

// processCollector sends the processes that a pattern names, and those that take
// most of the CPU and of the memory.
type processCollector struct {
	processes Filter
	top       int
	known     map[int]*process // by pid
	tick      uint64
	bootMS    int64
	file      reader
	counts    bool // the kernel counts file descriptors for everybody
	denied    bool // some of them could not be counted here
	hidden    bool // the line of some process could not be read
	newcomers rationing
}

// process is what is known of one.
type process struct {
	stat     processStat
	named    bool   // the pattern names it
	excluded bool   // the other one does
	recent   int64  // CPU ticks since the tick before
	first    uint64 // the tick that it was first seen in
	tick     uint64 // and last
	chosen   uint64 // the tick that it was chosen in, 0 if never
	labels   []metric.Label
}

func newProcess(cfg Config) Collector {
	return &processCollector{
		processes: cfg.Process, top: cfg.ProcessTop, known: make(map[int]*process),
		newcomers: rationing{most: cfg.MaxSeries / 2 / seriesOfProcess},
	}
}

// Name implements Collector.
func (*processCollector) Name() string { return "process" }

// Collect reads a line for every process, and more for the chosen ones alone. A
// process that ends meanwhile is no error.
func (c *processCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	if c.bootMS == 0 {
		// Once only: the figure moves a little when the clock is set.
		var err error
		if c.bootMS, err = BootTimeMS(ctx); err != nil {
			return err
		}
	}
	root := procPath(ctx)
	if err := c.refresh(root); err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, p := range c.choose() {
		// A container's idea of the boot may make it lie ahead.
		s.Since(min(c.bootMS+p.stat.started*1000/userHz, s.TimeMS))
		c.emit(s, p, root+"/"+p.labels[0].Value)
	}
	s.Since(0)
	switch {
	case c.hidden:
		return errHidden
	case c.denied:
		return errNoPtrace
	default:
		return nil
	}
}

// refresh reads every process's line and forgets those that have ended.
func (c *processCollector) refresh(root string) error {
	d, err := os.Open(root)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	c.counts = countsFiles(d)
	c.tick++
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid <= 0 {
			continue
		}
		text, err := c.file.read(root + "/" + name + "/stat")
		if err != nil { // it has ended, or
			c.hidden = c.hidden || errors.Is(err, fs.ErrPermission)
			continue
		}
		if stat, ok := parseProcessStat(text); ok && stat.pid == pid {
			stat.comm = stat.lasting()
			c.note(&stat, root+"/"+name)
		}
	}
	for pid, p := range c.known {
		if p.tick != c.tick {
			delete(c.known, pid)
		}
	}
	return nil
}

// note takes one line. A process of the same number that started at another
// time is another one.
func (c *processCollector) note(stat *processStat, dir string) {
	p := c.known[stat.pid]
	switch {
	case p == nil || p.stat.started != stat.started:
		p = &process{first: c.tick}
		c.known[stat.pid] = p
		c.rename(p, stat, dir)
	case !bytes.Equal(p.stat.comm, stat.comm): // it has executed another program
		c.rename(p, stat, dir)
	}
	if p.tick != 0 {
		p.recent = max(0, stat.cpu()-p.stat.cpu())
	}
	stat.comm = p.stat.comm
	p.stat, p.tick = *stat, c.tick
}

// rename takes the name that a process has now. With another name it is another
// series, and has to come to the top anew.
func (c *processCollector) rename(p *process, stat *processStat, dir string) {
	// The line is in the buffer that the name is read into.
	p.stat.comm, p.chosen = slices.Clone(stat.comm), 0
	name := cleanName(c.wholeName(p.stat.comm, dir))
	p.named = c.processes.Include != nil && c.processes.Match(name, false)
	p.excluded = c.processes.Exclude != nil && c.processes.Exclude.MatchString(name)
	p.labels = []metric.Label{
		metric.L("process.pid", strconv.Itoa(stat.pid)),
		metric.L("process.executable.name", name),
		{Key: "state"},
	}
}

// wholeName completes a name that the kernel cut to 15 bytes from the first
// argument, as far as that is the program's.
func (c *processCollector) wholeName(comm []byte, dir string) []byte {
	const cut = 15
	if len(comm) < cut {
		return comm
	}
	text, err := c.file.read(dir + "/cmdline")
	if err != nil {
		return comm
	}
	first, _, _ := bytes.Cut(text, []byte{0})
	if name := first[bytes.LastIndexByte(first, '/')+1:]; bytes.HasPrefix(name, comm) && len(name) <= maxNameBytes {
		return name
	}
	return comm
}

// choose returns the processes to send, by number.
func (c *processCollector) choose() []*process {
	all := make([]*process, 0, len(c.known))
	for _, p := range c.known {
		if p.excluded {
			continue
		}
		all = append(all, p)
		if p.named {
			p.chosen = c.tick
		}
	}
	// What is there for the first time may be gone at the next.
	lasting := slices.DeleteFunc(slices.Clone(all), func(p *process) bool { return p.first == c.tick })
	c.chooseTop(lasting, func(p *process) int64 { return p.recent })
	c.chooseTop(lasting, func(p *process) int64 { return p.stat.pages })
	all = slices.DeleteFunc(all, func(p *process) bool { return p.chosen != c.tick })
	slices.SortFunc(all, func(a, b *process) int { return a.stat.pid - b.stat.pid })
	return all
}

// chooseTop chooses those that take most of something, if any of it.
func (c *processCollector) chooseTop(all []*process, of func(*process) int64) {
	slices.SortFunc(all, func(a, b *process) int {
		if x, y := of(a), of(b); x != y {
			return int(max(-1, min(1, y-x)))
		}
		return a.stat.pid - b.stat.pid
	})
	for _, p := range all[:min(c.top, len(all))] {
		if of(p) > 0 && (p.chosen != 0 || c.newcomers.allow(c.tick)) {
			p.chosen = c.tick
		}
	}
}

// seriesOfProcess is how many series a process has.
const seriesOfProcess = 5

// rationing bounds how many processes come to the top in the time that a series
// is remembered: on a host that starts programs all the time they would take
// the places of every other series.
type rationing struct {
	most  int // 0 means no bound
	since uint64
	n     int
}

func (r *rationing) allow(tick uint64) bool {
	if tick-r.since >= forgetTicks {
		r.since, r.n = tick, 0
	}
	if r.most > 0 && r.n >= r.most {
		return false
	}
	r.n++
	return true
}

// emit adds the points of one process, whose directory dir is.
func (c *processCollector) emit(s *metric.Snapshot, p *process, dir string) {
	p.labels[2].Value = "user"
	s.Float(&processCPU, float64(p.stat.user)/userHz, p.labels...)
	p.labels[2].Value = "system"
	s.Float(&processCPU, float64(p.stat.system)/userHz, p.labels...)
	s.Int(&processThreads, p.stat.threads, p.labels[:2]...)
	// The line's own figure lags behind on hosts with many CPUs.
	if text, err := c.file.read(dir + "/statm"); err == nil {
		if pages, ok := secondCount(text); ok {
			s.Int(&processMemory, pages*int64(os.Getpagesize()), p.labels[:2]...)
		}
	}
	if p.stat.virtual == 0 {
		return // a thread of the kernel has no files
	}
	n, err := c.countFiles(dir + "/fd")
	switch {
	case err == nil:
		s.Int(&processFiles, n, p.labels[:2]...)
	case errors.Is(err, fs.ErrPermission):
		c.denied = true
	}
}

// secondCount returns the second number of a line.
func secondCount(text []byte) (int64, bool) {
	_, rest, _ := bytes.Cut(text, []byte(" "))
	second, _, _ := bytes.Cut(rest, []byte(" "))
	return parseCount(second)
}

// countsFiles reports whether the size of a process's directory of file
// descriptors is their number, which everybody may know: since Linux 6.2. This
// process has at least d.
func countsFiles(d *os.File) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(int(d.Fd()), &st) != nil || st.Type != unix.PROC_SUPER_MAGIC {
		return false
	}
	info, err := os.Stat(d.Name() + "/self/fd")
	return err == nil && info.Size() > 0
}

// countFiles counts the open file descriptors of a process whose directory of
// them this is.
func (c *processCollector) countFiles(dir string) (int64, error) {
	if c.counts {
		info, err := os.Stat(dir)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	var n int64
	for n < maxFiles {
		names, err := d.Readdirnames(1024)
		n += int64(len(names))
		if err != nil {
			break // the end; or the process has ended
		}
	}
	return n, nil
}
