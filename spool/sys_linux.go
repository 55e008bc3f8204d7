package spool

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openInPlace opens what has that name itself, not what a symbolic link there
// leads to, and keeps a named pipe from blocking whoever opens it.
const openInPlace = unix.O_NONBLOCK | unix.O_NOFOLLOW

// mine reports whether a file is of this process's user.
func mine(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(st.Uid) == os.Geteuid()
}

// flock holds an advisory lock for as long as its file is open.
type flock struct{ *os.File }

func lockFile(path string) (lock, error) {
	f, err := openRegular(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	tighten(f)
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	l := flock{f}
	if !l.Held() {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, os.ErrNotExist)
	}
	return l, nil
}

func (l flock) Held() bool {
	mine, err := l.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(l.Name())
	return err == nil && os.SameFile(mine, there)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // opened for reading
	return d.Sync()
}

func freeBytes(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", path, err)
	}
	return int64(st.Bavail) * int64(st.Frsize), nil //nolint:unconvert // Frsize is 32 bits wide on some machines
}

// diskUsage is what the disk has allocated for a file: 0 for what it has not
// written yet.
func diskUsage(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Blocks) * 512 //nolint:unconvert // 32 bits wide on some machines
	}
	return 0
}
