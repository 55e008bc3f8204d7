package collect

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/common"
	"github.com/shirou/gopsutil/v4/disk"
	"golang.org/x/sys/unix"
)

// mount is one file system to report.
type mount struct {
	disk.PartitionStat
	path string // where it is for this process: Mountpoint below HOST_ROOT
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
	// gopsutil would turn /dev/mapper/vg-root into /dev/dm-0, which may be
	// another volume after the next boot.
	partitions, err := disk.PartitionsWithContext(hideHost(ctx, common.HostDevEnvKey), true)
	if err != nil {
		l.age = time.Time{}
		return l.mounts, fmt.Errorf("list mounts: %w", err)
	}
	l.mounts = l.choose(partitions, hostEnv(ctx, common.HostRootEnvKey))
	l.age = now
	return l.mounts, nil
}

// changed reports whether the mounts may differ from those at the last call.
// The kernel flags the change on the file itself; that costs one poll(2).
func (l *mountList) changed(ctx context.Context) bool {
	if l.watched == nil {
		for _, pid := range []string{"1", "self"} { // the order in which gopsutil looks
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

// choose returns the mounts to report. Each mount point shows the file system
// mounted on it last. Without an include pattern each device is reported once,
// where it was mounted first, except that btrfs mounts its subvolumes apart;
// and no bind mount, which shows a directory of a file system reported already.
func (l *mountList) choose(partitions []disk.PartitionStat, root string) []mount {
	covered := make(map[string]bool)
	var mounts []mount
	for _, p := range slices.Backward(partitions) {
		p.Mountpoint = belowRoot(p.Mountpoint, root)
		if covered[p.Mountpoint] {
			continue
		}
		covered[p.Mountpoint] = true
		if !l.types.MatchString(p.Fstype) && l.cfg.Filesystem.Match(p.Mountpoint, !slices.Contains(p.Opts, "bind")) {
			mounts = append(mounts, mount{PartitionStat: p, path: filepath.Join("/", root, p.Mountpoint)})
		}
	}
	slices.Reverse(mounts)
	if l.cfg.Filesystem.Include != nil {
		return mounts
	}
	seen := make(map[string]bool)
	return slices.DeleteFunc(mounts, func(m mount) bool {
		again := seen[m.Device] && m.Fstype != "btrfs"
		seen[m.Device] = true
		return again
	})
}

// belowRoot returns a mount point as the host has it: when the host's root is
// mounted at root and the mounts are those of this container, they start with
// root.
func belowRoot(mountpoint, root string) string {
	if root = filepath.Clean(root); root == "/" || root == "." {
		return mountpoint
	}
	if rest, found := strings.CutPrefix(mountpoint, root); found && (rest == "" || rest[0] == '/') {
		return "/" + strings.TrimPrefix(rest, "/")
	}
	return mountpoint
}
