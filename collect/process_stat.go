package collect

import (
	"bytes"
	"strings"
	"unicode"
)

// processStat holds the fields that are used of a line of /proc/PID/stat.
type processStat struct {
	pid     int
	comm    []byte // the raw name
	started int64  // in userHz since boot

	user, system int64 // CPU time in userHz
	threads      int64
	virtual      int64 // bytes
	pages        int64 // resident pages
}

func (p *processStat) cpu() int64 { return p.user + p.system }

// parseProcessStat parses a line of /proc/PID/stat. proc_pid_stat(5) numbers
// the fields from 1. The name, field 2, is in parentheses and may contain any
// bytes, including parentheses. The result shares the text's memory. ok is
// false if the line is incomplete.
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

// parseCount parses a number of a process. It limits the number so that no sum
// or product of it overflows.
func parseCount(text []byte) (n int64, ok bool) {
	v, ok := parseUint(text)
	return int64(v), ok && v < 1e15
}

// lasting returns the name without its changing part. The name of a kernel
// worker, "kworker/u8:2-events", ends with what it currently works on.
func (p *processStat) lasting() []byte {
	if p.virtual != 0 || !bytes.HasPrefix(p.comm, []byte("kworker/")) {
		return p.comm
	}
	if i := bytes.IndexAny(p.comm, "-+"); i > 0 {
		return p.comm[:i]
	}
	return p.comm
}

// cleanName turns the name of a process, which may contain any bytes, into a
// label value.
func cleanName(comm []byte) string {
	text := strings.ToValidUTF8(string(comm), "\uFFFD")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
