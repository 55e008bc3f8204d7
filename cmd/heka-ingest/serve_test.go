package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Acknowledged batches must survive kill -9.
func TestKillNineKeepsWhatWasAcknowledged(t *testing.T) {
	data := t.TempDir()
	acked := map[string]int{}
	seq := 0
	for round := range 10 {
		s := startServe(t, data)
		p, err := newPoster(s.url+"/v1/batches", s.ca(), "")
		if err != nil {
			t.Fatal(err)
		}
		for id, n := range acked {
			_, text := body("a", 7, n, int64(n), 1)
			if status, err := p.post(id, text); err != nil || status != "duplicate" {
				t.Fatalf("round %d: batch %d was acknowledged; again it is %q, %v", round, n, status, err)
			}
		}
		var mu sync.Mutex
		var count atomic.Int64
		target := 3 + rand.Int64N(30) // the kill comes while other batches are in flight
		var senders sync.WaitGroup
		for range 6 {
			senders.Go(func() {
				for {
					mu.Lock()
					seq++
					n := seq
					mu.Unlock()
					id, text := body("a", 7, n, int64(n), 1)
					if _, err := p.post(id, text); err != nil {
						return
					}
					mu.Lock()
					acked[id] = n
					mu.Unlock()
					if count.Add(1) == target {
						_ = s.Process.Kill()
					}
				}
			})
		}
		senders.Wait()
		_ = s.Wait()
		p.client.CloseIdleConnections()
		if len(acked) == 0 {
			t.Fatalf("nothing was acknowledged:\n%s", s.out)
		}
	}
}

func TestServeEndsInOrder(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := startServe(t, t.TempDir())
		if err := s.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := s.Wait(); err != nil {
			t.Errorf("%v: %v\n%s", sig, err, s.out)
		}
		if !strings.Contains(s.out.String(), `"message":"stopped"`) {
			t.Errorf("%v: it does not say that it stopped:\n%s", sig, s.out)
		}
	}
}

func TestServeRefusesSecond(t *testing.T) {
	s := startServe(t, t.TempDir())
	var stderr bytes.Buffer
	for args, want := range map[string]string{
		"serve --listen 127.0.0.1:0 --data " + s.data:                                        "in use by another heka-ingest",
		"serve --listen " + strings.TrimPrefix(s.url, "https://") + " --data " + t.TempDir(): "address already in use",
	} {
		stderr.Reset()
		if code := run(context.Background(), strings.Fields(args), stdio{err: &stderr}); code != exitFailure || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit %d, %q; want 1, %q", args, code, stderr.String(), want)
		}
	}
}

// A client that verifies the certificate can reach the ingest by its listening
// address and by the names that it was given.
func TestCertificateCoversAddressAndNames(t *testing.T) {
	s := startServe(t, t.TempDir(), "--listen", "127.0.0.2:0", "--tls-name", "127.0.0.3", "--tls-name", "ingest.example")
	port := s.url[strings.LastIndex(s.url, ":"):]
	if s.url != "https://127.0.0.2"+port {
		t.Fatalf("it serves at %s", s.url)
	}
	p, err := newPoster(s.url+"/v1/batches", s.ca(), "")
	if err != nil {
		t.Fatal(err)
	}
	id, text := body("web-1", 7, 1, 1000, 1)
	if status, err := p.post(id, text); err != nil || status != "accepted" {
		t.Error(status, err)
	}
	ca, err := os.ReadFile(s.ca())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for name, want := range map[string]bool{"localhost": true, "127.0.0.3": true, "ingest.example": true, "other.example": false} {
		conn, err := tls.Dial("tcp", "127.0.0.2"+port, &tls.Config{RootCAs: roots, ServerName: name})
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) != want {
			t.Errorf("as %s: %v", name, err)
		}
	}
}

func TestWatchOnce(t *testing.T) {
	s := startServe(t, t.TempDir())
	p, err := newPoster(s.url+"/v1/batches", s.ca(), "")
	if err != nil {
		t.Fatal(err)
	}
	id, text := body("web-1", 7, 1, 1000, 1)
	if status, err := p.post(id, text); err != nil || status != "accepted" {
		t.Fatal(status, err)
	}
	var out bytes.Buffer
	code := run(context.Background(), []string{"watch", "--once", "--url", s.url, "--ca", s.ca()}, stdio{out: &out, err: &out})
	if code != exitOK || !strings.Contains(out.String(), "HOST") || !strings.Contains(out.String(), "web-1") || !strings.Contains(out.String(), "25.0%") {
		t.Errorf("exit %d\n%s", code, out.String())
	}
	// Without the CA the client must not trust it.
	if code := run(context.Background(), []string{"watch", "--once", "--url", s.url}, stdio{out: &out, err: &out}); code != exitFailure {
		t.Errorf("without the CA: exit %d", code)
	}
}
