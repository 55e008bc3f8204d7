package collect

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mountInfo is one line of /proc/PID/mountinfo. proc_pid_mountinfo(5) describes
// the format:
//
//	36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/source rw,errors=continue
//
// The kernel's escapes in names are undone. Names are bytes, not necessarily
// text.
type mountInfo struct {
	id, parent int
	dev        uint64 // device of the file system, as in st_dev
	root       string // the directory or file of the file system that is mounted
	point      string // where it is mounted
	options    string // options of this mount
	fstype     string
	source     string // often a device; may be empty
	super      string // options of the file system, the same for all its mounts
}

// readMountinfo reads a whole file of any size. On a host with ten thousand
// overlay mounts, each line takes kilobytes.
func readMountinfo(path string) ([]mountInfo, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseMountinfo(string(text)), nil
}

// parseMountinfo returns the mounts in the order of the text and skips
// malformed lines. The result shares the memory of text.
func parseMountinfo(text string) []mountInfo {
	table := make([]mountInfo, 0, strings.Count(text, "\n")+1)
	for line := range strings.Lines(text) {
		if m, ok := parseMount(strings.TrimSuffix(line, "\n")); ok {
			table = append(table, m)
		}
	}
	return table
}

func parseMount(line string) (m mountInfo, ok bool) {
	// Fields are separated by exactly one space, so an empty source is a field
	// too. The optional fields, if any, end with a "-".
	fields := strings.Split(line, " ")
	if len(fields) < 9 {
		return m, false
	}
	end := 6 + slices.Index(fields[6:], "-")
	if end < 6 || len(fields) < end+3 {
		return m, false
	}
	id, errID := strconv.Atoi(fields[0])
	parent, errParent := strconv.Atoi(fields[1])
	dev, okDev := parseDev(fields[2])
	if errID != nil || errParent != nil || !okDev {
		return m, false
	}
	return mountInfo{
		id: id, parent: parent, dev: dev,
		root: unescapeMount(fields[3]), point: unescapeMount(fields[4]), options: fields[5],
		fstype: unescapeMount(fields[end+1]), source: unescapeMount(fields[end+2]),
		super: strings.Join(fields[end+3:], " "),
	}, true
}

// parseDev parses a device number such as "98:0".
func parseDev(text string) (dev uint64, ok bool) {
	major, minor, _ := strings.Cut(text, ":")
	a, errA := strconv.ParseUint(major, 10, 32)
	b, errB := strconv.ParseUint(minor, 10, 32)
	return unix.Mkdev(uint32(a), uint32(b)), errA == nil && errB == nil
}

// unescapeMount decodes the kernel's octal escapes: "\040" is a space.
func unescapeMount(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if v, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				out = append(out, byte(v))
				i += 3
				continue
			}
		}
		out = append(out, text[i])
	}
	return string(out)
}

// hasOption reports whether a list such as "rw,noatime" contains the option.
func hasOption(list, option string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == option {
			return true
		}
	}
	return false
}

// subvolume returns the root of a mounted btrfs subvolume, or "" for any other
// mount. A device may have many subvolumes, each of which is reported
// separately.
func (m *mountInfo) subvolume() string {
	if m.fstype == "btrfs" && hasOption(m.super, "subvol="+m.root) {
		return m.root
	}
	return ""
}

// readOnly reports whether the file system cannot be written through this
// mount. The mount may say so, or the file system. After an error ext4 says so
// with an option of its own.
func (m *mountInfo) readOnly() bool {
	return hasOption(m.options, "ro") || hasOption(m.super, "ro") || hasOption(m.super, "emergency_ro")
}

// visible returns the mounts that a path can reach. It leaves out mounts that
// another one covers, and mounts below a directory that another one covers.
func visible(table []mountInfo) []mountInfo {
	type place struct {
		parent int
		point  string
	}
	byID, taken := make(map[int]*mountInfo, len(table)), make(map[place]bool, len(table))
	for i := range table {
		byID[table[i].id] = &table[i]
		taken[place{table[i].parent, table[i].point}] = true
	}
	hidden := make(map[int]bool, len(table))
	var isHidden func(m *mountInfo) bool
	isHidden = func(m *mountInfo) bool {
		if known, asked := hidden[m.id]; asked {
			return known
		}
		hidden[m.id] = false // ends a loop, which no kernel produces
		parent, there := byID[m.parent]
		if !there {
			return false
		}
		for dir := m.point; len(dir) > len(parent.point) && !hidden[m.id]; {
			dir = filepath.Dir(dir)
			hidden[m.id] = taken[place{m.parent, dir}]
		}
		hidden[m.id] = hidden[m.id] || isHidden(parent)
		return hidden[m.id]
	}
	var out []mountInfo
	for i := range table {
		if m := &table[i]; !taken[place{m.id, m.point}] && !isHidden(m) {
			out = append(out, *m)
		}
	}
	return out
}
