package collect_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect"
)

// cpuTree returns a host with n CPUs, each of which has spent the given ticks.
func cpuTree(n int, user, idle, wait int64) tree {
	line := func(name string, n int64) string {
		return fmt.Sprintf("%s %d 0 0 %d %d 0 0 0 0 0\n", name, user*n, idle*n, wait*n)
	}
	stat := line("cpu ", int64(n))
	for i := range n {
		stat += line(fmt.Sprintf("cpu%d", i), 1)
	}
	return tree{"proc/stat": stat + "btime 1\n", "sys/devices/system/cpu/online": fmt.Sprintf("0-%d\n", n-1)}
}

const (
	allCPUs  = "system.cpu.utilization"
	oneCPU   = "system.cpu.utilization{cpu=cpu1}"
	idleTime = "system.cpu.time{state=idle}"
	waitTime = "system.cpu.time{state=wait}"
)

func TestUtilizationWarmsUp(t *testing.T) {
	states := []tree{
		cpuTree(2, 1000, 9000, 0),
		cpuTree(2, 1100, 9300, 0), // 25 %
		cpuTree(4, 1100, 9600, 0), // two more CPUs
		cpuTree(4, 1200, 9700, 0), // 50 %
		cpuTree(2, 1300, 9800, 0), // two CPUs removed
		cpuTree(2, 1400, 9800, 0), // 100 %
	}
	for _, perCore := range []bool{false, true} {
		ticks := ticksOf(t, collect.Config{PerCore: perCore}, states, "cpu")
		for i, want := range []float64{-1, 0.25, -1, 0.5, -1, 1} {
			for _, series := range []string{allCPUs, oneCPU} {
				got, ok := ticks[i][series]
				wanted := want >= 0 && (perCore || series == allCPUs)
				if ok != wanted || (ok && got.value.Float64() != want) {
					t.Errorf("per core %v, tick %d: %s = %v (sent: %v), want %v", perCore, i, series, got.value.Float64(), ok, want)
				}
			}
		}
		for i := 1; i < len(ticks); i++ {
			before, after := ticks[i-1][idleTime].value.Float64(), ticks[i][idleTime].value.Float64()
			if after < before || after > before+40 {
				t.Errorf("per core %v, tick %d: idle time goes from %v s to %v s, want no jump for CPUs that came or went", perCore, i, before, after)
			}
			if start := ticks[i][idleTime].startMS; start != 0 {
				t.Errorf("tick %d: idle time starts anew", i)
			}
		}
	}
}

func TestGuestTimeIsNotCountedTwice(t *testing.T) {
	states := []tree{cpuTree(1, 0, 0, 0), cpuTree(1, 0, 0, 0)}
	states[0]["proc/stat"] = "cpu  1000 0 0 1000 0 0 0 0 900 0\ncpu0 1000 0 0 1000 0 0 0 0 900 0\n"
	states[1]["proc/stat"] = "cpu  1250 0 0 1750 0 0 0 0 1150 0\ncpu0 1250 0 0 1750 0 0 0 0 1150 0\n"
	if got := ticksOf(t, collect.Config{}, states, "cpu")[1][allCPUs].value.Float64(); got != 0.25 {
		t.Errorf("utilization = %v, want 0.25", got)
	}
}

