package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A pause lasts at least a minute, and no test here waits for half of that. If
// delivery resumes, it does so because a file has changed.

const saysFailure = "delivery failing"

// A new API key that the ingest accepts along with the old one is used without
// a failure. If the old key is revoked before the new one is there, delivery
// resumes without a restart. In both cases every tick arrives.
func TestTheAPIKeyRotates(t *testing.T) {
	t.Parallel()
	for name, files := range mounts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys := filepath.Join(t.TempDir(), "keys")
			write(t, keys, "first\nsecond\n")
			files.replace(t, map[string]string{"key": "first"})
			in := startIngest(t, "--api-key-file", keys)
			in.key = "second"
			agent := launch(t, in.agentEnv(t, "HEKA_API_KEY_FILE="+files.path("key")), "heka-insights-agent")
			in.delivers()
			files.replace(t, map[string]string{"key": "second"})
			in.delivers()
			write(t, keys, "second\n")
			in.delivers()
			if name != "overwritten" && strings.Contains(agent.output.String(), saysFailure) {
				t.Error("delivery failed while both keys were good")
			}
			write(t, keys, "third, longer\n")
			in.key = "third, longer"
			agent.says("check HEKA_API_KEY")
			files.replace(t, map[string]string{"key": "third, longer"})
			in.delivers()
			agent.says("delivered again")
			if code := agent.terminate(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if err := in.whole(3, time.Time{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// An ingest that comes back with a certificate of another authority is not
// trusted until the agent's CA file contains that authority.
func TestTheAuthorityRotates(t *testing.T) {
	t.Parallel()
	for name, files := range mounts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, next := newAuthority(t), newAuthority(t)
			files.replace(t, map[string]string{"ca": old.pem})
			server := renamed(t.TempDir())
			install := func(a *authority) {
				cert, key := a.issue("ingest")
				server.replace(t, map[string]string{"cert": cert, "key": key})
			}
			install(old)
			in := newIngest(t, "--tls-cert", server.path("cert"), "--tls-key", server.path("key"))
			in.caFile = filepath.Join(t.TempDir(), "both.pem")
			write(t, in.caFile, old.pem+next.pem)
			in.start()
			agent := launch(t, in.agentEnv(t, "HEKA_TLS_CA_FILE="+files.path("ca")), "heka-insights-agent")
			in.delivers()
			in.kill()
			install(next)
			in.start()
			agent.says("set HEKA_TLS_CA_FILE to that authority's certificate")
			files.replace(t, map[string]string{"ca": next.pem})
			in.delivers()
			if code := agent.terminate(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// mutual is a TLS server in front of an ingest that requires a client
// certificate.
type mutual struct {
	*httptest.Server
	mu       sync.Mutex
	accepted map[string]bool // common names; guarded by mu
}

func startMutual(t *testing.T, a *authority, in *ingest, names ...string) *mutual {
	t.Helper()
	cert, err := tls.X509KeyPair(pair(a.issue("server")))
	if err != nil {
		t.Fatal(err)
	}
	m := &mutual{Server: httptest.NewUnstartedServer(newRelay(in, 0)), accepted: make(map[string]bool)}
	m.Config.ErrorLog = log.New(io.Discard, "", 0)
	m.accept(names...)
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	m.EnableHTTP2 = true
	m.TLS = &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
		VerifyConnection: func(state tls.ConnectionState) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			if !m.accepted[state.PeerCertificates[0].Subject.CommonName] {
				return errors.New("revoked")
			}
			return nil
		},
	}
	m.StartTLS()
	t.Cleanup(m.Close)
	return m
}

func pair(cert, key string) (certPEM, keyPEM []byte) { return []byte(cert), []byte(key) }

// accept accepts only certificates with these names, and closes the connections
// that were made with revoked ones.
func (m *mutual) accept(names ...string) {
	m.mu.Lock()
	m.accepted = make(map[string]bool)
	for _, name := range names {
		m.accepted[name] = true
	}
	m.mu.Unlock()
	m.CloseClientConnections()
}

// A client certificate that is replaced before the old one is revoked is used
// without a failure, however its files are replaced and however long one file
// is ahead of the other.
func TestTheClientCertificateRotates(t *testing.T) {
	t.Parallel()
	for name, files := range mounts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, in := newAuthority(t), startIngest(t)
			server := startMutual(t, a, in, "first", "second")
			agent := launchMutual(t, a, in, server, files)
			in.delivers()
			cert, key := a.issue("second")
			if name == "kubernetes" {
				files.replace(t, map[string]string{"cert": cert, "key": key})
			} else {
				files.replace(t, map[string]string{"cert": cert})
				in.delivers()
				files.replace(t, map[string]string{"key": key})
			}
			in.delivers()
			if strings.Contains(agent.output.String(), saysFailure) {
				t.Error("delivery failed while both certificates were good")
			}
			server.accept("second")
			in.delivers()
			if code := agent.terminate(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// A client certificate that is replaced after the old one was revoked ends the
// pause at once.
func TestARevokedClientCertificateIsReplaced(t *testing.T) {
	t.Parallel()
	for name, files := range mounts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, in := newAuthority(t), startIngest(t)
			server := startMutual(t, a, in, "first")
			agent := launchMutual(t, a, in, server, files)
			in.delivers()
			server.accept("second")
			agent.says("set HEKA_TLS_CERT_FILE and HEKA_TLS_KEY_FILE")
			cert, key := a.issue("second")
			files.replace(t, map[string]string{"cert": cert, "key": key})
			in.delivers()
			agent.says("delivered again")
			if code := agent.terminate(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func launchMutual(t *testing.T, a *authority, in *ingest, server *mutual, files mount) *process {
	cert, key := a.issue("first")
	files.replace(t, map[string]string{"ca": a.pem, "cert": cert, "key": key})
	return launch(t, in.agentEnv(t, "HEKA_ENDPOINT="+server.URL+"/v1/batches", "HEKA_TLS_CA_FILE="+files.path("ca"),
		"HEKA_TLS_CERT_FILE="+files.path("cert"), "HEKA_TLS_KEY_FILE="+files.path("key")), "heka-insights-agent")
}
