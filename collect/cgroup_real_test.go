package collect_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	// burnUntil names the cpu.stat that a child of this test binary reads. The
	// child burns CPU until the file shows throttling.
	burnUntil = "COLLECT_TEST_BURN_UNTIL"
	// eatMemory makes a child allocate memory until it is killed.
	eatMemory = "COLLECT_TEST_EAT_MEMORY"
	// realLimit is more than two children need that are built with -race.
	realLimit = 256 << 20
)

// TestRealCgroup creates cgroups on this machine, in each mounted hierarchy. It
// starts a child in them that is throttled and uses memory, stops the child,
// and compares the collector's values with the files.
func TestRealCgroup(t *testing.T) {
	if file := os.Getenv(burnUntil); file != "" {
		burn(t, file)
		return
	}
	if os.Getenv(eatMemory) != "" {
		eat(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make cgroups")
	}
	dirs := makeCgroups(t)
	quota := dirs["cpu"] + "/cpu.cfs_quota_us"
	limit := dirs["memory"] + "/memory.limit_in_bytes"
	if dirs["cpu"] == "" {
		quota = dirs[""] + "/cpu.max"
	}
	if dirs["memory"] == "" {
		limit = dirs[""] + "/memory.max"
	}
	for path, text := range map[string]string{quota: "20000", limit: strconv.Itoa(realLimit)} {
		if err := os.WriteFile(path, []byte(text), 0o644); errors.Is(err, os.ErrNotExist) {
			t.Skipf("this machine has no controller for it: %v", err)
		} else {
			check(t, err)
		}
	}
	pid := startBurning(t, dirs, filepath.Join(filepath.Dir(quota), "cpu.stat"))
	h := newHost(t, tree{})
	c := containerOf(h)
	setContainerProcess(c, pid)
	// Although nothing runs, the kernel may still add up the counts of the
	// CPUs.
	before := readCgroups(t, dirs)
	got, err := collectOnce(h, c)
	check(t, err)
	if kills, ok := got["container.memory.oom_kills"]; !ok || kills != 0 {
		t.Errorf("container.memory.oom_kills = %v (%v), want 0", kills, ok)
	}
	for series, last := range readCgroups(t, dirs) {
		first := before[series]
		if v, ok := got[series]; !ok || v < min(first, last) || v > max(first, last) {
			t.Errorf("%s = %v (%v), the files say %v and then %v", series, v, ok, first, last)
		}
	}
	if got["container.cpu.throttled.time"] == 0 || got["container.memory.working_set"] < 16<<20 || got["container.cpu.time{state=user}"] == 0 {
		t.Errorf("the child was not throttled, or used no memory: %v", got)
	}
	if _, err := os.Stat(dirs[""] + "/cpu.pressure"); dirs[""] != "" && err == nil && got["container.pressure.stall_time{resource=cpu,type=some}"] == 0 {
		t.Errorf("a child that is throttled waited for no CPU: %v", got)
	}

	eater := startChild(t, dirs, eatMemory+"=1")
	if _, err := eater.in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	if err := eater.cmd.Wait(); eater.cmd.ProcessState.ExitCode() == 0 {
		t.Skip("this machine swaps: a memory limit kills nobody")
	} else if status := eater.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child that took all memory ended with %v", err)
	}
	if got, err = collectOnce(h, c); err != nil || got["container.memory.oom_kills"] != 1 {
		t.Errorf("container.memory.oom_kills = %v, %v, want 1", got["container.memory.oom_kills"], err)
	}
}

// readCgroups returns the contents of the files, in the metrics' units.
func readCgroups(t *testing.T, dirs map[string]string) map[string]float64 {
	t.Helper()
	out := map[string]float64{"container.cpu.limit": 0.2, "container.memory.limit": realLimit}
	if dir := dirs["cpu"]; dir != "" {
		out["container.cpu.throttled.time"] = flatNumber(t, dir+"/cpu.stat", "throttled_time ") / 1e9
	} else {
		out["container.cpu.throttled.time"] = flatNumber(t, dirs[""]+"/cpu.stat", "throttled_usec ") / 1e6
	}
	if dir := dirs["cpuacct"]; dir != "" {
		out["container.cpu.time{state=user}"] = fileNumber(t, dir+"/cpuacct.usage_user") / 1e9
		out["container.cpu.time{state=system}"] = fileNumber(t, dir+"/cpuacct.usage_sys") / 1e9
	} else {
		out["container.cpu.time{state=user}"] = flatNumber(t, dirs[""]+"/cpu.stat", "user_usec ") / 1e6
		out["container.cpu.time{state=system}"] = flatNumber(t, dirs[""]+"/cpu.stat", "system_usec ") / 1e6
	}
	usage, inactive := dirs["memory"]+"/memory.usage_in_bytes", "total_inactive_file "
	if dirs["memory"] == "" {
		usage, inactive = dirs[""]+"/memory.current", "inactive_file "
	}
	out["container.memory.usage"] = fileNumber(t, usage)
	out["container.memory.working_set"] = out["container.memory.usage"] - flatNumber(t, filepath.Dir(usage)+"/memory.stat", inactive)
	return out
}

