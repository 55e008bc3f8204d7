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

// TestTheHostFromWithinAContainer makes a container, namespaces of mounts and
// network with the host's root mounted in a directory, and takes a tick there.
// With the HOST_ variables it has the series of a tick on the host; without
// them it has not.
func TestTheHostFromWithinAContainer(t *testing.T) {
	if out := os.Getenv("HEKA_TEST_CONTAINER"); out != "" {
		insideContainer(t, out)
		return
	}
	for _, key := range []string{"HOST_PROC", "HOST_SYS", "HOST_ETC", "HOST_ROOT", "HOST_RUN", "HOST_DEV"} {
		t.Setenv(key, "")
	}
	host := t.TempDir()
	if err := unix.Mount("hekahost", host, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("needs to be allowed to mount (CAP_SYS_ADMIN): %v", err)
	}
	defer func() { check(t, unix.Unmount(host, unix.MNT_DETACH)) }()
	want := seriesOfTheHost(t)
	mine := "system.filesystem.usage{device=hekahost,mountpoint=" + host + ",type=tmpfs,mode=rw,state=free}"
	if want[mine] != 3<<20 {
		t.Fatalf("the host has no %s", mine)
	}
	root := t.TempDir()
	for name, variables := range map[string][]string{
		"host":      {"HOST_PROC=" + root + "/proc", "HOST_SYS=" + root + "/sys", "HOST_ROOT=" + root},
		"container": nil,
	} {
		got := containerSeries(t, append(variables, "HEKA_TEST_ROOT="+root, "HEKA_TEST_HOST="+host))
		lacks, more := without(want, got), without(got, want)
		if isHost := len(lacks)+len(more) == 0 && got[mine] == want[mine]; isHost != (name == "host") {
			t.Errorf("%s: the tick lacks %v of the host's series and has %v more; %s = %v", name, lacks, more, mine, got[mine])
		}
	}
}

// without returns the keys of a that b lacks.
func without(a, b map[string]float64) (keys []string) {
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if _, there := b[key]; !there {
			keys = append(keys, key)
		}
	}
	return keys
}

// containerSeries returns a container's tick, run by this test's binary.
func containerSeries(t *testing.T, variables []string) map[string]float64 {
	t.Helper()
	out := filepath.Join(t.TempDir(), "series.json")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheHostFromWithinAContainer$")
	cmd.Env = append(os.Environ(), "HEKA_TEST_CONTAINER="+out)
	cmd.Env = append(cmd.Env, variables...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	text, err := os.ReadFile(out)
	check(t, err)
	var series map[string]float64
	check(t, json.Unmarshal(text, &series))
	return series
}

// insideContainer mounts the host's root and writes what a tick says.
func insideContainer(t *testing.T, out string) {
	check(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
	check(t, unix.Mount("/", os.Getenv("HEKA_TEST_ROOT"), "", unix.MS_BIND|unix.MS_REC, ""))
	// What the host has at this path the container has not.
	check(t, unix.Unmount(os.Getenv("HEKA_TEST_HOST"), unix.MNT_DETACH))
	text, err := json.Marshal(seriesOfTheHost(t))
	check(t, err)
	check(t, os.WriteFile(out, text, 0o644))
}

// seriesOfTheHost returns the first tick of the collectors on by default, with
// the labels of each mount.
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
