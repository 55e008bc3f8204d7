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

// mount is one file system to report. What is a label is valid UTF-8.
type mount struct {
	device, point, fstype, mode string
	dev                         uint64   // whose figures they have to be
	paths                       []string // where it may be for this process, the likeliest first
}

// errElsewhere reports a mount whose figures this process cannot have.
var errElsewhere = errors.New("its path leads to another file system here, or nowhere")

// ask returns the space of the file system, and no other one's: the path may
// lead elsewhere where this process sees other mounts than the host.
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

// owns reports whether the reply is of this file system. The subvolumes of btrfs
// have numbers of their own, which no table has.
func (m *mount) owns(reply *statfsReply) bool {
	return reply.dev == m.dev || m.fstype == "btrfs" && reply.btrfs
}

// isUnseen tells of a path that is not there for this process, or not for it to
// look at.
func isUnseen(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOTDIR)
}

// mountList keeps the selected mounts. It is renewed when the kernel says that
// a mount came or went, and once a minute in case it cannot say.
type mountList struct {
	cfg     Config
	types   *regexp.Regexp
	mounts  []mount
	age     time.Time
	watched *os.File // a mounts file of /proc, or nil
}

func newMountList(cfg Config) mountList {
	types := cfg.FilesystemTypesExclude
	if types == nil {
		types = regexp.MustCompile(DefaultFilesystemTypesExclude)
	}
	return mountList{cfg: cfg, types: types}
}

// current returns the mounts, valid until the next call. When they cannot be
// listed it returns those of before, with the error.
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

// readTable returns the mounts of the host: those of its first process or, where
// that may not be read, those of this one, which may be in a namespace apart.
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

// hostRoot returns where the host's root is for this process: "/", or a
// directory of this container's.
func hostRoot(ctx context.Context) string { return hostPath(ctx, common.HostRootEnvKey, "/") }

// showsHost reports whether a table is one of this container, where the host's
// root is mounted at root.
func showsHost(table []mountInfo, root string) bool {
	return root != "/" && slices.ContainsFunc(table, func(m mountInfo) bool { return m.point == root })
}

// changed reports whether the mounts may differ from those at the last call.
// The kernel flags the change on the file itself; that costs one poll(2).
func (l *mountList) changed(ctx context.Context) bool {
	if l.watched == nil {
		for _, pid := range []string{"1", "self"} { // as readTable
			// Not os.Open: a file that can be polled it would hand to the runtime's
			// poller, which then takes the flag.
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

// choose returns the mounts to report. Without an include pattern each device is
// reported once, where it was mounted first, except that btrfs mounts its
// subvolumes apart; and no bind mount, which shows a directory of a file system
// reported already. The root is none: that of LXC, nspawn or OSTree is such a
// directory, and may be all that there is of its device.
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

// newMount describes what is mounted at point for the host. It can be found
// there below HOST_ROOT and, where this process sees other mounts than the host,
// through the host's first process, if that is allowed.
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

// label returns a name as text of its own: m's share the memory of a whole file.
func label(name string) string { return strings.ToValidUTF8(strings.Clone(name), "\uFFFD") }

// deviceOf returns the name of the device as in /dev. For the root file system
// without an initial RAM disk the kernel has one that is not there.
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

// belowRoot returns a mount point of this container as the host has it, where
// the host's root is mounted at root.
func belowRoot(point, root string) (below string, found bool) {
	rest, found := strings.CutPrefix(point, root)
	if !found || rest != "" && rest[0] != '/' {
		return "", false
	}
	return "/" + strings.TrimPrefix(rest, "/"), true
}
