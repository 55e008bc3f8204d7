package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// asProgram makes the test binary run as heka-ingest or, if it is started like
// the demo starts an agent, as a small agent.
const asProgram = "INGEST_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asProgram) == "":
		os.Exit(m.Run())
	case len(os.Args) == 1:
		os.Exit(fakeAgent())
	default:
		main()
	}
}

// program returns a command that runs the test binary as heka-ingest.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	// By default the race detector waits for a second before the process exits.
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// output collects what a program prints, and lets a test wait for text.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// patience limits every wait in these tests. It is far longer than any of them
// takes.
const patience = 60 * time.Second

// until waits until a condition is true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// find waits until the output matches, and returns the groups of the last
// match.
func (o *output) find(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var found [][]string
	deadline := time.Now().Add(patience)
	for len(found) == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %q in:\n%s", pattern, o)
		}
		time.Sleep(5 * time.Millisecond)
		found = re.FindAllStringSubmatch(o.String(), -1)
	}
	return found[len(found)-1]
}

func TestCommandLine(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, c := range []struct {
		args     string
		code     int
		out, err string
	}{
		{"", 2, "", "usage: heka-ingest COMMAND"},
		{"--help", 0, "usage: heka-ingest COMMAND", ""},
		{"help", 0, "usage: heka-ingest COMMAND", ""},
		{"help serve", 0, "usage: heka-ingest serve", ""},
		{"help nonsense", 2, "", "unknown command"},
		{"--version", 0, "heka-ingest ", ""},
		{"-v", 0, "heka-ingest ", ""},
		{"nonsense", 2, "", `unknown command "nonsense"`},
		{"version", 0, "heka-ingest dev (commit unknown, go", ""},
		{"version --help", 0, "usage: heka-ingest version", ""},
		{"version more", 2, "", `unexpected argument "more"`},
		{"serve --help", 0, "-retention", ""},
		{"serve", 2, "", "--data: want a directory"},
		{"serve --nonsense", 2, "", "not defined: -nonsense"},
		{"serve --data d --listen x", 2, "", `--listen: want host:port, got "x"`},
		{"serve --data d --tls-cert c", 2, "", "--tls-cert, --tls-key: want both or neither"},
		{"serve --data d --tls-cert c --tls-key k", 2, "", "read certificate"},
		{"serve --data d --retention 5s", 2, "", "--retention: want a minute"},
		{"serve --data d --retention week", 2, "", "invalid value"},
		{"serve --data d --max-body 12x", 2, "", "want bytes, or a number with KiB"},
		{"serve --data d --max-body 1", 2, "", "--max-body: want 1KiB to 1GiB"},
		{"serve --listen x --retention 5s", 2, "", "--data: want a directory\n--listen: want"},
		{"serve --data d --api-key-file /nowhere", 2, "", "read API keys"},
		{"serve --data d --api-key-file " + empty, 2, "", "no key in"},
		{"serve --listen 127.0.0.1:1x --data " + dir, 1, "", "1x"},
		{"serve --listen 127.0.0.1:0 --data " + empty, 1, "", "not a directory"},
		{"watch --help", 0, "-api-key-file", ""},
		{"watch --url http://x", 2, "", "want a URL such as https://"},
		{"watch --ca /nowhere", 2, "", "read CA"},
		{"watch --ca " + empty, 2, "", "no certificate in"},
		{"watch --api-key-file " + empty, 2, "", "no key in"},
		{"watch --once --url https://127.0.0.1:1", 1, "", "ask https://127.0.0.1:1: dial tcp"},
		{"demo --help", 0, "-agent", ""},
		{"demo", 2, "", "--agent: want the agent's program"},
	} {
		var out, stderr bytes.Buffer
		code := run(context.Background(), strings.Fields(c.args), stdio{out: &out, err: &stderr})
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(stderr.String(), c.err) {
			t.Errorf("heka-ingest %s: exit %d, stdout %q, stderr %q; want %d, %q, %q",
				c.args, code, out.String(), stderr.String(), c.code, c.out, c.err)
		}
		if c.code == 0 && stderr.Len() > 0 || c.code != 0 && out.Len() > 0 {
			t.Errorf("heka-ingest %s: help and results go to stdout, errors to stderr", c.args)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "4096": 4096, "2KiB": 2048, "16MiB": 16 << 20, "1GiB": 1 << 30, "1 MiB": 1 << 20} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "1.5MiB", "1MB", "99999999999"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
}

// serving is a running `heka-ingest serve`.
type serving struct {
	*exec.Cmd
	out  *output
	url  string
	data string
}

func startServe(t *testing.T, data string, args ...string) serving {
	t.Helper()
	s := serving{out: &output{}, data: data}
	s.Cmd = program(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, args...)...)
	s.Stderr = s.out
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.ProcessState == nil {
			_ = s.Process.Kill()
			_ = s.Wait()
		}
	})
	s.url = s.out.find(t, `"endpoint":"(https://[^/"]+)/v1/batches"`)[1]
	return s
}

func (s serving) ca() string { return filepath.Join(s.data, "tls", "ca.pem") }

func body(agent string, epoch uint64, seq int, firstMS, intervalMS int64) (id string, text io.Reader) {
	id = fmt.Sprintf("%016x%016x", epoch, seq)
	return id, strings.NewReader(fmt.Sprintf(`{"schema":"heka.batch/1","batch_id":"%s","agent":{"id":"%s","version":"1","epoch":"%016x","seq":%d},`+
		`"resource":{"host.name":"%s"},"start_ms":1,"interval_ms":%d,"times":[%d],`+
		`"series":[{"name":"system.cpu.utilization","unit":"1","kind":"gauge","labels":{},"values":[0.25]}],"loss":{}}`,
		id, agent, epoch, seq, agent, intervalMS, firstMS))
}
