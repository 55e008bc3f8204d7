package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/common"
	"golang.org/x/sys/unix"
)

// mount is one file system to report. Its labels are valid UTF-8.
type mount struct {
	device, point, fstype, mode string
	dev                         uint64   // the device that statfs must report
	paths                       []string // where this process may find it, the most likely path first
}

// errElsewhere means that this process cannot reach the file system of a mount.
var errElsewhere = errors.New("its path leads to another file system here, or nowhere")

// ask returns the space of the mount's file system. It tries all paths, because
// a path may lead to another file system if this process sees other mounts than
// the host does.
func (m *mount) ask(statfs func(path string) (statfsReply, error)) (space, error) {
	for i, path := range m.paths {
		reply, err := statfs(path)
		switch {
		case err == nil && m.owns(&reply):
			return reply.space, nil
		case i == 0 && err != nil && !isUnseen(err):
			return space{}, err
		}
	}
	return space{}, errElsewhere
}

// owns reports whether the reply is about this file system. btrfs subvolumes
// have device numbers that appear in no table.
func (m *mount) owns(reply *statfsReply) bool {
	return reply.dev == m.dev || m.fstype == "btrfs" && reply.btrfs
}

// isUnseen reports whether err means that this process has no such path, or may
// not look at it.
func isUnseen(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOTDIR)
}

// mountList holds the selected mounts. It is rebuilt when the kernel reports
// that mounts changed, and once a minute in case the kernel cannot report it.
type mountList struct {
	cfg     Config
	types   *regexp.Regexp
	mounts  []mount
	age     time.Time
	watched *os.File // a mounts file of /proc that is polled, or nil
}

func newMountList(cfg Config) mountList {
	types := cfg.FilesystemTypesExclude
	if types == nil {
		types = regexp.MustCompile(DefaultFilesystemTypesExclude)
	}
	return mountList{cfg: cfg, types: types}
}

// current returns the mounts, which are valid until the next call. If they
// cannot be listed, it returns the previous ones with the error.
func (l *mountList) current(ctx context.Context) ([]mount, error) {
	now := time.Now()
	if !l.changed(ctx) && !l.age.IsZero() && now.Sub(l.age) < listAge {
		return l.mounts, nil
	}
	table, err := readTable(ctx)
	if err != nil {
		l.age = time.Time{}
		return l.mounts, fmt.Errorf("list mounts: %w", err)
	}
	l.mounts = l.choose(ctx, table)
	l.age = now
	return l.mounts, nil
}

// readTable returns the mounts of the host. It reads those of the host's
// process 1 or, if that is not permitted, those of this process, which may be
// in a mount namespace of its own.
func readTable(ctx context.Context) ([]mountInfo, error) {
	table, err := readMountinfo(procPath(ctx, "1", "mountinfo"))
	if err == nil {
		return visible(table), nil
	}
	table, errOwn := readMountinfo(procPath(ctx, "self", "mountinfo"))
	if errOwn != nil || hostEnv(ctx, common.HostProcEnvKey) != "" && !showsHost(table, hostRoot(ctx)) {
		return nil, err
	}
	return visible(table), nil
}

// hostRoot returns the path at which this process sees the host's root: "/", or
// a directory of this container.
func hostRoot(ctx context.Context) string { return hostPath(ctx, common.HostRootEnvKey, "/") }

// showsHost reports whether table belongs to a container in which the host's
// root is mounted at root.
func showsHost(table []mountInfo, root string) bool {
	return root != "/" && slices.ContainsFunc(table, func(m mountInfo) bool { return m.point == root })
}

// changed reports whether the mounts may have changed since the last call. The
// kernel flags a change on the file itself, which costs one poll(2).
func (l *mountList) changed(ctx context.Context) bool {
	if l.watched == nil {
		for _, pid := range []string{"1", "self"} { // in the order of readTable
			// Not os.Open: it would register a file that can be polled with the
			// runtime's poller, which then consumes the flag.
			path := procPath(ctx, pid, "mountinfo")
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				l.watched = os.NewFile(uintptr(fd), path)
				break
			}
		}
		return true
	}
	fds := []unix.PollFd{{Fd: int32(l.watched.Fd()), Events: unix.POLLPRI}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// choose returns the mounts to report. Without an include pattern it reports
// each device once, at its first mount, and each btrfs subvolume separately. It
// leaves out bind mounts, because they show a directory of a file system that
// is already reported. The root is an exception: with LXC, nspawn or OSTree it
// is such a directory, and may be the only mount of its device.
func (l *mountList) choose(ctx context.Context, table []mountInfo) []mount {
	type place struct {
		dev       uint64
		subvolume string
	}
	root, seen := hostRoot(ctx), make(map[place]bool)
	inContainer := showsHost(table, root)
	var mounts []mount
	for i := range table {
		m := &table[i]
		point := m.point
		if inContainer {
			below, found := belowRoot(point, root)
			if !found {
				continue
			}
			point = below
		}
		whole := m.root == "/" || m.subvolume() != "" || point == "/"
		if l.types.MatchString(m.fstype) || !l.cfg.Filesystem.Match(label(point), whole) {
			continue
		}
		at := place{m.dev, m.subvolume()}
		if l.cfg.Filesystem.Include == nil && seen[at] {
			continue
		}
		seen[at] = true
		mounts = append(mounts, newMount(ctx, m, point))
	}
	return mounts
}

// newMount describes the mount that the host has at point. This process finds
// it at that path below HOST_ROOT. If this process sees other mounts than the
// host, it also looks through the host's process 1, if that is permitted.
func newMount(ctx context.Context, m *mountInfo, point string) mount {
	mode := "rw"
	if m.readOnly() {
		mode = "ro"
	}
	return mount{
		device: label(deviceOf(ctx, m)), point: label(point), fstype: label(m.fstype), mode: mode, dev: m.dev,
		paths: []string{filepath.Join(hostRoot(ctx), point), procPath(ctx, "1", "root", point)},
	}
}

// label returns a copy of name as valid UTF-8. The names in m share the memory
// of a whole file.
func label(name string) string { return strings.ToValidUTF8(strings.Clone(name), "\uFFFD") }

// deviceOf returns the name of the device as in /dev. Without an initial RAM
// disk the kernel names a device for the root file system that does not exist.
func deviceOf(ctx context.Context, m *mountInfo) string {
	if m.source != "/dev/root" {
		return m.source
	}
	number := fmt.Sprintf("%d:%d", unix.Major(m.dev), unix.Minor(m.dev))
	target, err := os.Readlink(sysPath(ctx, "dev/block", number))
	if err != nil {
		return m.source
	}
	return "/dev/" + deviceName(filepath.Base(target))
}

// belowRoot converts a mount point of this container to the host's path, where
// the host's root is mounted at root.
func belowRoot(point, root string) (below string, found bool) {
	rest, found := strings.CutPrefix(point, root)
	if !found || rest != "" && rest[0] != '/' {
		return "", false
	}
	return "/" + strings.TrimPrefix(rest, "/"), true
}