// burn runs in the child. It holds memory, burns CPU, reports that it was
// throttled, and then waits to be killed.
func burn(t *testing.T, file string) {
	held := make([]byte, 32<<20)
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil { // it is now in its groups
		t.Fatal(err)
	}
	for throttled := false; !throttled; throttled = flatNumber(t, file, "nr_throttled ") >= 2 {
		for i := range held {
			held[i]++
		}
	}
	fmt.Println("throttled")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// eat runs in the child. It allocates memory until it is killed or has four
// times its limit.
func eat(t *testing.T) {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	var held [][]byte
	for range 4 * realLimit >> 20 {
		chunk := make([]byte, 1<<20)
		for i := range chunk {
			chunk[i] = byte(i) | 1
		}
		held = append(held, chunk)
	}
	fmt.Fprintln(os.Stderr, len(held))
}

// makeCgroups creates a group in each hierarchy that this test can use. It
// returns their directories by controller; the key of version 2 is "".
func makeCgroups(t *testing.T) map[string]string {
	t.Helper()
	dirs := map[string]string{}
	mounts, err := os.ReadFile("/proc/self/mounts")
	check(t, err)
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		var controllers []string
		switch f[2] {
		case "cgroup2":
			// The kernel refuses a controller that is missing or belongs to
			// version 1.
			_ = os.WriteFile(f[1]+"/cgroup.subtree_control", []byte("+cpu"), 0o644)
			_ = os.WriteFile(f[1]+"/cgroup.subtree_control", []byte("+memory"), 0o644)
			controllers = []string{""}
		case "cgroup":
			for _, c := range []string{"cpu", "cpuacct", "memory", "blkio"} {
				if strings.Contains(","+f[3]+",", ","+c+",") {
					controllers = append(controllers, c)
				}
			}
		}
		if len(controllers) == 0 || dirs[controllers[0]] != "" {
			continue
		}
		dir := fmt.Sprintf("%s/heka-test-%d", f[1], os.Getpid())
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("cannot make a cgroup: %v", err)
		}
		t.Cleanup(func() { check(t, os.Remove(dir)) })
		for _, c := range controllers {
			dirs[c] = dir
		}
	}
	if len(dirs) == 0 {
		t.Skip("no cgroup hierarchy is mounted")
	}
	return dirs
}

// child is a process of this test binary.
type child struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

// startChild starts a child in the groups. The child waits for a line of input.
func startChild(t *testing.T, dirs map[string]string, variable string) *child {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), variable)
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for _, dir := range dirs {
		check(t, os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0o644))
	}
	return &child{cmd, in, bufio.NewReader(out)}
}

// startBurning starts a child in the groups, stops it once it was throttled,
// and returns its pid.
func startBurning(t *testing.T, dirs map[string]string, cpuStat string) int {
	t.Helper()
	burner := startChild(t, dirs, burnUntil+"="+cpuStat)
	_, err := burner.in.Write([]byte("go\n"))
	check(t, err)
	if line, err := burner.out.ReadString('\n'); line != "throttled\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	check(t, burner.cmd.Process.Signal(unix.SIGSTOP))
	pid := burner.cmd.Process.Pid
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("the child is not stopped: %v, %v", status, err)
	}
	return pid
}

func fileNumber(t *testing.T, path string) float64 {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	return number(t, strings.TrimSpace(string(text)))
}

// flatNumber returns the number of the first line that begins with prefix.
func flatNumber(t *testing.T, path, prefix string) float64 {
	t.Helper()
	for _, line := range procLines(t, path) {
		if strings.HasPrefix(line, prefix) {
			return number(t, strings.Fields(line)[1])
		}
	}
	t.Fatalf("%s has no %s", path, prefix)
	return 0
}
