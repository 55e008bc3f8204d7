package tlscert_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/tlscert"
)

func open(t *testing.T, dir string, names ...string) *tlscert.Authority {
	t.Helper()
	a, err := tlscert.OpenAuthority(dir, names)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// verify checks the certificate as a client does that trusts the CA in dir.
func verify(t *testing.T, a *tlscert.Authority, dir, name string) error {
	t.Helper()
	cert, err := a.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read(t, dir, tlscert.CAFile)) {
		t.Fatal("no CA in ca.pem")
	}
	_, err = cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: time.Now()})
	return err
}

func TestAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	a := open(t, dir, "localhost", "127.0.0.1", "::1")
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := verify(t, a, dir, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := verify(t, a, dir, "example.com"); err == nil {
		t.Error("the certificate is good for any name")
	}
	for _, name := range []string{"key.pem", "ca-key.pem"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info, err)
		}
	}
	ca, cert := read(t, dir, "ca.pem"), read(t, dir, "cert.pem")
	open(t, dir, "localhost", "127.0.0.1", "::1")
	if !bytes.Equal(ca, read(t, dir, "ca.pem")) || !bytes.Equal(cert, read(t, dir, "cert.pem")) {
		t.Error("opening again made new certificates")
	}
	b := open(t, dir, "localhost", "ingest.example")
	if !bytes.Equal(ca, read(t, dir, "ca.pem")) {
		t.Error("a new name made a new CA")
	}
	if err := verify(t, b, dir, "ingest.example"); err != nil {
		t.Errorf("a new name: %v", err)
	}
}

func TestAuthorityRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := open(t, dir, "localhost")
		ca, cert := read(t, dir, "ca.pem"), read(t, dir, "cert.pem")
		for range 30 {
			time.Sleep(20 * 24 * time.Hour)
			if err := verify(t, a, dir, "localhost"); err != nil {
				t.Fatal(err)
			}
		}
		if bytes.Equal(cert, read(t, dir, "cert.pem")) || !bytes.Equal(ca, read(t, dir, "ca.pem")) {
			t.Error("want a new certificate on disk and the same CA")
		}
	})
}

func TestAuthorityMendsCertificateNotCA(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, "localhost")
	for _, name := range []string{"cert.pem", "key.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := verify(t, open(t, dir, "localhost"), dir, "localhost"); err != nil {
			t.Errorf("damaged %s: %v", name, err)
		}
	}
	for _, name := range []string{"ca.pem", "ca-key.pem"} {
		good := read(t, dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tlscert.OpenAuthority(dir, []string{"localhost"}); err == nil {
			t.Errorf("damaged %s was replaced", name)
		}
		if err := os.WriteFile(filepath.Join(dir, name), good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "ca-key.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := tlscert.OpenAuthority(dir, []string{"localhost"}); err == nil {
		t.Error("a CA without its key was replaced")
	}
}

func TestFilesReload(t *testing.T) {
	first, second, dir := t.TempDir(), t.TempDir(), t.TempDir()
	open(t, first, "localhost")
	open(t, second, "localhost")
	cert, key := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	put := func(from string, at time.Time, names ...string) {
		for _, name := range names {
			source := map[string]string{cert: "cert.pem", key: "key.pem"}[name]
			if err := os.WriteFile(name, read(t, from, source), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(name, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := tlscert.OpenFiles(cert, key); err == nil {
		t.Error("opened files that are not there")
	}
	now := time.Now()
	put(first, now, cert, key)
	files, err := tlscert.OpenFiles(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	want := func(when, dir string) {
		got, err := files.GetCertificate(nil)
		pair, _ := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
		if err != nil || !got.Leaf.Equal(pair.Leaf) {
			t.Errorf("%s: another certificate, %v", when, err)
		}
	}
	want("opened", first)
	put(second, now.Add(time.Second), cert)
	want("half replaced", first)
	put(second, now.Add(time.Second), key)
	want("replaced", second)
}
