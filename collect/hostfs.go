package collect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/common"
	"golang.org/x/sys/unix"
)

// hostPath returns the path of elem below the directory that key names. Like
// gopsutil, it looks in the context first and in the process environment
// second, so that all readings of a tick come from the same host.
func hostPath(ctx context.Context, key common.EnvKeyType, fallback string, elem ...string) string {
	root := hostEnv(ctx, key)
	if root == "" {
		root = fallback
	}
	return filepath.Join(append([]string{root}, elem...)...)
}

func hostEnv(ctx context.Context, key common.EnvKeyType) string {
	if env, ok := ctx.Value(common.EnvKey).(common.EnvMap); ok && env[key] != "" {
		return env[key]
	}
	return os.Getenv(string(key))
}

// hideHost returns a context in which gopsutil finds nothing below the
// directories of keys, because their path is not a directory.
func hideHost(ctx context.Context, keys ...common.EnvKeyType) context.Context {
	env := common.EnvMap{}
	if given, ok := ctx.Value(common.EnvKey).(common.EnvMap); ok {
		maps.Copy(env, given)
	}
	for _, key := range keys {
		env[key] = "/dev/null"
	}
	return context.WithValue(ctx, common.EnvKey, env)
}

func procPath(ctx context.Context, elem ...string) string {
	return hostPath(ctx, common.HostProcEnvKey, "/proc", elem...)
}

func sysPath(ctx context.Context, elem ...string) string {
	return hostPath(ctx, common.HostSysEnvKey, "/sys", elem...)
}

// netProcPath returns the path of a file under /proc/net, which links to the
// network of the process that reads it. If another host's /proc is mounted, the
// host's network is that of its process 1, which may be unreadable.
func netProcPath(ctx context.Context, name string) string {
	if hostEnv(ctx, common.HostProcEnvKey) != "" {
		return procPath(ctx, "1", "net", name)
	}
	return procPath(ctx, "net", name)
}

// deviceName returns the name of a block device as /proc/diskstats and /dev
// have it. sysfs replaces the "/" of "cciss/c0d0" with "!".
func deviceName(sysfs string) string { return strings.ReplaceAll(sysfs, "!", "/") }

// reader reads small kernel files into a buffer that it reuses.
type reader struct{ buf []byte }

// maxFileBytes is the most that a reader reads, far more than any file that it
// is used for.
const maxFileBytes = 4 << 20

// read returns the file's content, which is valid until the next read. It makes
// the system calls itself: registering and finalizing an os.File costs more
// than reading a file of a hundred bytes.
func (r *reader) read(path string) ([]byte, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	r.buf = r.buf[:0]
	for len(r.buf) < maxFileBytes {
		if cap(r.buf)-len(r.buf) < 512 {
			r.buf = append(r.buf, make([]byte, max(1024, cap(r.buf)))...)[:len(r.buf)]
		}
		n, err := retry(func() (int, error) { return unix.Read(fd, r.buf[len(r.buf):cap(r.buf)]) })
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			return r.buf, nil
		}
		r.buf = r.buf[:len(r.buf)+n]
	}
	return nil, fmt.Errorf("read %s: larger than %d bytes", path, maxFileBytes)
}

// retry repeats a system call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// countCPUList counts the CPUs of a kernel list such as "0-3,8".
func countCPUList(list string) (int, error) {
	n := 0
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, errA := strconv.ParseUint(first, 10, 16)
		b, errB := strconv.ParseUint(last, 10, 16)
		if errA != nil || errB != nil || b < a {
			return 0, fmt.Errorf("CPU list %q: want ranges such as 0-3,8", list)
		}
		n += int(b-a) + 1
	}
	return n, nil
}
