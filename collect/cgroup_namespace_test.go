package collect_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// namespaceVersion tells a child of this test binary to read its cgroup from
// within a namespace. Its value, "1" or "2", is the version to mount there.
const namespaceVersion = "COLLECT_TEST_CGROUP_NAMESPACE"

// TestRealNamespace starts a child in a cgroup namespace, as container runtimes
// do. Its own path is "/", the roots of inherited mounts begin with "/..", and
// a mount that is made inside shows the child's group as its top.
func TestRealNamespace(t *testing.T) {
	if version := os.Getenv(namespaceVersion); version != "" {
		readNamespace(t, version)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make cgroups")
	}
	dirs := makeCgroups(t)
	version, limit := "1", dirs["memory"]+"/memory.limit_in_bytes"
	if dirs["memory"] == "" {
		version, limit = "2", dirs[""]+"/memory.max"
	}
	if err := os.WriteFile(limit, []byte(strconv.Itoa(realLimit)), 0o644); err != nil {
		t.Skipf("this machine has no memory controller: %v", err)
	}
	reader := startChild(t, dirs, namespaceVersion+"="+version)
	_, err := reader.in.Write([]byte("go\n"))
	check(t, err)
	line, err := reader.out.ReadString('\n')
	if strings.HasPrefix(line, "skip: ") {
		t.Skip(line)
	}
	var seen, used float64
	if _, scanErr := fmt.Sscanf(line, "before 0, limit %g, usage %g\n", &seen, &used); scanErr != nil || err != nil {
		t.Fatalf("the child says %q, %v, %v; want nothing read through the mounts of before", line, err, scanErr)
	}
	if seen != realLimit || used <= 0 || used > realLimit {
		t.Errorf("limit %v and usage %v, want %v and something below it", seen, used, realLimit)
	}
}

// readNamespace runs in the child. It prints how many points it reads through
// the inherited mounts, and how many through a mount of its own.
func readNamespace(t *testing.T, version string) {
	if _, err := os.Stdin.Read(make([]byte, 3)); err != nil { // it is now in its groups
		t.Fatal(err)
	}
	runtime.LockOSThread() // a namespace belongs to the thread, which ends with the process
	if err := unix.Unshare(unix.CLONE_NEWCGROUP | unix.CLONE_NEWNS); err != nil {
		fmt.Println("skip: no namespaces here:", err)
		return
	}
	check(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	h := newHost(t, tree{})
	c := containerOf(h)
	setContainerThread(c)
	before, _ := collectOnce(h, c)
	point := t.TempDir()
	fstype, options := "cgroup", "memory"
	if version == "2" {
		fstype, options = "cgroup2", ""
	}
	if err := unix.Mount("none", point, fstype, 0, options); err != nil {
		fmt.Println("skip: cannot mount a hierarchy:", err)
		return
	}
	c = containerOf(h)
	setContainerThread(c)
	got, err := collectOnce(h, c)
	check(t, err)
	check(t, unix.Unmount(point, unix.MNT_DETACH))
	fmt.Printf("before %d, limit %g, usage %g\n", len(before), got["container.memory.limit"], got["container.memory.usage"])
}
