package watch

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// column is one column of the table.
type column struct {
	title string
	cell  func(h *wire.Host, now time.Time) string
}

// maxCell limits the width of a cell, because an agent may send any host name.
const maxCell = 28

func columns() []column {
	number := func(of func(*wire.Host) int64) func(*wire.Host, time.Time) string {
		return func(h *wire.Host, _ time.Time) string { return strconv.FormatInt(of(h), 10) }
	}
	return []column{
		{"HOST", func(h *wire.Host, _ time.Time) string { return h.Host }},
		{"SEEN", func(h *wire.Host, now time.Time) string { return ago(now.Sub(time.UnixMilli(h.LastSeenMS))) }},
		{"CPU", func(h *wire.Host, _ time.Time) string { return percent(h.Latest.CPU) }},
		{"MEMORY", func(h *wire.Host, _ time.Time) string { return share(h.Latest.MemoryUsed, h.Latest.MemoryLimit) }},
		{"READ/s", func(h *wire.Host, _ time.Time) string { return size(h.Latest.DiskRead) }},
		{"WRITE/s", func(h *wire.Host, _ time.Time) string { return size(h.Latest.DiskWrite) }},
		{"FULLEST", func(h *wire.Host, _ time.Time) string { return fullest(h.Latest.Filesystems) }},
		{"BATCHES", number(func(h *wire.Host) int64 { return h.Batches })},
		{"POINTS", number(func(h *wire.Host) int64 { return h.Points })},
		{"TICKS", number(func(h *wire.Host) int64 { return h.Ticks })},
		{"MISSING", number(func(h *wire.Host) int64 { return h.MissingTicks })},
		{"GAPS", number(func(h *wire.Host) int64 { return h.Gaps })},
		{"DUP", number(func(h *wire.Host) int64 { return h.Duplicates })},
		{"LOST", func(h *wire.Host, _ time.Time) string { return lost(h.Loss) }},
	}
}

// Table returns the hosts as lines of aligned columns, after a line of titles.
// The lines contain no control characters, whatever agents sent.
func Table(hosts []wire.Host, now time.Time) []string {
	all := columns()
	rows := make([][]string, 1, len(hosts)+1)
	for _, c := range all {
		rows[0] = append(rows[0], c.title)
	}
	for i := range hosts {
		row := make([]string, 0, len(all))
		for _, c := range all {
			row = append(row, printable(c.cell(&hosts[i], now)))
		}
		rows = append(rows, row)
	}
	return align(rows)
}

// align pads cells to the width of their column. The first column is aligned to
// the left, the others to the right.
func align(rows [][]string) []string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, 0, len(rows))
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				line.WriteString(cell + padding)
			} else {
				line.WriteString("  " + padding + cell)
			}
		}
		lines = append(lines, line.String())
	}
	return lines
}

// printable replaces characters that are not visible, and truncates a long
// text.
func printable(s string) string {
	runes := []rune(s)
	if len(runes) > maxCell {
		runes = append(runes[:maxCell-1], '…')
	}
	for i, r := range runes {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			runes[i] = '?'
		}
	}
	return string(runes)
}

func ago(d time.Duration) string {
	switch {
	case d < time.Second:
		return "now"
	case d < 100*time.Second:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	default:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
}

func percent(ratio *float64) string {
	if ratio == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", *ratio*100)
}

func share(used, limit *float64) string {
	if used == nil || limit == nil || *limit <= 0 {
		return size(used)
	}
	return fmt.Sprintf("%s/%s %.0f%%", size(used), size(limit), *used / *limit * 100)
}

// size formats bytes with at most three digits.
func size(bytes *float64) string {
	if bytes == nil {
		return "-"
	}
	v, unit := *bytes, 0
	for v >= 999.5 && unit < len("KMGTPE") {
		v /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%.0fB", v)
	}
	digits := 1
	if v >= 99.95 {
		digits = 0
	}
	return fmt.Sprintf("%.*f%c", digits, v, "KMGTPE"[unit-1])
}

func fullest(all []wire.Filesystem) string {
	text, most := "-", -1.0
	for _, fs := range all {
		if fs.Size > 0 && fs.Used/fs.Size > most {
			most = fs.Used / fs.Size
			text = fmt.Sprintf("%s %.0f%%", printable(fs.Mountpoint), most*100)
		}
	}
	return text
}

func lost(loss map[string]int64) string {
	var sum int64
	for _, points := range loss {
		sum += points
	}
	return strconv.FormatInt(sum, 10)
}
