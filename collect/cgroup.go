package collect

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// cgroups holds the control groups of one process: a single directory in the
// unified hierarchy of version 2, or one for each controller of version 1. A
// hybrid host has both. cgroups(7) describes the formats.
type cgroups struct {
	// unified is the group of version 2.
	unified cgroup
	// cpu, cpuacct, memory and blkio are the groups of version 1.
	cpu, cpuacct, memory, blkio cgroup
}

// cgroup locates the files of one control group. The zero cgroup stands for a
// group that cannot be seen, and for the root of a hierarchy. The root covers
// the whole host, whose readings have metrics of their own.
type cgroup struct {
	// dirs holds the group's directory, followed by those of its visible
	// ancestors, without the root.
	dirs []string
}

func (g cgroup) found() bool { return len(g.dirs) > 0 }

// path returns the path of a file in the group's own directory.
func (g cgroup) path(name string) string { return g.dirs[0] + "/" + name }

// any reports whether there is any group to read.
func (g cgroups) any() bool {
	return g.unified.found() || g.cpu.found() || g.cpuacct.found() || g.memory.found() || g.blkio.found()
}

// cgroupFinder finds the groups of a process through its directory in /proc.
// The process is the agent itself, so it reads this system's /proc and ignores
// HOST_PROC.
type cgroupFinder struct {
	// proc is /proc; self is the directory of the process below it.
	proc, self string
	// root is prepended to mount points. It is empty except in tests.
	root string
	file reader
}

// find returns the groups. On a kernel without control groups there are none.
// It reads two files and examines one directory for each level of nesting.
func (f *cgroupFinder) find() (cgroups, error) {
	var found cgroups
	text, err := f.file.read(filepath.Join(f.self, "cgroup"))
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return found, fmt.Errorf("find the cgroup: %w", err)
	}
	mounts, err := readMountinfo(filepath.Join(f.self, "mountinfo"))
	if err != nil {
		return found, fmt.Errorf("find the cgroup: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		// "4:cpu,cpuacct:/docker/1f2e", "0::/docker/1f2e"; the path may contain
		// colons.
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		if fields[0] == "0" {
			found.unified = f.locate(mounts, "", fields[2])
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			switch controller {
			case "cpu":
				found.cpu = f.locate(mounts, controller, fields[2])
			case "cpuacct":
				found.cpuacct = f.locate(mounts, controller, fields[2])
			case "memory":
				found.memory = f.locate(mounts, controller, fields[2])
			case "blkio":
				found.blkio = f.locate(mounts, controller, fields[2])
			}
		}
	}
	return found, nil
}

// locate returns the group at path in the hierarchy of controller, or in the
// unified hierarchy if controller is empty. It uses the first mount that shows
// the group.
func (f *cgroupFinder) locate(mounts []mountInfo, controller, path string) cgroup {
	for _, m := range mounts {
		matches := m.fstype == "cgroup" && hasOption(m.super, controller)
		if controller == "" {
			matches = m.fstype == "cgroup2"
		}
		if !matches {
			continue
		}
		below, ok := belowMount(path, m.root)
		if !ok {
			continue
		}
		top := f.root + strings.TrimSuffix(m.point, "/")
		dir := top + below
		if _, err := os.Lstat(dir + "/cgroup.procs"); err != nil {
			continue
		}
		var g cgroup
		for ; !isRootGroup(dir); dir = filepath.Dir(dir) {
			g.dirs = append(g.dirs, dir)
			if len(dir) <= len(top) {
				break
			}
		}
		return g
	}
	return cgroup{}
}

// belowMount returns path relative to root, the root of a mount: "" or "/…".
// Docker mounts the container's own group, so there root and path are equal. In
// a cgroup namespace both start at the top of the namespace. A group outside of
// the namespace starts with "/.." and cannot be found by name.
func belowMount(path, root string) (string, bool) {
	if path == "/.." || strings.HasPrefix(path, "/../") {
		return "", false
	}
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/"))
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.TrimSuffix(rest, "/"), true
}

// isRootGroup reports whether dir is the root of a hierarchy, rather than the
// top of the part that a namespace or a mount shows. In version 1 only the root
// has a release_agent; in version 2 only the root lacks cgroup.events.
func isRootGroup(dir string) bool {
	if _, err := os.Lstat(dir + "/release_agent"); err == nil {
		return true
	}
	if _, err := os.Lstat(dir + "/tasks"); err == nil {
		return false // version 1
	}
	_, err := os.Lstat(dir + "/cgroup.events")
	return err != nil
}

// userHz is the resolution of times in /proc and in cpuacct.stat: 100 per
// second on every architecture that Go supports.
const userHz = 100

// startMS returns the time, in Unix ms, from which the groups count. It is an
// estimate, because the kernel does not record when a group was created. A
// container's group is created for its first process, and a service's group for
// the service. So startMS returns the start of process 1 if that is in the same
// groups, and the start of this process otherwise.
func (f *cgroupFinder) startMS() (int64, error) {
	own, err := f.started(f.self)
	if err != nil {
		return 0, err
	}
	text, err := f.file.read(filepath.Join(f.self, "cgroup"))
	if err != nil {
		return 0, err
	}
	groups := bytes.Clone(text)
	if text, err = f.file.read(filepath.Join(f.proc, "1", "cgroup")); err == nil && bytes.Equal(text, groups) {
		if first, err := f.started(filepath.Join(f.proc, "1")); err == nil {
			own = min(own, first)
		}
	}
	text, err = f.file.read(filepath.Join(f.proc, "stat"))
	if err != nil {
		return 0, err
	}
	boot, ok := statField(text, "btime")
	if !ok {
		return 0, errors.New("no btime in /proc/stat")
	}
	return boot*1000 + own*1000/userHz, nil
}

// started returns the start time of a process, in ticks since boot.
func (f *cgroupFinder) started(dir string) (int64, error) {
	text, err := f.file.read(filepath.Join(dir, "stat"))
	if err != nil {
		return 0, err
	}
	stat, ok := parseProcessStat(text)
	if !ok {
		return 0, fmt.Errorf("%s/stat: not a line of a process", dir)
	}
	return stat.started, nil
}
