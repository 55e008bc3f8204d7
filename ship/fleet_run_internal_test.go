package ship

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	fleetAgents = flag.Int("fleet", 200, "agents of the simulated fleet; 10000 also compares docs/fleet.md")
	fleetWrite  = flag.String("write", "", "directory to write fleet.md and fleet.svg to, of 10000 agents")
)

// fleetPageAgents is the size of the fleet that docs/fleet.md shows.
const fleetPageAgents = 10_000

const fleetSeed = 1

// fleetRun is a row of the table, and what becomes of it.
type fleetRun struct {
	name   string
	cfg    fleetConfig
	limits fleetLimits // the zero limits want nothing
	*fleet
	fleetFigures
}

// fleetRuns are all rows. The first and the last one are what the plot shows.
func fleetRuns() []*fleetRun {
	limits := fleetLimits{peakSteady: 3.5, peakMean: 2, dead: 0.6, refused: 0.03, contact99: time.Minute}
	cautious, announced, atOnce := limits, limits, limits
	cautious.refused = 0.01
	announced.contact99 = 0
	atOnce.peakSteady = 4
	return []*fleetRun{
		{name: "default", cfg: fleetConfig{multiplier: 4}, limits: limits},
		{name: "default, requests time out", cfg: fleetConfig{multiplier: 4, hangs: true}, limits: limits},
		{name: "`HEKA_DRAIN_MULTIPLIER=2`", cfg: fleetConfig{multiplier: 2}, limits: cautious},
		{name: "default, announced", cfg: fleetConfig{multiplier: 4, announced: true}, limits: announced},
		{name: "default, power cut", cfg: fleetConfig{multiplier: 4, reboot: true}, limits: atOnce},
		{name: "no jitter", cfg: fleetConfig{multiplier: 4, noJitter: true}},
	}
}

// After an outage of an hour the fleet does not overrun the server that
// returns, does not keep it waiting either, and every batch arrives.
func TestFleetComesBackWithoutAStampede(t *testing.T) {
	runs := fleetRuns()
	t.Run("fleet", func(t *testing.T) {
		for _, r := range runs {
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				r.simulate(t)
			})
		}
	})
	if t.Failed() || slices.ContainsFunc(runs, func(r *fleetRun) bool { return r.fleet == nil }) { // -run chose some
		return
	}
	fmt.Fprintf(t.Output(), "%d agents\n%s", *fleetAgents, fleetTable(runs))
	if *fleetAgents >= fleetPageAgents && runs[len(runs)-1].peakSteady <= runs[0].limits.peakSteady {
		t.Error("a fleet without jitter passes too: this simulation proves nothing")
	}
	if *fleetAgents == fleetPageAgents {
		keepPage(t, "fleet.md", fleetPage(runs))
		keepPage(t, "fleet.svg", fleetPlot(runs[0], runs[len(runs)-1]))
	}
}

func (r *fleetRun) simulate(t *testing.T) {
	r.cfg.agents = *fleetAgents
	r.fleet = newFleet(r.cfg, fleetSeed)
	if err := r.run(); err != nil {
		t.Fatal(err)
	}
	r.fleetFigures = r.figures()
	fmt.Fprint(t.Output(), r.row(r.name))
	r.agents, r.turns = nil, nil // their memory, in a fleet of 100,000
	for _, miss := range r.limits.misses(r.fleetFigures) {
		t.Error(miss)
	}
}

// keepPage writes a generated file, or wants it to be as it would be written.
func keepPage(t *testing.T, name, want string) {
	t.Helper()
	if *fleetWrite != "" {
		if err := os.WriteFile(filepath.Join(*fleetWrite, name), []byte(want), 0o644); err != nil {
			t.Error(err)
		}
		return
	}
	got, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil || string(got) != want {
		t.Errorf("docs/%s is out of date (%v): make fleet WRITE=1", name, err)
	}
}

// Agents that restart at any time, also with a request under way, lose nothing.
func TestFleetThatRestartsLosesNothing(t *testing.T) {
	f := newFleet(fleetConfig{agents: 100, multiplier: 4, restarts: 10 * time.Minute}, fleetSeed)
	if err := f.run(); err != nil {
		t.Error(err)
	}
	var lives int
	for _, a := range f.agents {
		lives += len(a.took)
	}
	if lives < 500 {
		t.Errorf("%d lives of 100 agents: they did not restart", lives)
	}
}

// The same seed gives the same figures: docs/fleet.md can be compared.
func TestFleetIsDeterministic(t *testing.T) {
	var rows [2]string
	for i := range rows {
		f := newFleet(fleetConfig{agents: 50, multiplier: 4, restarts: time.Hour}, fleetSeed)
		if err := f.run(); err != nil {
			t.Fatal(err)
		}
		rows[i] = fmt.Sprint(f.figures(), f.server.seconds)
	}
	if rows[0] != rows[1] {
		t.Error("two runs of one seed differ")
	}
}

// fleetTable is the table of docs/fleet.md.
func fleetTable(runs []*fleetRun) string {
	var b strings.Builder
	b.WriteString("| rules | peak/steady | peak/mean | load on dead | refused | first contact p50 | p99 | fresh data p99 | drained after |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range runs {
		b.WriteString(r.row(r.name))
	}
	return b.String()
}
