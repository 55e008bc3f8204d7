package collect_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// asFirstProcess runs the test again as process 1 of new pid and mount
// namespaces. It returns true in that process.
func asFirstProcess(t *testing.T) bool {
	t.Helper()
	if os.Getenv("HEKA_TEST_FIRST") != "" {
		check(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
		check(t, unix.Mount("proc", "/proc", "proc", 0, ""))
		return true
	}
	probe := t.TempDir()
	if err := unix.Mount("hekaprobe", probe, "tmpfs", 0, "size=4k"); err != nil {
		t.Skipf("needs to be allowed to mount (CAP_SYS_ADMIN): %v", err)
	}
	check(t, unix.Unmount(probe, unix.MNT_DETACH))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "HEKA_TEST_FIRST=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	return false
}

// TestRealMounts creates mounts of many kinds. Each must report the space of
// its own file system under its own name.
func TestRealMounts(t *testing.T) {
	if !asFirstProcess(t) {
		return
	}
	for _, key := range []string{"HOST_PROC", "HOST_SYS", "HOST_ROOT"} {
		t.Setenv(key, "")
	}
	top := t.TempDir()
	check(t, unix.Mount("hekatop", top, "tmpfs", 0, "size=1m"))
	defer func() { check(t, unix.Unmount(top, unix.MNT_DETACH)) }()
	mount := func(name, source, size string) {
		t.Helper()
		check(t, os.MkdirAll(filepath.Join(top, name), 0o755))
		check(t, unix.Mount(source, filepath.Join(top, name), "tmpfs", 0, "size="+size))
	}
	bind := func(from, to string) {
		t.Helper()
		check(t, unix.Mount(filepath.Join(top, from), filepath.Join(top, to), "", unix.MS_BIND, ""))
	}
	mount("caf\xe9", "tmpfs", "1m")
	mount(`a "b"`, "tmpfs", "2m")
	mount("tab\tline\n#\\040", "so \"urce\"\xff", "3m")
	mount("plain", "tmpfs", "4m")
	mount("covered", "tmpfs", "5m")
	mount("covered", "tmpfs", "6m")
	mount("dir/below", "tmpfs", "7m")
	mount("dir", "tmpfs", "8m") // covers the parent's directory, so nothing below can be reached
	check(t, os.Mkdir(filepath.Join(top, "plain/sub"), 0o755))
	check(t, os.WriteFile(filepath.Join(top, "file"), nil, 0o644))
	check(t, os.WriteFile(filepath.Join(top, "plain/file"), nil, 0o644))
	check(t, os.Mkdir(filepath.Join(top, "binding"), 0o755))
	bind("plain/sub", "binding")
	bind("plain/file", "file")
	check(t, os.Remove(filepath.Join(top, "plain/sub"))) // it stays mounted, as deleted

	cfg := collect.Config{
		Timeout: time.Minute, Interval: time.Hour, FilesystemTypesExclude: regexp.MustCompile(`^$`),
		Filesystem: collect.Filter{Exclude: regexp.MustCompile(`^/(proc|sys|dev|run|mnt|$)`)},
	}
	k := &sink{}
	var list []collect.Collector
	for _, b := range collect.Builtins() {
		if b.Name == "filesystem" {
			list = append(list, b.New(cfg))
		}
	}
	check(t, collect.NewScheduler(cfg, list, k, zerolog.New(os.Stderr)).Take(t.Context(), 1, time.Second))
	want := map[string]int64{
		"tmpfs caf\uFFFD": 1, `tmpfs a "b"`: 2, "so \"urce\"\uFFFD tab\tline\n#\\040": 3, "tmpfs plain": 4, "tmpfs covered": 6, "tmpfs dir": 8,
		"hekatop ": 1,
	}
	name := regexp.MustCompile(`(?s)^system\.filesystem\.usage\{device=(.*),mountpoint=` + regexp.QuoteMeta(top) + `/?(.*),type=tmpfs,mode=rw,state=free\}$`)
	for series, p := range k.ticks[0] {
		m := name.FindStringSubmatch(series)
		if m == nil {
			continue
		}
		size, known := want[m[1]+" "+m[2]]
		if got := p.value.Int64(); !known || got > size<<20 || got < size<<20-64<<10 {
			t.Errorf("%q on %q has %d bytes free, want %d MiB (known: %v)", m[2], m[1], got, size, known)
		}
		delete(want, m[1]+" "+m[2])
	}
	if len(want) > 0 {
		t.Errorf("not sent: %v", want)
	}
	if got := k.ticks[0]["heka.agent.mounts.hidden"].value.Int64(); got != 0 {
		t.Errorf("%d mounts are hidden", got)
	}
}
