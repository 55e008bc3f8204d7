package collect_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// TestTheHostFromWithinAContainer creates a container (mount and network
// namespaces with the host's root mounted in a directory) and takes a tick in
// it. With the HOST_ variables it must have the same series as a tick on the
// host; without them it must not. A service with its own mounts must have them
// without the variables.
func TestTheHostFromWithinAContainer(t *testing.T) {
	if out := os.Getenv("HEKA_TEST_CONTAINER"); out != "" {
		insideContainer(t, out)
		return
	}
	if !asFirstProcess(t) {
		return
	}
	for _, key := range []string{"HOST_PROC", "HOST_SYS", "HOST_ETC", "HOST_ROOT", "HOST_RUN", "HOST_DEV"} {
		t.Setenv(key, "")
	}
	host := t.TempDir()
	check(t, unix.Mount("hekahost", host, "tmpfs", 0, "size=3m"))
	defer func() { check(t, unix.Unmount(host, unix.MNT_DETACH)) }()
	want := seriesOfTheHost(t)
	mine := "system.filesystem.usage{device=hekahost,mountpoint=" + host + ",type=tmpfs,mode=rw,state=free}"
	if want[mine] != 3<<20 {
		t.Fatalf("the host has no %s", mine)
	}
	root := t.TempDir()
	const service, container = unix.CLONE_NEWNS, unix.CLONE_NEWNS | unix.CLONE_NEWNET
	for name, c := range map[string]struct {
		namespaces uintptr
		variables  []string
		isHost     bool
	}{
		"container":                  {container, []string{"HEKA_TEST_HIDE=unmount"}, false},
		"container with variables":   {container, []string{"HEKA_TEST_HIDE=unmount", "HOST_PROC=" + root + "/proc", "HOST_SYS=" + root + "/sys", "HOST_ROOT=" + root}, true},
		"service":                    {service, []string{"HEKA_TEST_HIDE=unmount"}, true},
		"service, mount covered":     {service, []string{"HEKA_TEST_HIDE=cover"}, true},
		"service, mount not written": {service, []string{"HEKA_TEST_HIDE=read only"}, true},
	} {
		got := containerSeries(t, c.namespaces, append(c.variables, "HEKA_TEST_ROOT="+root, "HEKA_TEST_HOST="+host))
		lacks, more := without(want, got), without(got, want)
		if isHost := len(lacks)+len(more) == 0 && got[mine] == want[mine]; isHost != c.isHost {
			t.Errorf("%s: the tick lacks %v of the host's series and has %v more; %s = %v", name, lacks, more, mine, got[mine])
		}
	}
}

// without returns the keys of a that are not in b.
func without(a, b map[string]float64) (keys []string) {
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if _, there := b[key]; !there {
			keys = append(keys, key)
		}
	}
	return keys
}

// containerSeries returns the tick of a container, run by this test binary.
func containerSeries(t *testing.T, namespaces uintptr, variables []string) map[string]float64 {
	t.Helper()
	out := filepath.Join(t.TempDir(), "series.json")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheHostFromWithinAContainer$")
	cmd.Env = append(os.Environ(), "HEKA_TEST_CONTAINER="+out)
	cmd.Env = append(cmd.Env, variables...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	text, err := os.ReadFile(out)
	check(t, err)
	var series map[string]float64
	check(t, json.Unmarshal(text, &series))
	return series
}

// insideContainer mounts the host's root and writes the series of a tick.
func insideContainer(t *testing.T, out string) {
	check(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
	check(t, unix.Mount("/", os.Getenv("HEKA_TEST_ROOT"), "", unix.MS_BIND|unix.MS_REC, ""))
	// What the host has at this path is missing or different in the container.
	switch host := os.Getenv("HEKA_TEST_HOST"); os.Getenv("HEKA_TEST_HIDE") {
	case "unmount":
		check(t, unix.Unmount(host, unix.MNT_DETACH))
	case "cover":
		check(t, unix.Mount("hekacover", host, "tmpfs", 0, "size=7m"))
	case "read only":
		check(t, unix.Mount("", host, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	}
	text, err := json.Marshal(seriesOfTheHost(t))
	check(t, err)
	check(t, os.WriteFile(out, text, 0o644))
}

// seriesOfTheHost returns the first tick of the default collectors, with the
// labels of each mount.
func seriesOfTheHost(t *testing.T) map[string]float64 {
	t.Helper()
	cfg := collect.Config{
		Detailed: true, OmitSelf: true, Timeout: time.Minute, Interval: time.Hour,
		Filesystem:             collect.Filter{Include: regexp.MustCompile(`.`)},
		FilesystemTypesExclude: regexp.MustCompile(`^(?:proc|sysfs|devtmpfs|cgroup2?|fuse.*)$`),
		Network:                collect.Filter{Include: regexp.MustCompile(`.`)},
	}
	k := &sink{}
	s := collect.NewScheduler(cfg, defaultCollectors(cfg), k, zerolog.New(os.Stderr))
	check(t, s.Take(context.WithoutCancel(t.Context()), 1, time.Second))
	out := map[string]float64{}
	for series, p := range k.ticks[0] {
		if !strings.HasPrefix(series, "system.network.connections") { // a container without IPv6 has fewer
			out[series] = p.value.Float64()
		}
	}
	return out
}
