package ship_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutate = flag.Bool("mutants", false, "have TestMutantsOfRefusals break each rule of docs/delivery.md#refusals")

// ruleMutant is a mistake that somebody could make in a rule of
// docs/delivery.md#refusals, and the test that must notice it.
type ruleMutant struct {
	rule, file, old, new, test string
}

// Each old text occurs once in its file.
var ruleMutants = []ruleMutant{
	{
		"1: once more unchanged", "search.go",
		"\tfor range tries {\n", "\tfor range tries * 0 {\n", "TestRefusalsByReplicas",
	},
	{
		"1: both halves are sent", "search.go",
		"for _, half := range slices.Backward(halves) {\n", "for _, half := range halves[:1] {\n", "TestRefusalsOfSeries",
	},
	{
		"1: down to one series", "search.go",
		"\tif len(series) == 1 {\n", "\tif len(series) <= 2 {\n", "TestRefusalsOfSeries",
	},
	{
		"2: fresh batches leave suspects out", "refused.go",
		" || r.suspects[x] || len(r.suspects) > 0 && len(r.known) > 0 && !r.known[x]", "", "TestRefusalsOfSeries",
	},
	{
		"2: condemned after an acceptance alone", "search.go",
		"\t\tif q.shipper.acceptances > x.at {\n", "\t\tif q.shipper.acceptances >= x.at {\n", "TestRefusalsOfAll",
	},
	{
		"2: condemned when refused again", "search.go",
		"\tif first == nil && second == nil {\n\t\tq.shipper.condemn", "\tif first == nil || second == nil {\n\t\tq.shipper.condemn", "TestRefusalsOfOldBatch",
	},
	{
		"2: ticks are tried with other series", "judge.go",
		" || q.anotherPasses(x, bad, othersOfTick) {\n", " || true {\n", "TestRefusalsOfTicks",
	},
	{
		"3: condemned series are left out", "refused.go",
		"\treturn r.condemned[x] != nil || r.suspects[x]", "\treturn r.suspects[x]", "TestRefusalsOfSeries",
	},
	{
		"3: probation", "refused.go",
		"probation = 10 * time.Minute", "probation = 0 * time.Minute", "TestRefusalsByReplicas",
	},
	{
		"4: retests", "refused.go",
		"retestFirst = time.Minute", "retestFirst = 1000 * time.Hour", "TestRefusalsForAWhile",
	},
	{
		"4: retests are rare", "refused.go",
		"retestGap = 90 * time.Second", "retestGap = time.Second", "TestRefusalsOfSeries",
	},
	{
		"4: series never accepted travel apart", "refused.go",
		"\t\treturn unknownGroup\n", "\t\treturn 0\n", "TestRefusalsOfChangingSeries",
	},
	{
		"5: everything is refused", "judge.go",
		"\t\t\tq.end = endEverything\n", "", "TestRefusalsOfAll",
	},
	{
		"5: eight other series", "judge.go",
		"othersTried = 8\n", "othersTried = 0\n", "TestRefusalsOf",
	},
	{
		"5: other forms of the body", "judge.go",
		"\tfor _, v := range q.shipper.otherBodies() {\n", "\tfor _, v := range q.shipper.otherBodies()[:0] {\n", "TestRefusalsOfForms",
	},
	{
		"5: probes of a single series", "doubt.go",
		"\treturn d.refusedAll || d.forbidden || d.blamed >= blamedMax\n", "\treturn d.forbidden || d.blamed >= blamedMax\n", "TestRefusalsOfAll",
	},
	{
		"6: failures about the body", "doubt.go",
		"\treturn d.refusedAll || d.forbidden || d.blamed >= blamedMax\n", "\treturn d.refusedAll\n", "TestRefusalsByFailure",
	},
	{
		"6: one batch fails while others are accepted", "doubt.go",
		"\tcase o.MayBeContent && d.fails >= blamedMax:\n", "\tcase false:\n", "TestRefusalsOfOldBatch",
	},
	{
		"7: a size limit", "search.go",
		"\tif len(series) > 2 && q.shipper.sizes", "\tif len(series) < 0 && q.shipper.sizes", "TestRefusalsOfBodies",
	},
	{
		"7: two series together", "search.go",
		"\tif len(second) < len(series) {\n", "\tif len(second) < 0 {\n", "TestRefusalsOfBodies",
	},
	{
		"8: what was condemned is released", "refused.go",
		"\t\tif now.Sub(s.since) < doubtFor {\n\t\t\tdelete(r.condemned, x)\n", "\t\tif now.Sub(s.since) < doubtFor {\n\t\t\t_ = x\n", "TestRefused",
	},
	{
		"8: refusals are doubtful for an hour", "refused.go",
		"\treturn !r.contradicted.IsZero() && now.Sub(r.contradicted) < doubtFor\n", "\treturn false\n", "TestRefusalsByReplicas",
	},
	{
		"9: ages are compared", "judge.go",
		"\ts := q.shipper\n\tif q.now().Sub(time.UnixMilli(q.held.TimeMS)) <", "\ts := q.shipper\n\tif q.now().Sub(time.UnixMilli(q.held.TimeMS)) >= 0 ||\n\t\tq.now().Sub(time.UnixMilli(q.held.TimeMS)) <", "TestRefusalsOf(Age|Order)",
	},
	{
		"9: order", "steer.go",
		"\t\ts.age.order, s.machine.fifo = true, true\n", "", "TestRefusalsOfOrder",
	},
	{
		"10: what was sent is noted", "body.go",
		"\t\ts.spool.Note(h.ID, note)\n", "", "TestRefusalsKilled",
	},
	{
		"10: what is left out is in the id", "grid.go",
		"\t\treturn fmt.Sprintf(\"%s-%08x\", node.path, out.hash32())\n", "\t\treturn fmt.Sprintf(\"%s-%08x\", node.path, 1)\n", "TestRefusalsOfSeries",
	},
	{
		"what is named is the search", "settle.go",
		"\t\t\t\ts.condemn(now, d, x, true)\n", "", "TestRefusalsThatAreNamed",
	},
}

// TestMutantsOfRefusals compiles the package with each mistake and has the named
// rows of the table find it. It runs with -mutants alone: make e2e-mutants.
func TestMutantsOfRefusals(t *testing.T) {
	if !*mutate {
		return
	}
	work := make(chan ruleMutant, len(ruleMutants))
	for _, m := range ruleMutants {
		work <- m
	}
	close(work)
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for m := range work {
				t.Run(m.rule, m.mustBeSeen)
			}
		})
	}
}

func (m ruleMutant) mustBeSeen(t *testing.T) {
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	src, err := filepath.Abs(m.file)
	must(err)
	b, err := os.ReadFile(src)
	must(err)
	if n := strings.Count(string(b), m.old); n != 1 {
		t.Fatalf("%s has %d times\n%s", m.file, n, m.old)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
	must(os.WriteFile(changed, []byte(strings.Replace(string(b), m.old, m.new, 1)), 0o600))
	j, err := json.Marshal(map[string]any{"Replace": map[string]string{src: changed}})
	must(err)
	must(os.WriteFile(overlay, j, 0o600))

	cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-vet=off", "-count=1", "-failfast", "-timeout", "4m", "-run", "^"+m.test, ".")
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if err == nil || !strings.Contains(string(out), "--- FAIL: TestRefus") && !strings.Contains(string(out), "panic: ") {
		t.Errorf("%s does not see it:\n%s", m.test, out)
	}
}
