package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// gate stands in front of an ingest and refuses one batch while it is shut.
type gate struct {
	in      *ingest
	mu      sync.Mutex
	refused string // guarded by mu, like the fields below
	seen    int
	open    bool
	ticks   []int64 // of the refused batch
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Idempotency-Key")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	g.mu.Lock()
	g.seen++
	if g.seen == 3 {
		g.refused = id
		if b, err := readBody(body); err == nil {
			g.ticks = b.Times
		}
	}
	refuse := !g.open && g.refused != "" && strings.HasPrefix(id, g.refused) // also matches its parts
	g.mu.Unlock()
	if refuse {
		http.Error(w, "a poisoned batch", http.StatusUnprocessableEntity)
		return
	}
	forward, err := http.NewRequestWithContext(r.Context(), r.Method, "https://"+g.in.addr+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return
	}
	forward.Header = r.Header.Clone()
	answer, err := g.in.client.Do(forward)
	if err != nil {
		http.Error(w, "no ingest", http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body)
}

// A batch that the backend permanently refuses does not delay any other batch.
// When its letter is written, an operator finds it with the reason, and sends
// it again while the next agent runs. Then nothing is missing.
func TestARefusedBatchComesBackByReplay(t *testing.T) {
	in := startIngest(t)
	g := &gate{in: in}
	server := httptest.NewServer(g)
	defer server.Close()
	spoolDir := filepath.Join(t.TempDir(), "spool")
	env := in.agentEnv(t, "HEKA_ENDPOINT="+server.URL+"/v1/batches", "HEKA_SPOOL_DIR="+spoolDir)
	agent := launch(t, env, "heka-insights-agent")
	agent.says("set points aside that the backend refuses")
	if code := agent.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	points := deadPoints(t, spoolDir, g.refused)

	g.mu.Lock()
	g.open = true
	g.mu.Unlock()
	agent = launch(t, env, "heka-insights-agent")
	eventually(t, "the loss is told", func() error {
		h, err := in.host()
		if err == nil && h.Loss["spool_dead"] != points {
			err = fmt.Errorf("%d points in letters, told are %+v", points, h)
		}
		return err
	})
	if _, err := operate(t, spoolDir, "replay", "--all"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "neither letters nor a backlog", func() error {
		letters, err := operate(t, spoolDir, "dead")
		backlog, errLs := operate(t, spoolDir, "ls")
		if err = errors.Join(err, errLs); err == nil && letters+backlog != "" {
			err = fmt.Errorf("still there: %s%s", letters, backlog)
		}
		return err
	})
	if code := agent.terminate(); code != 0 {
		t.Errorf("exit code %d of the second agent", code)
	}
	in.terminate()
	db := readDatabase(t, in.data)
	for _, ms := range g.ticks {
		if _, there := slices.BinarySearch(db.times, ms); !there {
			t.Errorf("the tick %d of the refused batch is missing", ms)
		}
	}
	if db.repeated != 0 || len(g.ticks) == 0 {
		t.Errorf("%d points twice, %d ticks were refused", db.repeated, len(g.ticks))
	}
}

// deadPoints returns the number of points in letters. All of them belong to one
// batch.
func deadPoints(t *testing.T, spoolDir, of string) (points int64) {
	t.Helper()
	out, err := operate(t, spoolDir, "dead")
	if err != nil {
		t.Fatal(err)
	}
	for letters := json.NewDecoder(strings.NewReader(out)); letters.More(); {
		var letter struct {
			BatchID string `json:"batch_id"`
			Points  int64  `json:"points"`
			Reason  string `json:"reason"`
		}
		if err := letters.Decode(&letter); err != nil {
			t.Fatal(err)
		}
		if letter.BatchID != of || !strings.Contains(letter.Reason, "a poisoned batch") {
			t.Errorf("the letter is %+v, refused was %s", letter, of)
		}
		points += letter.Points
	}
	if points == 0 {
		t.Fatalf("no letters: %s", out)
	}
	return points
}

// operate runs a command on the spool and returns its output.
func operate(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	args = append([]string{"spool", args[0], "--dir", dir}, args[1:]...)
	cmd := exec.CommandContext(t.Context(), program(t, "heka-insights-agent"), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return string(out), err
}
