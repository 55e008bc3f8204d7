package collect_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"golang.org/x/sys/unix"
)

// TestThisMachine compares a tick with what this test itself reads from /proc
// just before and just after it.
func TestThisMachine(t *testing.T) {
	for _, key := range []string{"HOST_PROC", "HOST_SYS", "HOST_ROOT", "HOST_PROC_MOUNTINFO"} {
		t.Setenv(key, "")
	}
	cfg := collect.Config{Detailed: true}
	list := collectors(cfg)
	before := readMachine(t)
	got := map[string]float64{}
	s := metric.NewSnapshot(0)
	for _, c := range list {
		s.Reset(1)
		if err := c.Collect(t.Context(), s); err != nil && !errors.Is(err, collect.ErrAbsent) {
			t.Errorf("collector %s: %v", c.Name(), err)
		}
		for _, p := range s.Points {
			got[seriesName(p.Series)] = p.Value.Float64()
		}
	}
	after := readMachine(t)
	for series, low := range before {
		high, both := after[series]
		v, sent := got[series]
		switch {
		case !both: // the device was removed
		case !sent:
			t.Errorf("%s is not sent; /proc says %v", series, low)
		case v < min(low, high) || v > max(low, high):
			t.Errorf("%s = %v, want between %v and %v", series, v, low, high)
		}
	}
	for series := range got {
		for _, prefix := range []string{"system.disk.io{", "system.network.io{"} {
			if _, known := before[series]; strings.HasPrefix(series, prefix) && !known {
				t.Errorf("%s is sent; /proc has no such thing", series)
			}
		}
	}
}

// readMachine returns the expected values of a tick. They only rise or do not
// change.
func readMachine(t *testing.T) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for i, state := range []string{"user", "nice", "system", "", "", "interrupt", "softirq", "steal"} {
		if state != "" { // idle and wait are estimates that may step back
			out["system.cpu.time{state="+state+"}"] = procNumber(t, "/proc/stat", `^cpu `, i+1) / 100
		}
	}
	out["system.processes.created"] = procNumber(t, "/proc/stat", `^processes `, 1)
	out["system.uptime"] = procNumber(t, "/proc/uptime", ``, 0)
	out["system.memory.limit"] = procNumber(t, "/proc/meminfo", `^MemTotal:`, 1) * 1024
	out["system.memory.linux.hugepages.page_size"] = procNumber(t, "/proc/meminfo", `^Hugepagesize:`, 1) * 1024
	out["system.paging.operations{direction=page_in,type=major}"] = procNumber(t, "/proc/vmstat", `^pswpin `, 1)
	out["system.paging.faults{type=major}"] = procNumber(t, "/proc/vmstat", `^pgmajfault `, 1)

	for _, line := range procLines(t, "/proc/diskstats") {
		f := strings.Fields(line)
		if _, err := os.Stat("/sys/block/" + f[2] + "/device"); err != nil || f[3] == "0" || regexp.MustCompile(`^(sr|fd)`).MatchString(f[2]) {
			continue
		}
		out[fmt.Sprintf("system.disk.io{device=%s,direction=read}", f[2])] = number(t, f[5]) * 512
		out[fmt.Sprintf("system.disk.io{device=%s,direction=write}", f[2])] = number(t, f[9]) * 512
		out[fmt.Sprintf("system.disk.operation_time{device=%s,direction=write}", f[2])] = number(t, f[10]) / 1000
	}
	virtual := regexp.MustCompile(collect.DefaultNetworkExclude)
	for _, line := range procLines(t, "/proc/net/dev")[2:] {
		f := strings.Fields(strings.Replace(line, ":", " ", 1))
		if !virtual.MatchString(f[0]) {
			out[fmt.Sprintf("system.network.io{device=%s,direction=receive}", f[0])] = number(t, f[1])
			out[fmt.Sprintf("system.network.io{device=%s,direction=transmit}", f[0])] = number(t, f[9])
		}
	}
	readRoot(t, out)
	return out
}

// readRoot adds the size of / if its type is reported.
func readRoot(t *testing.T, out map[string]float64) {
	t.Helper()
	var root unix.Statfs_t
	check(t, unix.Statfs("/", &root))
	for _, line := range procLines(t, "/proc/mounts") {
		f := strings.Fields(line)
		if f[1] == "/" && f[2] == "ext4" && f[0] != "/dev/root" {
			mode, _, _ := strings.Cut(f[3], ",")
			labels := fmt.Sprintf("{device=%s,mountpoint=/,type=ext4,mode=%s,state=reserved}", f[0], mode)
			out["system.filesystem.usage"+labels] = float64((root.Bfree - root.Bavail) * uint64(root.Bsize))
		}
	}
}

func procLines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// procNumber returns a field of the first line that matches, or 0 if none does.
func procNumber(t *testing.T, path, line string, field int) float64 {
	t.Helper()
	re := regexp.MustCompile(line)
	for _, l := range procLines(t, path) {
		if re.MatchString(l) {
			return number(t, strings.Fields(l)[field])
		}
	}
	return 0
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	check(t, err)
	return v
}

func TestBootTime(t *testing.T) {
	h := newHost(t, vm()[0])
	if got, err := collect.BootTimeMS(h.ctx); got != 1795368867000 || err != nil {
		t.Errorf("BootTimeMS = %d, %v, want 1795368867000", got, err)
	}
	h.write(t, tree{"proc/stat": "cpu 1 2 3\n"})
	if got, err := collect.BootTimeMS(h.ctx); err == nil {
		t.Errorf("BootTimeMS without btime = %d, want an error", got)
	}
}
