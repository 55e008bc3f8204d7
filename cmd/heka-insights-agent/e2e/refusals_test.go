package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// refusalCase is a row of the table.
type refusalCase struct {
	name   string
	refuse func(w http.ResponseWriter)
	choose func(i, n int) bool
	from   int
	env    []string
	key    bool // rewrite the key's file, which ends a pause
}

func status(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { http.Error(w, "a series that this backend cannot take", code) }
}

// hangUp closes the connection without an answer.
func hangUp(reset bool) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		if tcp, ok := conn.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		conn.Close()
	}
}

// TestRefusedSeriesCostNothingElse runs the agent against backends that
// permanently refuse any body with a point of certain series. Everything else
// arrives, each point under one id, while the refused points wait in the spool.
// A later agent delivers them when the backend accepts them.
func TestRefusedSeriesCostNothingElse(t *testing.T) {
	t.Parallel()
	one := func(i, n int) bool { return i == n*2/5 }
	var running sync.WaitGroup
	defer running.Wait() // they wait most of the time, so more run than there are processors
	fast := []string{"HEKA_RETRY_INITIAL=100ms", "HEKA_RETRY_MAX=500ms"}
	for _, c := range []refusalCase{
		{name: "400 for one", refuse: status(400), choose: one},
		{name: "422 for three", refuse: status(422), choose: func(i, n int) bool { return i == 1 || i == n/2 || i == n-2 }},
		{name: "400 for a third, scattered", refuse: status(400), choose: func(i, _ int) bool { return i%3 == 1 }},
		{name: "422 for one, in mid-run", refuse: status(422), choose: one, from: 6},
		{name: "500 for one", refuse: status(500), choose: one, env: fast},
		{name: "a reset for one", refuse: hangUp(true), choose: one, env: fast},
		{name: "no answer for one, in mid-run", refuse: hangUp(false), choose: one, env: fast, from: 6},
		{name: "403 for one", refuse: status(403), choose: one, key: true},
	} {
		running.Go(func() { t.Run(c.name, c.run) })
	}
}

func (c *refusalCase) run(t *testing.T) {
	s := newPicky(c.refuse, c.choose, c.from)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	dir, key := filepath.Join(t.TempDir(), "spool"), filepath.Join(t.TempDir(), "key")
	env := append([]string{
		"HEKA_ENDPOINT=" + server.URL + "/v1/batches", "HEKA_AGENT_ID=e2e", "HEKA_INTERVAL=1s", "HEKA_BATCH_INTERVAL=1s", "HEKA_SPOOL_DIR=" + dir,
	}, c.env...)
	if c.key {
		write(t, key, "0")
		env = append(env, "HEKA_API_KEY_FILE="+key)
	}
	agent := launch(t, env, "heka-insights-agent")
	keys := 0
	within(t, "every good series fresh", func() error {
		if keys++; c.key && keys%10 == 0 {
			write(t, key, fmt.Sprint(keys))
		}
		if err := s.fresh(); err != nil {
			return err
		}
		waiting, _, _ := wait(t, dir)
		return s.complete(waiting)
	})
	s.mu.Lock()
	known := s.ticks[len(s.ticks)-2]
	t.Logf("fresh after %d ticks, %d bodies refused", len(s.ticks), s.refusals)
	s.mu.Unlock()
	if code := agent.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	waiting, dead := inSpool(t, dir)
	s.judge(t, known, waiting, dead, agent.output.String())
	c.goOn(t, s, env, dir, waiting)
}

