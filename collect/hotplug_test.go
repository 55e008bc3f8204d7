package collect_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// TestARealCPUGoesOffline takes a CPU of this machine offline for one tick.
func TestARealCPUGoesOffline(t *testing.T) {
	const file = "/sys/devices/system/cpu/cpu1/online"
	if os.Getenv("HEKA_TEST_CPU_OFFLINE") == "" {
		t.Skip("takes a CPU of this host away for a moment: make soak does")
	}
	if state, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(state)) != "1" {
		t.Skipf("needs a second CPU that can be taken offline: %q, %v", state, err)
	}
	set := func(state string) error { return os.WriteFile(file, []byte(state), 0) }
	defer func() { check(t, set("1")) }()
	for _, perCore := range []bool{false, true} {
		var took []time.Duration
		began := time.Now()
		k := &sink{}
		k.after = func(n int) {
			took = append(took, time.Since(began))
			if err := set(map[int]string{1: "0", 2: "1", 3: "1"}[n]); err != nil {
				t.Skipf("needs to be allowed to take a CPU offline (CAP_SYS_ADMIN): %v", err)
			}
		}
		cfg := collect.Config{PerCore: perCore, Timeout: time.Minute, Interval: time.Hour}
		var list []collect.Collector
		for _, b := range collect.Builtins() {
			if b.Name == "cpu" {
				list = append(list, b.New(cfg))
			}
		}
		check(t, collect.NewScheduler(cfg, list, k, zerolog.Nop()).Take(t.Context(), 3, 20*time.Millisecond))
		count := func(i int) int64 { return k.ticks[i]["system.cpu.logical.count"].value.Int64() }
		cpus := count(0)
		if count(1) != cpus-1 || count(2) != cpus {
			t.Errorf("%d, %d and %d CPUs, want one less in the second tick", cpus, count(1), count(2))
		}
		if _, sent := k.ticks[1]["system.cpu.time{state=idle,cpu=cpu1}"]; sent {
			t.Error("the CPU that is offline has a series")
		}
		for i := 1; i < len(k.ticks); i++ {
			// The kernel rounds by up to two ticks of 10 ms for each CPU and
			// state.
			most := float64(cpus) * (took[i].Seconds() + 0.02)
			for series, p := range k.ticks[i] {
				before, known := k.ticks[i-1][series]
				if delta := p.value.Float64() - before.value.Float64(); known && strings.HasPrefix(series, "system.cpu.time{") && (delta < 0 || delta > most) {
					t.Errorf("per core %v, tick %d: %s rose by %v s, and no more than %v s went by", perCore, i, series, delta, most)
				}
			}
			if u, sent := k.ticks[i][allCPUs]; sent && (u.value.Float64() < 0 || u.value.Float64() > 1) {
				t.Errorf("tick %d: utilization is %v", i, u.value.Float64())
			}
		}
	}
}

// TestARealInterfaceIsRenamed renames the only interface of a network
// namespace.
func TestARealInterfaceIsRenamed(t *testing.T) {
	if os.Getenv("HEKA_TEST_NETWORK") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestARealInterfaceIsRenamed$")
		cmd.Env = append(os.Environ(), "HEKA_TEST_NETWORK=1", "HOST_PROC=")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
		text, err := cmd.CombinedOutput()
		if os.Getuid() != 0 && len(text) == 0 {
			t.Skipf("needs to be allowed to make a network namespace (CAP_SYS_ADMIN): %v", err)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return
	}
	cfg := collect.Config{Network: collect.Filter{Include: regexp.MustCompile(`.`)}}
	var list []collect.Collector
	for _, b := range collect.Builtins() {
		if b.Name == "network" {
			list = append(list, b.New(cfg))
		}
	}
	k := &sink{after: func(n int) {
		if n == 1 {
			rename(t, "lo", "renamed0")
		}
	}}
	check(t, collect.NewScheduler(cfg, list, k, zerolog.Nop()).Take(t.Context(), 2, time.Millisecond))
	for i, want := range []string{"lo", "renamed0"} {
		for _, name := range []string{"lo", "renamed0"} {
			if got := has(k.ticks[i], "system.network.io{device="+name+","); got != (name == want) {
				t.Errorf("tick %d has the interface %s: %v", i, name, got)
			}
		}
		if errorsOf(k.ticks[i], "network") != 0 {
			t.Errorf("tick %d counts an error", i)
		}
	}
}

// rename renames an interface that is down; see netdevice(7).
func rename(t *testing.T, from, to string) {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	defer func() { check(t, unix.Close(socket)) }()
	var request [40]byte // struct ifreq: the name, and a union that holds the new name
	copy(request[:], from)
	copy(request[unix.IFNAMSIZ:], to)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCSIFNAME, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		t.Fatalf("rename %s: %v", from, errno)
	}
}
