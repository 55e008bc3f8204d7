package collect_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/rs/zerolog"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sink keeps the ticks that it receives as text, and calls a function after
// each.
type sink struct {
	ticks []tick
	after func(n int)
}

// tick maps a series, as "name{key=value,…}", to its point.
type tick map[string]point

type point struct {
	value   metric.Value
	kind    metric.Kind
	startMS int64
	timeMS  int64
}

func (k *sink) Put(s *metric.Snapshot) {
	out := tick{}
	for _, p := range s.Points {
		out[seriesName(p.Series)] = point{p.Value, p.Series.Kind, p.Series.StartMS, s.TimeMS}
	}
	k.ticks = append(k.ticks, out)
	if k.after != nil {
		k.after(len(k.ticks))
	}
}

func seriesName(s *metric.Series) string {
	if len(s.Labels) == 0 {
		return s.Name
	}
	var labels []string
	for _, l := range s.Labels {
		labels = append(labels, l.Key+"="+l.Value)
	}
	return s.Name + "{" + strings.Join(labels, ",") + "}"
}

// TestGolden compares the second of two ticks on each fixture host, taken five
// seconds apart in a bubble's time.
func TestGolden(t *testing.T) {
	for name, states := range fixtureHosts() {
		for _, mode := range []string{"basic", "detailed"} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg := collect.Config{Detailed: mode == "detailed", PerCore: mode == "detailed" && name == "vm"}
					h := newHost(t, states[0])
					k := &sink{after: func(int) { h.write(t, states[1]) }}
					s := collect.NewScheduler(cfg, h.collectors(cfg), k, zerolog.New(os.Stderr))
					check(t, s.Take(h.ctx, 2, 5*time.Second))
					compareGolden(t, filepath.Join("testdata", name, mode+".json"), k.ticks[1])
				})
			})
		}
	}
}

func compareGolden(t *testing.T, path string, got tick) {
	t.Helper()
	readable := map[string]string{}
	for name, p := range got {
		if strings.HasPrefix(name, "heka.agent.") {
			continue // the same on every host
		}
		text := p.kind.String() + " " + string(p.value.Append(nil))
		if p.startMS != 0 {
			text += " since " + time.UnixMilli(p.startMS).UTC().Format(time.TimeOnly)
		}
		readable[name] = text
	}
	text, err := json.MarshalIndent(readable, "", "  ") // sorted by key
	check(t, err)
	text = append(text, '\n')
	if *update {
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, text, 0o644))
		return
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if string(text) != string(want) {
		t.Errorf("%s differs (go test -update rewrites it); got:\n%s", path, text)
	}
}
