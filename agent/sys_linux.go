package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// collectProcess adds what the kernel says of this process. It reads the
// agent's own /proc, whatever HOST_PROC is.
func collectProcess(s *metric.Snapshot) error {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return fmt.Errorf("getrusage: %w", err)
	}
	s.Float(&selfCPU, (time.Duration(usage.Utime.Nano()) + time.Duration(usage.Stime.Nano())).Seconds())
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	fields := bytes.Fields(statm) // size resident shared …, in pages: proc(5)
	if len(fields) < 2 {
		return fmt.Errorf("/proc/self/statm: %d fields", len(fields))
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return fmt.Errorf("/proc/self/statm: %w", err)
	}
	s.Int(&selfRSS, pages*int64(os.Getpagesize()))
	return nil
}

// openNoFollow fails to open a symbolic link, and does not wait for whoever reads
// a named pipe.
const openNoFollow = unix.O_NOFOLLOW | unix.O_NONBLOCK

// hardLinkedByOthers reports whether a file has another name, which somebody who
// may write to its directory may have given it: it could be any file.
func hardLinkedByOthers(file os.FileInfo, dir string) bool {
	st, ok := file.Sys().(*syscall.Stat_t)
	in, err := os.Stat(dir)
	return ok && err == nil && file.Mode().IsRegular() && st.Nlink > 1 && in.Mode().Perm()&0o022 != 0
}

// autoMinFree is HEKA_SPOOL_MIN_FREE's default: 256 MiB or 5 % of the disk
// that dir is on, or will be on, whichever is less.
func autoMinFree(dir string) int64 {
	const most = 256 << 20
	var disk unix.Statfs_t
	for unix.Statfs(dir, &disk) != nil {
		parent := filepath.Dir(dir)
		if parent == dir {
			return most
		}
		dir = parent
	}
	return min(most, int64(disk.Blocks/20)*int64(disk.Bsize)) //nolint:unconvert // 32 bits on arm
}