// within is like eventually, with enough time for a search.
func within(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// wait returns the points that wait in a spool, and those in letters.
func wait(t *testing.T, dir string) (waiting, dead map[spot]bool, sum spool.Summary) {
	t.Helper()
	waiting, dead = make(map[spot]bool), make(map[spot]bool)
	sum, err := spool.Inspect(t.Context(), spool.Query{Dir: dir, Segments: true, Letters: true, Payloads: true}, func(f spool.Finding) error {
		into := waiting
		switch {
		case f.Found == spool.FoundLetter:
			into = dead
		case f.Found != spool.FoundRecord || f.State != spool.StateWaiting:
			return nil
		}
		b, err := readBody(f.Record.Payload)
		if err != nil {
			return err
		}
		for _, p := range spotsOf(b) {
			into[p] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return waiting, dead, sum
}

// inSpool returns the points that wait and those in letters. It fails if the
// totals of the spool do not add up.
func inSpool(t *testing.T, dir string) (waiting, dead map[spot]bool) {
	t.Helper()
	waiting, dead, sum := wait(t, dir)
	if sum.Points != int64(len(waiting)) || sum.Dead != int64(len(dead))+sum.LettersLost {
		t.Errorf("%d points wait and %d are dead, counted as %+v", len(waiting), len(dead), sum)
	}
	out, err := operate(t, dir, "ls", "--summary", "--format", "json")
	var said struct {
		Waiting         struct{ Points int64 }
		Totals, Losses  map[string]int64
		Damages         int64
		Letters         int64 `json:"letters_lost"`
		Running, Moved  bool
		QuarantineFiles struct{ Files int64 } `json:"quarantine"`
	}
	if err = errors.Join(err, json.Unmarshal([]byte(out), &said)); err != nil {
		t.Fatal(err)
	}
	n := said.Totals
	if n["appended"] != n["delivered"]+n["evicted"]+n["expired"]+n["corrupt"]+n["dead"]+n["waiting"] ||
		n["waiting"] != sum.Points || said.Waiting.Points != sum.Points || n["evicted"]+n["expired"]+n["corrupt"]+said.Damages+said.QuarantineFiles.Files != 0 {
		t.Errorf("the sums are %s", out)
	}
	for reason, points := range said.Losses {
		if points != 0 {
			t.Errorf("%d points lost: %s", points, reason)
		}
	}
	return waiting, dead
}

// judge fails unless every good point has arrived and every bad point waits or
// is dead. Good points after known may wait.
func (s *picky) judge(t *testing.T, known int64, waiting, dead map[spot]bool, log string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wantNoFaults(t)
	if n, example := s.lacks(waiting, known); n > 0 {
		t.Errorf("%d good points never arrived, such as %v", n, example)
	}
	for p := range dead {
		if !s.isBad(p) {
			t.Errorf("%v is good, and dead", p)
		}
	}
	ticks := make(map[int64]bool)
	for _, all := range []map[spot]bool{s.shown, waiting} {
		for p := range all {
			ticks[p.ms] = true
		}
	}
	first, last := s.spans(waiting)
	for _, name := range s.series {
		for ms := range ticks {
			p := spot{name, ms}
			_, arrived := s.got[p]
			bad := s.isBad(p)
			switch {
			case bad && arrived:
				t.Errorf("%v is bad, and was accepted", p)
			case arrived, waiting[p], dead[p], ms < first[name], ms > last[name]:
			case strings.Contains(log, "collector failed; its metrics are incomplete") && s.skipped(p):
			default:
				t.Errorf("%v is nowhere, bad: %v", p, bad)
			}
		}
	}
	s.wantSpans(t, ticks, first, last)
}

// spans returns the first and the last tick of each series, received or
// waiting.
func (s *picky) spans(waiting map[spot]bool) (first, last map[string]int64) {
	first, last = make(map[string]int64), make(map[string]int64)
	for _, all := range []map[spot]bool{s.shown, waiting} {
		for p := range all {
			if ms, ok := first[p.series]; !ok || p.ms < ms {
				first[p.series] = p.ms
			}
			last[p.series] = max(last[p.series], p.ms)
		}
	}
	return first, last
}

// wantSpans fails if a series begins after the third tick or ends before the
// last but one. Some series need two ticks, and the last tick comes early.
func (s *picky) wantSpans(t *testing.T, ticks map[int64]bool, first, last map[string]int64) {
	t.Helper()
	var all []int64
	for ms := range ticks {
		all = append(all, ms)
	}
	slices.Sort(all)
	for _, name := range s.series {
		if first[name] > all[2] || last[name] < all[len(all)-2] {
			t.Errorf("%s is known from %d to %d, ticks from %d to %d", name, first[name], last[name], all[0], all[len(all)-1])
		}
	}
}

// skipped reports whether a whole collector is missing in a tick because this
// machine was too slow.
func (s *picky) skipped(p spot) bool {
	collector := func(name string) string { return strings.Join(strings.SplitN(name, ".", 3)[:2], ".") }
	for _, name := range s.series {
		if collector(name) == collector(p.series) && s.shown[spot{name, p.ms}] {
			return false
		}
	}
	return true
}

// goOn starts another agent on the spool, with a backend that accepts
// everything.
func (c *refusalCase) goOn(t *testing.T, s *picky, env []string, dir string, waiting map[spot]bool) {
	t.Helper()
	s.mu.Lock()
	s.open = true
	s.mu.Unlock()
	agent := launch(t, append(env, "HEKA_DRAIN_MULTIPLIER=100"), "heka-insights-agent")
	within(t, "what waited", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		n := 0
		for p := range waiting {
			if _, arrived := s.got[p]; !arrived {
				n++
			}
		}
		if n > 0 {
			return fmt.Errorf("%d points of %d have not arrived", n, len(waiting))
		}
		return nil
	})
	if code := agent.terminate(); code != 0 {
		t.Errorf("exit code %d of the second agent", code)
	}
	if left, _ := inSpool(t, dir); len(left) > 0 {
		t.Errorf("%d points wait after the end", len(left))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wantNoFaults(t)
}

// wantNoFaults fails if an id was used for two sets of points, or a point came
// under two ids.
func (s *picky) wantNoFaults(t *testing.T) {
	t.Helper()
	for _, fault := range s.faults {
		t.Error(fault)
	}
	for which, n := range s.twice {
		t.Errorf("%s: %d", which, n)
	}
}
