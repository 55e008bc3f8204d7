package e2e_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// proxyUser is the only user of the proxies in these tests.
const proxyUser = "agent"

// proxy is a third-party program between the agent and the ingest.
type proxy struct {
	*process
	name, path string
	// config writes a configuration for a user with that password. It returns
	// the arguments that keep the proxy in the foreground.
	config func(t *testing.T, dir, addr, password string) []string
	addr   string
}

// proxies returns the tested proxies. Both come from Debian: `make proxies`.
func proxies() []*proxy {
	return []*proxy{
		{name: "squid", config: configureSquid},
		{name: "tinyproxy", config: configureTinyproxy},
	}
}

func configureSquid(t *testing.T, dir, addr, password string) []string {
	helpers, _ := filepath.Glob("/usr/lib*/squid/basic_ncsa_auth")
	htpasswd, err := exec.LookPath("htpasswd")
	if len(helpers) == 0 || err != nil {
		t.Skip("not installed: squid's basic_ncsa_auth and htpasswd")
	}
	users := filepath.Join(dir, "users")
	if out, err := exec.CommandContext(t.Context(), htpasswd, "-bcm", users, proxyUser, password).CombinedOutput(); err != nil {
		t.Fatalf("htpasswd: %v: %s", err, out)
	}
	// When root starts squid, it switches to a user of its own, who must be
	// able to read the file.
	for file, mode := range map[string]os.FileMode{users: 0o644, dir: 0o755, filepath.Dir(dir): 0o711} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "squid.conf"), fmt.Sprintf(`
http_port %s
auth_param basic program %s %s
auth_param basic children 1
acl known proxy_auth REQUIRED
http_access allow CONNECT known
http_access deny all
cache deny all
cache_mem 0
access_log none
cache_log /dev/stderr
cache_store_log none
netdb_filename none
pid_filename none
pinger_enable off
coredump_dir %s
`, addr, helpers[0], users, dir))
	return []string{"-N", "-f", filepath.Join(dir, "squid.conf")}
}

func configureTinyproxy(t *testing.T, dir, addr, password string) []string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tinyproxy.conf"),
		fmt.Sprintf("Listen %s\nPort %s\nTimeout 60\nMaxClients 10\nLogLevel Warning\nBasicAuth %s %s\n", host, port, proxyUser, password))
	return []string{"-d", "-c", filepath.Join(dir, "tinyproxy.conf")}
}

// serve starts the proxy for a user with that password. It restarts a running
// proxy.
func (p *proxy) serve(t *testing.T, password string) {
	t.Helper()
	var err error
	if p.path, err = exec.LookPath(p.name); err != nil {
		if p.path, err = exec.LookPath("/usr/sbin/" + p.name); err != nil {
			t.Skipf("not installed: %s", p.name)
		}
	}
	if p.addr == "" {
		p.addr = freeAddress(t)
	}
	p.process = start(t, nil, p.path, p.config(t, t.TempDir(), p.addr, password)...)
	eventually(t, p.name+" listens", func() error {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// through returns the environment of an agent that can reach the ingest only
// through the proxy. The Go library never uses a proxy for what it considers
// loopback. Only the proxy knows that 127.1 is an old way to write 127.0.0.1.
func (p *proxy) through(t *testing.T, in *ingest, password string) []string {
	_, port, err := net.SplitHostPort(in.addr)
	if err != nil {
		t.Fatal(err)
	}
	return in.agentEnv(t, "HEKA_ENDPOINT=https://127.1:"+port+"/v1/batches", "HEKA_TLS_SERVER_NAME=localhost",
		"HTTPS_PROXY=http://"+proxyUser+":"+password+"@"+p.addr)
}

// Through a proxy that requires a password, every tick arrives as it does
// directly, even if the proxy is killed and restarted.
func TestEveryTickArrivesThroughAProxy(t *testing.T) {
	t.Parallel()
	t.Run("direct", func(t *testing.T) {
		t.Parallel()
		in := startIngest(t)
		agent := launch(t, in.agentEnv(t), "heka-insights-agent")
		eventually(t, "ticks", func() error { return in.whole(10, time.Time{}) })
		agent.terminate()
	})
	for _, p := range proxies() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			in := startIngest(t)
			p.serve(t, "a-good-password")
			agent := launch(t, p.through(t, in, "a-good-password"), "heka-insights-agent")
			eventually(t, "ticks", func() error { return in.whole(10, time.Time{}) })
			p.kill()
			agent.says(saysFailure)
			p.serve(t, "a-good-password")
			restarted := time.Now()
			eventually(t, "the backlog", func() error { return in.whole(15, restarted) })
			if code := agent.terminate(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			eventually(t, "the last batch", func() error { return in.whole(15, restarted) })
		})
	}
}

// A proxy that refuses the password pauses delivery. The log line names the
// variable and not the password. Nothing is lost meanwhile. When the proxy
// accepts the password, a change of any file that the agent watches resumes
// delivery.
func TestAProxyThatRefusesThePasswordPausesDelivery(t *testing.T) {
	t.Parallel()
	for _, p := range proxies() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			const password = "not-yet-the-password"
			in := startIngest(t)
			p.serve(t, "another-password")
			agent := launch(t, p.through(t, in, password), "heka-insights-agent")
			agent.says(`"level":"error"`)
			agent.says("HTTPS_PROXY")
			agent.says(`"batches_waiting"`)
			time.Sleep(2 * time.Second) // ten ticks that wait
			if h, err := in.host(); err == nil {
				t.Errorf("the ingest has %+v", h)
			}
			said := agent.output.String()
			if n := strings.Count(said, "delivery failing"); n != 1 {
				t.Errorf("%d lines on a pause of two seconds, want 1", n)
			}
			encoded := base64.StdEncoding.EncodeToString([]byte(proxyUser + ":" + password))
			if strings.Contains(said, password) || strings.Contains(said, encoded) {
				t.Error("the log shows the password")
			}
			p.kill()
			p.serve(t, password)
			renewed := time.Now()
			if err := os.Chtimes(in.caFile, renewed, renewed); err != nil {
				t.Fatal(err)
			}
			eventually(t, "everything", func() error { return in.whole(10, renewed) })
			agent.says("delivered again after")
			if code := agent.terminate(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// With NO_PROXY an endpoint is reached directly while other requests use the
// proxy.
func TestNoProxyIsHonoured(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	asked := make(chan struct{}, 1000)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
			asked <- struct{}{}
		}
	}()
	in := startIngest(t)
	_, port, _ := net.SplitHostPort(in.addr)
	// connect(2) treats it as this host, but the Go library does not treat it
	// as loopback.
	env := in.agentEnv(t, "HEKA_ENDPOINT=https://0.0.0.0:"+port+"/v1/batches", "HEKA_TLS_SERVER_NAME=localhost",
		"HTTPS_PROXY=http://"+listener.Addr().String())
	agent := launch(t, append(env, "NO_PROXY=elsewhere.example,0.0.0.0"), "heka-insights-agent")
	eventually(t, "ticks", func() error { return in.whole(6, time.Time{}) })
	agent.terminate()
	if len(asked) != 0 {
		t.Errorf("the proxy was asked %d times", len(asked))
	}
	launch(t, append(env, "NO_PROXY=elsewhere.example"), "heka-insights-agent")
	eventually(t, "the proxy is asked", func() error {
		if len(asked) == 0 {
			return errors.New("not asked")
		}
		return nil
	})
}
