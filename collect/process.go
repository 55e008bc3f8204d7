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

// errNoPtrace means that some file descriptors cannot be counted.
const errNoPtrace = unavailable("open file descriptors of other users' processes are left out: the agent needs the capability CAP_SYS_PTRACE to count them")

// errHidden means that some processes are hidden.
const errHidden = unavailable("processes that /proc hides (hidepid) are left out: the agent needs the capability CAP_SYS_PTRACE to see them")

// maxNameBytes limits a name that a program may have given itself.
const maxNameBytes = 128

// maxFiles limits how many file descriptors of one process are counted.
const maxFiles = 1 << 20

// processCollector sends the processes that a pattern selects, and those that
// use the most CPU and memory.
type processCollector struct {
	processes Filter
	top       int
	known     map[int]*process // by pid
	tick      uint64
	bootMS    int64
	file      reader
	counts    bool // the kernel counts file descriptors for every user
	denied    bool // the file descriptors of some process could not be counted
	hidden    bool // the stat line of some process could not be read
	newcomers rationing
}

// process is the state of one process.
type process struct {
	stat     processStat
	named    bool   // the include pattern matches
	excluded bool   // the exclude pattern matches
	recent   int64  // CPU ticks since the previous tick
	first    uint64 // the tick in which it was first seen
	tick     uint64 // the tick in which it was last seen
	chosen   uint64 // the tick in which it was last chosen, 0 if never
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

// Collect reads one line for every process, and more only for the chosen ones.
// A process that ends meanwhile is not an error.
func (c *processCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	if c.bootMS == 0 {
		// Only once: the result changes slightly when the clock is set.
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
		// A container's view of the boot time may put the start in the future.
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

// refresh reads the line of every process and removes those that have ended.
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
		if err != nil { // it has ended, or is hidden
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

// note records one line. A process with the same pid but another start time is
// a different process.
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

// rename sets the current name of a process. With a new name it is another
// series and has to qualify for the top again.
func (c *processCollector) rename(p *process, stat *processStat, dir string) {
	// Clone: the line is in the buffer that the name is read into.
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

// wholeName completes a name that the kernel truncated to 15 bytes. It uses the
// first argument if that starts with the name.
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

// choose returns the processes to send, ordered by pid.
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
	// A process that is seen for the first time may be gone by the next tick.
	lasting := slices.DeleteFunc(slices.Clone(all), func(p *process) bool { return p.first == c.tick })
	c.chooseTop(lasting, func(p *process) int64 { return p.recent })
	c.chooseTop(lasting, func(p *process) int64 { return p.stat.pages })
	all = slices.DeleteFunc(all, func(p *process) bool { return p.chosen != c.tick })
	slices.SortFunc(all, func(a, b *process) int { return a.stat.pid - b.stat.pid })
	return all
}

// chooseTop chooses the processes with the largest values of of, if above 0.
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

// rationing limits how many processes can enter the top while a series is
// remembered. On a host that starts programs all the time, they would otherwise
// take the places of all other series.
type rationing struct {
	most  int // 0 means no limit
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

// emit adds the points of one process with the directory dir.
func (c *processCollector) emit(s *metric.Snapshot, p *process, dir string) {
	p.labels[2].Value = "user"
	s.Float(&processCPU, float64(p.stat.user)/userHz, p.labels...)
	p.labels[2].Value = "system"
	s.Float(&processCPU, float64(p.stat.system)/userHz, p.labels...)
	s.Int(&processThreads, p.stat.threads, p.labels[:2]...)
	// On hosts with many CPUs, the value in the stat line lags behind.
	if text, err := c.file.read(dir + "/statm"); err == nil {
		if pages, ok := secondCount(text); ok {
			s.Int(&processMemory, pages*int64(os.Getpagesize()), p.labels[:2]...)
		}
	}
	if p.stat.virtual == 0 {
		return // a kernel thread has no files
	}
	n, err := c.countFiles(dir + "/fd")
	switch {
	case err == nil:
		s.Int(&processFiles, n, p.labels[:2]...)
	case errors.Is(err, fs.ErrPermission):
		c.denied = true
	}
}

// secondCount returns the second number on a line.
func secondCount(text []byte) (int64, bool) {
	_, rest, _ := bytes.Cut(text, []byte(" "))
	second, _, _ := bytes.Cut(rest, []byte(" "))
	return parseCount(second)
}

// countsFiles reports whether the size of a directory of file descriptors is
// their number. That is so since Linux 6.2, and every user may read it. d is
// such a directory of this process, which has at least that file descriptor
// open.
func countsFiles(d *os.File) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(int(d.Fd()), &st) != nil || st.Type != unix.PROC_SUPER_MAGIC {
		return false
	}
	info, err := os.Stat(d.Name() + "/self/fd")
	return err == nil && info.Size() > 0
}

// countFiles counts the open file descriptors of the process with the directory
// dir.
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
			break // end of the directory, or the process has ended
		}
	}
	return n, nil
}
