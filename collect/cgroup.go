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

// cgroups are the control groups of one process: one directory, in the
// unified hierarchy of version 2, or one for each controller of version 1.
// Hosts with both (hybrid) have both. The formats are those of cgroups(7).
type cgroups struct {
	// unified is that of version 2.
	unified cgroup
	// cpu, cpuacct, memory and blkio are those of version 1.
	cpu, cpuacct, memory, blkio cgroup
}

// cgroup is where the files of one control group are. The zero cgroup is one
// that cannot be seen, or the root of its hierarchy: that is the whole host,
// whose readings have names of their own.
type cgroup struct {
	// dirs holds its directory, and then those of its ancestors that can be
	// seen from here, without the root.
	dirs []string
}

func (g cgroup) found() bool { return len(g.dirs) > 0 }

// path returns the path of a file of the group itself.
func (g cgroup) path(name string) string { return g.dirs[0] + "/" + name }

// any reports whether there is any group to read.
func (g cgroups) any() bool {
	return g.unified.found() || g.cpu.found() || g.cpuacct.found() || g.memory.found() || g.blkio.found()
}

// cgroupFinder finds the groups of a process by its directory in /proc. It
// asks for the agent's own, so it reads this system's /proc, never HOST_PROC.
type cgroupFinder struct {
	// proc is /proc, and self the process's directory below it.
	proc, self string
	// root is put before mount points: "" but in tests.
	root string
	file reader
}

// find returns the groups; on a kernel without them, none. It reads two files,
// and looks at as many directories as the groups are deep.
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
		// "4:cpu,cpuacct:/docker/1f2e", "0::/docker/1f2e"; a path may hold colons.
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

// locate returns the group that has path in the hierarchy of a controller, or
// in the unified one for "", through the first mount that shows it.
func (f *cgroupFinder) locate(mounts []mountInfo, controller, path string) cgroup {
	for _, m := range mounts {
		isOne := m.fstype == "cgroup" && hasOption(m.super, controller)
		if controller == "" {
			isOne = m.fstype == "cgroup2"
		}
		if !isOne {
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

// belowMount returns where path is below a mount of root: "" or "/…". Docker
// mounts the container's own group, so that root and path are the same. In a
// cgroup namespace both begin at the namespace's top; what is outside of it
// begins with "/..", and is not to be found by name.
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

// isRootGroup reports whether dir is the root of a hierarchy itself, not just
// the top of what a namespace or a mount shows of it. In version 1 the root
// alone has a release_agent; in version 2 it alone has no cgroup.events.
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

// userHz is the unit of times in /proc and in cpuacct.stat: 100 a second on
// every architecture that Go runs on.
const userHz = 100

// startMS returns since when the groups count, in Unix ms, as nearly as can be
// told: the kernel keeps no birth of a group. A container's group is made for
// its first process, a service's for its own; so it is when the process itself
// started, or process 1 where that is in the same groups.
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

// started returns when a process started, in ticks since boot.
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