func TestCPUTimesThatFall(t *testing.T) {
	states := []tree{
		cpuTree(1, 1000, 5000, 400),
		cpuTree(1, 1100, 5100, 370), // wait steps back a little and is held
		cpuTree(1, 1200, 5200, 375),
		cpuTree(1, 1300, 5300, 410),
		cpuTree(1, 1400, 100, 410), // idle lost its history and continues from there
		cpuTree(1, 1500, 200, 410),
		cpuTree(1, 0, 0, 0), // everything back to zero, which no real host does
		cpuTree(1, 100, 300, 0),
	}
	ticks := ticksOf(t, collect.Config{Detailed: true}, states, "cpu")
	for i, want := range []float64{4, 4, 4, 4.1, 4.1, 4.1, 4.1, 4.1} {
		if got := ticks[i][waitTime].value.Float64(); got != want {
			t.Errorf("tick %d: wait = %v s, want %v", i, got, want)
		}
	}
	for i, want := range []float64{50, 51, 52, 53, 53, 54, 54, 55} {
		if got := ticks[i][idleTime].value.Float64(); got != want {
			t.Errorf("tick %d: idle = %v s, want %v", i, got, want)
		}
	}
	for i, want := range []float64{-1, 0.5, 0.487805, 0.425532, -1, 0.5, -1, 0.25} {
		got, ok := ticks[i][allCPUs]
		if ok != (want >= 0) || (ok && got.value.Float64() != want) {
			t.Errorf("tick %d: utilization = %v (sent: %v), want %v", i, got.value.Float64(), ok, want)
		}
		var sum float64
		for series, p := range ticks[i] {
			if !strings.HasPrefix(series, allCPUs+"{state=") {
				continue
			}
			v := p.value.Float64()
			if v < 0 || v > 1 {
				t.Errorf("tick %d: %s = %v", i, series, v)
			}
			sum += v
		}
		if ok && (sum < 0.99999 || sum > 1.00001) {
			t.Errorf("tick %d: the states add up to %v, want 1", i, sum)
		}
	}
}

// TestAColumnThatKeepsFalling makes a column fall by the same amount in every
// reading, or in every other one. It counts as 0, and the other columns are
// right.
func TestAColumnThatKeepsFalling(t *testing.T) {
	for column, name := range []string{"user", "nice", "system", "", "", "irq", "softirq", "steal"} {
		for _, every := range []int{1, 2} {
			var states []tree
			for i := range int64(20) {
				values := []int64{400000, 400000, 400000, 8000000 + 70*i, 400000, 400000, 400000, 400000}
				busy := (column + 1) % 3 // one of user, nice and system, but not the one that falls
				values[busy] += 30 * i
				values[column] -= 5000 * (i / int64(every))
				states = append(states, tree{"proc/stat": "cpu  " + strings.Trim(fmt.Sprint(values), "[]") + " 0 0\n", "sys/devices/system/cpu/online": "0\n"})
			}
			if name == "" {
				continue // without idle time no share is right
			}
			for i, k := range ticksOf(t, collect.Config{}, states, "cpu") {
				got, sent := k[allCPUs]
				if sent != (i != 0 && i != every) || sent && got.value.Float64() != 0.3 {
					t.Errorf("%s falls in each %d. reading: tick %d has %v (sent: %v), want 0.3", name, every, i, got.value.Float64(), sent)
				}
			}
		}
	}
}

// TestACPUGoesWhileATickIsTaken takes a CPU offline between the readings of its
// time and of the list of CPUs. The kernel's sum of idle time then jumps one
// tick later.
func TestACPUGoesWhileATickIsTaken(t *testing.T) {
	states := []tree{cpuTree(2, 1000, 9000, 0), cpuTree(2, 1100, 9300, 0), cpuTree(2, 1200, 69300, 0), cpuTree(2, 1300, 69600, 0)}
	for _, state := range states[1:] {
		state["sys/devices/system/cpu/online"] = "0\n"
	}
	ticks := ticksOf(t, collect.Config{}, states, "cpu")
	for i := 1; i < len(ticks); i++ {
		if delta := ticks[i][idleTime].value.Float64() - ticks[i-1][idleTime].value.Float64(); delta < 0 || delta > 6 {
			t.Errorf("tick %d: idle time rose by %v s, want at most 6 s", i, delta)
		}
	}
	if delta := ticks[3][idleTime].value.Float64() - ticks[2][idleTime].value.Float64(); delta != 6 {
		t.Errorf("idle time rises by %v s once that is over, want 6 s", delta)
	}
}
