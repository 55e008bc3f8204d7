package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/spool"
)

func TestNoTickIsLostWhenTheIngestIsKilled(t *testing.T) {
	in := startIngest(t)
	agent := launch(t, in.agentEnv(t), "heka-insights-agent")
	eventually(t, "the first batches", func() error { return in.whole(6, time.Time{}) })
	before, err := in.host()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		in.kill()
		time.Sleep(2 * time.Second) // an outage of ten ticks
		in.start()
	}
	restarted := time.Now()
	eventually(t, "the backlog", func() error { return in.whole(before.Ticks+30, restarted) })
	if code := agent.terminate(); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	eventually(t, "the last batch", func() error { return in.whole(before.Ticks+30, restarted) })
}

// An agent that starts without its ingest, and is then killed, has spooled its
// batches. The next agent delivers them.
func TestAKilledAgentKeepsWhatItSpooled(t *testing.T) {
	in := startIngest(t)
	env := in.agentEnv(t, "HEKA_SPOOL_FSYNC=never")
	dir := strings.TrimPrefix(env[6], "HEKA_SPOOL_DIR=")
	in.kill()
	agent := launch(t, env, "heka-insights-agent")
	look := func() spool.Stats {
		s := spool.Open(spool.Config{Dir: dir, MaxBytes: 256 << 20})
		defer s.Close(t.Context())
		return s.Stats()
	}
	segments := func() error {
		if found, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(found) == 0 {
			return errors.New("nothing spooled yet")
		}
		return nil
	}
	eventually(t, "the first spooled batch", segments)
	time.Sleep(2 * time.Second)
	agent.kill()
	kept := look()
	if kept.Records < 2 {
		t.Fatalf("%d batches in the spool after two seconds of outage", kept.Records)
	}
	in.start()
	agent = launch(t, env, "heka-insights-agent")
	eventually(t, "the spooled batches", func() error {
		h, err := in.host()
		if err == nil && (h.Epochs != 2 || h.Points < kept.Points || h.Gaps != 0) {
			err = fmt.Errorf("%+v, want the %d points of the first agent and those of the second", h, kept.Points)
		}
		return err
	})
	eventually(t, "an empty spool", func() error {
		agent.says(started) // before that, SIGTERM would kill it
		if agent.terminate() != 0 {
			t.Fatal("exit code of the second agent")
		}
		if left := look(); left.Records != 0 {
			agent = launch(t, env, "heka-insights-agent")
			return fmt.Errorf("%d batches left", left.Records)
		}
		return nil
	})
}

func TestAnUnusableSpoolIsSaidAndSurvived(t *testing.T) {
	in := startIngest(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	agent := launch(t, in.agentEnv(t, "HEKA_SPOOL_DIR="+filepath.Join(file, "spool")), "heka-insights-agent")
	eventually(t, "batches without a spool", func() error { return in.whole(6, time.Time{}) })
	var answer struct {
		Series []struct{ Values []float64 }
	}
	if err := in.get("/api/series?host=e2e&name=heka.agent.spool.usable", &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Series) != 1 || answer.Series[0].Values[0] != 0 {
		t.Errorf("heka.agent.spool.usable = %+v, want 0", answer.Series)
	}
	in.kill()
	time.Sleep(2 * time.Second)
	in.start()
	restarted := time.Now()
	eventually(t, "what was kept in memory", func() error { return in.whole(16, restarted) })
	agent.terminate()
	if n := strings.Count(agent.output.String(), "the spool is not usable"); n != 1 {
		t.Errorf("the spool's state was logged %d times, want once", n)
	}
}
