package collect

import (
	"bytes"
	"strings"
	"unicode"
)

// processStat is what is used of a line of /proc/PID/stat.
type processStat struct {
	pid     int
	comm    []byte // as it is
	started int64  // since boot, in userHz

	user, system int64 // CPU time in userHz
	threads      int64
	virtual      int64 // bytes
	pages        int64 // resident
}

func (p *processStat) cpu() int64 { return p.user + p.system }

// parseProcessStat reads a line of /proc/PID/stat, whose fields are numbered
// from 1 in proc_pid_stat(5). The name, field 2, is in parentheses and may hold
// anything, parentheses too. It shares the text's memory. ok is false if the
// line is not whole.
func parseProcessStat(text []byte) (p processStat, ok bool) {
	first := bytes.IndexByte(text, '(')
	last := bytes.LastIndexByte(text, ')')
	if first < 1 || last < first {
		return p, false
	}
	pid, ok := parseCount(text[:first])
	if !ok || pid < 1 || pid > 1<<30 {
		return p, false
	}
	p.pid, p.comm = int(pid), text[first+1:last]
	rest := text[last+1:]
	for field := 3; field <= 24; field++ {
		var word []byte
		rest = bytes.TrimLeft(rest, " ")
		word, rest, _ = bytes.Cut(rest, []byte(" "))
		into := p.field(field)
		if into == nil {
			continue
		}
		if *into, ok = parseCount(word); !ok {
			return p, false
		}
	}
	return p, true
}

func (p *processStat) field(n int) *int64 {
	switch n {
	case 14:
		return &p.user
	case 15:
		return &p.system
	case 20:
		return &p.threads
	case 22:
		return &p.started
	case 23:
		return &p.virtual
	case 24:
		return &p.pages
	default:
		return nil
	}
}

// parseCount reads a number of a process: so small that no sum and no product
// of it overflows.
func parseCount(text []byte) (n int64, ok bool) {
	v, ok := parseUint(text)
	return int64(v), ok && v < 1e15
}

// lasting is a name without what changes from tick to tick: to that of a worker
// of the kernel, "kworker/u8:2-events", it adds what the worker is doing.
func (p *processStat) lasting() []byte {
	if p.virtual != 0 || !bytes.HasPrefix(p.comm, []byte("kworker/")) {
		return p.comm
	}
	if i := bytes.IndexAny(p.comm, "-+"); i > 0 {
		return p.comm[:i]
	}
	return p.comm
}

// cleanName makes a label of a process's name, which may hold any bytes.
func cleanName(comm []byte) string {
	text := strings.ToValidUTF8(string(comm), "\uFFFD")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
