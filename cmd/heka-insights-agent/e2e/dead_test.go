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
	"strings"
	"sync"
	"testing"
)

// gate stands before an ingest and refuses one batch for as long as it is shut.
type gate struct {
	in      *ingest
	mu      sync.Mutex
	refused string // guarded by mu, like all below
	seen    int
	open    bool
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Idempotency-Key")
	g.mu.Lock()
	g.seen++
	if g.seen == 3 {
		g.refused = id
	}
	refuse := !g.open && g.refused != "" && strings.HasPrefix(id, g.refused) // its parts too
	g.mu.Unlock()
	if refuse {
		http.Error(w, "a poisoned batch", http.StatusUnprocessableEntity)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
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

// A batch that the backend refuses for good costs no other batch its delivery;
// an operator finds it, with the reason, and sends it again beside the running
// agent: then nothing is missing.
func TestARefusedBatchComesBackByReplay(t *testing.T) {
	in := startIngest(t)
	g := &gate{in: in}
	server := httptest.NewServer(g)
	defer server.Close()
	spoolDir := filepath.Join(t.TempDir(), "spool")
	agent := launch(t, in.agentEnv(t, "HEKA_ENDPOINT="+server.URL+"/v1/batches", "HEKA_SPOOL_DIR="+spoolDir), "heka-insights-agent")

	// Each of its points is refused by itself in the end. All letters count.
	var points int64
	eventually(t, "dead letters", func() error {
		out, err := operate(t, spoolDir, "dead")
		if err != nil {
			return err
		}
		points = 0
		for letters := json.NewDecoder(strings.NewReader(out)); ; {
			var letter struct {
				BatchID string `json:"batch_id"`
				Points  int64  `json:"points"`
				Reason  string `json:"reason"`
			}
			if err := letters.Decode(&letter); err != nil {
				break
			}
			if !strings.HasPrefix(letter.BatchID, g.refused) || !strings.Contains(letter.Reason, "a poisoned batch") {
				t.Errorf("the letter is %+v, refused was %s", letter, g.refused)
			}
			points += letter.Points
		}
		h, err := in.host()
		if err == nil && (points == 0 || h.Loss["spool_dead"] != points) {
			err = fmt.Errorf("%d points in letters, told are %+v", points, h)
		}
		return err
	})
	g.mu.Lock()
	g.open = true
	g.mu.Unlock()
	if _, err := operate(t, spoolDir, "replay", "--all"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everything arrived", func() error {
		h, err := in.host()
		switch {
		case err != nil:
			return err
		case h.Gaps != 0, h.Ticks < 10:
			return fmt.Errorf("%+v, want no hole", h)
		}
		return nil
	})
	if out, err := operate(t, spoolDir, "dead"); err != nil || out != "" {
		t.Errorf("still there: %s (%v)", out, err)
	}
	if code := agent.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// operate runs a command on the spool and returns what it prints.
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
