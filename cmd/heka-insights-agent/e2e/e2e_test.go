// Package e2e_test runs the shipped programs against each other: processes,
// sockets, certificates, files, and SIGKILL.
package e2e_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// programs builds both programs once for all tests of this package.
var programs = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "heka-e2e-"); err != nil {
		return "", err
	}
	for _, name := range []string{"heka-insights-agent", "heka-ingest"} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir+"/", "../../"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("%w\n%s", err, out)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := programs(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func program(t testing.TB, name string) string {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// process is a program under test. Its output is shown when the test fails.
type process struct {
	*exec.Cmd
	t      *testing.T
	output bytes.Buffer
	ended  chan error
}

func launch(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(program(t, name), args...), t: t, ended: make(chan error, 1)}
	p.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.Stdout, p.Stderr = &p.output, &p.output
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() {
		if p.ProcessState == nil {
			p.kill()
		}
		if t.Failed() {
			t.Logf("%s:\n%s", name, p.output.String())
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.ended
}

// terminate sends SIGTERM and returns the exit code.
func (p *process) terminate() int {
	p.t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.ended:
		return p.ProcessState.ExitCode()
	case <-time.After(20 * time.Second):
		p.t.Fatal("still running 20 s after SIGTERM")
		return -1
	}
}

// ingest is a heka-ingest that can be killed and started again.
type ingest struct {
	*process
	t      *testing.T
	data   string
	addr   string
	client *http.Client
}

func startIngest(t *testing.T) *ingest {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := &ingest{t: t, data: t.TempDir(), addr: listener.Addr().String()}
	listener.Close()
	in.start()
	return in
}

func (in *ingest) start() {
	in.t.Helper()
	in.process = launch(in.t, nil, "heka-ingest", "serve", "--data", in.data, "--listen", in.addr)
	eventually(in.t, "the ingest answers", func() error {
		ca, err := os.ReadFile(in.ca())
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		in.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: 5 * time.Second}
		return in.get("/healthz", &struct{}{})
	})
}

func (in *ingest) ca() string { return filepath.Join(in.data, "tls", "ca.pem") }

func (in *ingest) get(path string, into any) error {
	response, err := in.client.Get("https://" + in.addr + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

type host struct {
	AgentID      string           `json:"agent_id"`
	Batches      int64            `json:"batches"`
	Points       int64            `json:"points"`
	Gaps         int64            `json:"gaps"`
	Ticks        int64            `json:"ticks"`
	MissingTicks int64            `json:"missing_ticks"`
	Epochs       int64            `json:"epochs"`
	LastTickMS   int64            `json:"last_tick_ms"`
	Loss         map[string]int64 `json:"loss"`
}

func (in *ingest) host() (host, error) {
	var hosts []host
	if err := in.get("/api/hosts", &hosts); err != nil {
		return host{}, err
	}
	if len(hosts) != 1 {
		return host{}, fmt.Errorf("%d hosts", len(hosts))
	}
	return hosts[0], nil
}

// whole fails while anything is missing from what the ingest has.
func (in *ingest) whole(leastTicks int64, newerThan time.Time) error {
	h, err := in.host()
	switch {
	case err != nil:
		return err
	case h.Gaps != 0, h.MissingTicks != 0, h.Ticks < leastTicks, h.LastTickMS < newerThan.UnixMilli():
		return fmt.Errorf("%+v, want at least %d ticks without a hole up to %s", h, leastTicks, newerThan.Format(time.StampMilli))
	}
	for reason, points := range h.Loss {
		if points != 0 {
			return fmt.Errorf("%d points lost: %s", points, reason)
		}
	}
	return nil
}

// agentEnv is the environment of an agent that ticks fast.
func (in *ingest) agentEnv(t *testing.T, more ...string) []string {
	return append([]string{
		"HEKA_ENDPOINT=https://" + in.addr + "/v1/batches", "HEKA_TLS_CA_FILE=" + in.ca(),
		"HEKA_INTERVAL=200ms", "HEKA_BATCH_INTERVAL=600ms", "HEKA_RETRY_INITIAL=100ms", "HEKA_RETRY_MAX=500ms",
		"HEKA_SPOOL_DIR=" + filepath.Join(t.TempDir(), "spool"), "HEKA_AGENT_ID=e2e",
	}, more...)
}

// eventually polls until check passes, and fails the test after half a minute.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

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

// An agent that starts without its ingest, and is killed there, has spooled;
// the next one delivers it.
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

func TestCheckConnect(t *testing.T) {
	in := startIngest(t)
	check := func(more ...string) (code int, output string) {
		p := launch(t, in.agentEnv(t, more...), "heka-insights-agent", "check", "--connect")
		select {
		case <-p.ended:
		case <-time.After(20 * time.Second):
			t.Fatal("check --connect does not end")
		}
		return p.ProcessState.ExitCode(), p.output.String()
	}
	if code, output := check(); code != 0 || !strings.Contains(output, "acknowledged") {
		t.Errorf("exit %d:\n%s", code, output)
	}
	if code, output := check("HEKA_TLS_CA_FILE="); code != 1 || !strings.Contains(output, "HEKA_TLS_CA_FILE to") {
		t.Errorf("without the authority: exit %d:\n%s", code, output)
	}
	if code, output := check("HEKA_ENDPOINT=https://" + in.addr + "/nowhere"); code != 1 || !strings.Contains(output, "HEKA_ENDPOINT") {
		t.Errorf("wrong path: exit %d:\n%s", code, output)
	}
	var hosts []host
	if err := in.get("/api/hosts", &hosts); err != nil || len(hosts) != 0 {
		t.Errorf("the check left %d hosts behind (%v)", len(hosts), err)
	}
}
