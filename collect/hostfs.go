package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/common"
)

// hostPath returns the path of elem below the tree that key names, resolved as
// gopsutil does, in the context first and the process environment second:
// readings of one tick must not come from two hosts.
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

// hideHost returns a context in which gopsutil finds nothing in the trees of
// keys: below a path that is no directory.
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

// netProcPath returns the path of a file under /proc/net. That is a link to
// the network of whoever reads it, so when another host's /proc is mounted
// somewhere, the host's network is that of its first process.
func netProcPath(ctx context.Context, name string) string {
	if hostEnv(ctx, common.HostProcEnvKey) != "" {
		path := procPath(ctx, "1", "net", name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return procPath(ctx, "net", name)
}

// reader reads small kernel files into one buffer that it keeps.
type reader struct{ buf []byte }

// maxFileBytes bounds what a reader reads: far more than any file it is for.
const maxFileBytes = 4 << 20

// read returns the file's content, valid until the next read.
func (r *reader) read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r.buf = r.buf[:0]
	for len(r.buf) < maxFileBytes {
		if cap(r.buf)-len(r.buf) < 512 {
			r.buf = append(r.buf, make([]byte, max(1024, cap(r.buf)))...)[:len(r.buf)]
		}
		n, err := f.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		if errors.Is(err, io.EOF) {
			return r.buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("read %s: larger than %d bytes", path, maxFileBytes)
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
