package truth_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect"
)

// hostmetricsRules are for the metrics of the receiver that differ from ours,
// by name, or by name and one label.
var hostmetricsRules = map[string]rule{
	"system.memory.usage{state=cached}": {
		ours:    []string{"system.memory.usage{state=cached}", "system.memory.usage{state=slab_reclaimable}"},
		differs: "system.memory.usage",
	},
	"system.paging.faults": {
		ours: []string{"system.paging.faults{type=$type}"}, factor: 1. / 4096, differs: "system.paging.faults",
	},
	"system.paging.operations{direction=page_in,type=major}":  pagingMajor("page_in"),
	"system.paging.operations{direction=page_out,type=major}": pagingMajor("page_out"),
	"system.paging.operations{direction=page_in,type=minor}":  pagingMinor("page_in"),
	"system.paging.operations{direction=page_out,type=minor}": pagingMinor("page_out"),
	"system.processes.count":                                  {differs: "system.processes.count"},
	"system.network.connections":                              {differs: "system.network.connections"},
	"system.uptime":                                           {ours: []string{"system.uptime{}"}, within: 1, differs: "system.uptime"},
	"system.cpu.time":                                         {ours: []string{"system.cpu.time{state=$state}"}, within: cpuRounding()},
}

// cpuRounding is the possible difference between the kernel's sum over all CPUs
// and the sum of its CPUs, because each of them is rounded down to hundredths
// of a second.
func cpuRounding() float64 { return 0.01 * float64(runtime.NumCPU()+1) }

func pagingMajor(direction string) rule {
	return rule{ours: []string{"system.paging.operations{direction=" + direction + ",type=major}"}, factor: 1. / 4096, differs: "system.paging.operations"}
}

func pagingMinor(direction string) rule {
	return rule{ours: []string{"system.paging.operations{direction=" + direction + ",type=minor}"}, factor: 1. / 4096 / 4, within: 1, differs: "system.paging.operations"}
}

// hostmetricsPoint is a line of output of the program.
type hostmetricsPoint struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

// compareHostmetrics builds the program, which has its own go.mod, so that the
// agent does not depend on the receiver's modules.
func compareHostmetrics(t *testing.T) map[string]bool {
	program := filepath.Join(t.TempDir(), "hostmetrics")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = "hostmetrics"
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	run := exec.CommandContext(t.Context(), program)
	run.Stderr = os.Stderr
	in, err := run.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = run.Wait()
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	return compare(t.Context(), t, func(context.Context) []claim {
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
		var claims []claim
		for lines.Scan() && len(lines.Bytes()) > 0 {
			var p hostmetricsPoint
			if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
				t.Fatalf("%s: %v", lines.Text(), err)
			}
			if c, ok := hostmetricsClaim(t, p); ok {
				claims = append(claims, c)
			}
		}
		return claims
	})
}

func hostmetricsClaim(t *testing.T, p hostmetricsPoint) (claim, bool) {
	series := seriesName(p.Name, p.Labels)
	r, ok := hostmetricsRules[series]
	if !ok {
		r, ok = hostmetricsRules[p.Name]
	}
	if !ok {
		return claim{theirs: series, ours: []string{series}, number: p.Value}, true
	}
	if r.differs != "" {
		explained(t, collect.Hostmetrics, r.differs)
	}
	if r.factor == 0 {
		r.factor = 1
	}
	c := claim{theirs: fmt.Sprintf("%s × %.3g", series, r.factor), ours: r.translate(p.Labels), number: p.Value * r.factor, within: r.within}
	return c, len(c.ours) > 0
}
