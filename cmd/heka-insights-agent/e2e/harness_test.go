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

// process is a program under test. Its output is shown if the test fails.
type process struct {
	*exec.Cmd
	t      *testing.T
	output transcript
	quiet  bool          // do not show its output if the test fails
	ended  chan struct{} // closed when the program has ended
}

// transcript holds what a program has printed so far.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// launch starts one of our programs.
func launch(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	return start(t, env, program(t, name), args...)
}

// start starts a program. It is ended when the test ends.
func start(t *testing.T, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(path, args...), t: t, ended: make(chan struct{})}
	p.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.Stdout, p.Stderr = &p.output, &p.output
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.Wait() // ProcessState holds the result
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() && !p.quiet {
			t.Logf("%s:\n%s", filepath.Base(path), p.output.String())
		}
	})
	return p
}

// kill kills the program if it is still running.
func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.ended
}

// says waits until the program has printed text.
func (p *process) says(text string) {
	p.t.Helper()
	eventually(p.t, "a line with "+text, func() error {
		if !strings.Contains(p.output.String(), text) {
			return errors.New("not said")
		}
		return nil
	})
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
	caFile string
	flags  []string // more flags of serve
	key    string   // for the test's own requests; "" if the ingest does not want one
	client *http.Client
}

func startIngest(t *testing.T, flags ...string) *ingest {
	t.Helper()
	in := newIngest(t, flags...)
	in.start()
	return in
}

func newIngest(t *testing.T, flags ...string) *ingest {
	t.Helper()
	in := &ingest{t: t, data: t.TempDir(), addr: freeAddress(t), flags: flags}
	in.caFile = filepath.Join(in.data, "tls", "ca.pem")
	return in
}

// freeAddress returns an address with a port that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// launch starts the program. start also waits until it answers.
func (in *ingest) launch() {
	in.process = launch(in.t, nil, "heka-ingest", append([]string{"serve", "--data", in.data, "--listen", in.addr}, in.flags...)...)
}

func (in *ingest) start() {
	in.t.Helper()
	in.launch()
	eventually(in.t, "the ingest answers", func() error {
		ca, err := os.ReadFile(in.caFile)
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		in.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: 5 * time.Second}
		return in.get("/healthz", &struct{}{})
	})
}

func (in *ingest) get(path string, into any) error {
	request, err := http.NewRequest(http.MethodGet, "https://"+in.addr+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-Api-Key", in.key)
	response, err := in.client.Do(request)
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
	AgentID    string           `json:"agent_id"`
	Batches    int64            `json:"batches"`
	Points     int64            `json:"points"`
	Gaps       int64            `json:"gaps"`
	Ticks      int64            `json:"ticks"`
	Epochs     int64            `json:"epochs"`
	LastTickMS int64            `json:"last_tick_ms"`
	Loss       map[string]int64 `json:"loss"`
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

// whole returns an error if anything is missing in the ingest: a batch, or
// points that are counted as lost. It does not check the steps between ticks,
// because a busy machine skips ticks.
func (in *ingest) whole(leastTicks int64, newerThan time.Time) error {
	h, err := in.host()
	switch {
	case err != nil:
		return err
	case h.Gaps != 0, h.Ticks < leastTicks, h.LastTickMS < newerThan.UnixMilli():
		return fmt.Errorf("%+v, want at least %d ticks without a gap up to %s", h, leastTicks, newerThan.Format(time.StampMilli))
	}
	for reason, points := range h.Loss {
		if points != 0 {
			return fmt.Errorf("%d points lost: %s", points, reason)
		}
	}
	return nil
}

// delivers waits until current ticks have arrived, with everything before them.
func (in *ingest) delivers() {
	in.t.Helper()
	now := time.Now()
	eventually(in.t, "every tick up to now", func() error { return in.whole(3, now) })
}

// agentEnv returns the environment of an agent with short intervals.
func (in *ingest) agentEnv(t *testing.T, more ...string) []string {
	return append([]string{
		"HEKA_ENDPOINT=https://" + in.addr + "/v1/batches", "HEKA_TLS_CA_FILE=" + in.caFile,
		"HEKA_INTERVAL=200ms", "HEKA_BATCH_INTERVAL=600ms", "HEKA_RETRY_INITIAL=100ms", "HEKA_RETRY_MAX=500ms",
		"HEKA_SPOOL_DIR=" + filepath.Join(t.TempDir(), "spool"), "HEKA_AGENT_ID=e2e",
	}, more...)
}

// eventually polls until check passes. It fails the test after half a minute.
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

// write replaces a file atomically.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
