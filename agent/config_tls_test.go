package agent_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/agent"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// encrypted returns a key in each form in which one can be encrypted. What is
// inside does not matter: nobody has the passphrase.
func encrypted(t *testing.T) map[string][]byte {
	t.Helper()
	old, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", []byte("some key"), []byte("pass"), x509.PEMCipherAES256) //nolint:staticcheck // such keys are still around
	if err != nil {
		t.Fatal(err)
	}
	openSSH := append([]byte("openssh-key-v1\x00"), 0, 0, 0, 10)
	return map[string][]byte{
		"PKCS #8":  pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("some key")}),
		"RFC 1421": pem.EncodeToMemory(old),
		"OpenSSH":  pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: append(openSSH, "aes256-ctr"...)}),
	}
}

func TestEncryptedKeyIsCalledEncrypted(t *testing.T) {
	cert, bare := shiptest.NewAuthority("ca").Issue("host", time.Now().Add(time.Hour))
	parameters := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 1, 0}})
	dir := t.TempDir()
	check := func(cert, key []byte) error {
		certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
		write(t, certFile, string(cert), time.Now())
		write(t, keyFile, string(key), time.Now())
		cleanEnvironment(t, map[string]string{"HEKA_ENDPOINT": "https://h/", "HEKA_TLS_CERT_FILE": certFile, "HEKA_TLS_KEY_FILE": keyFile})
		_, _, err := agent.LoadConfig("")
		return err
	}
	for form, key := range encrypted(t) {
		for where, content := range map[string][]byte{
			"alone": key, "after a comment": append([]byte("Bag Attributes\n  friendlyName: host\n"), key...),
			"after the certificate": append(bytes.Clone(cert), key...), "after parameters": append(parameters, key...),
			"with CRLF": bytes.ReplaceAll(key, []byte("\n"), []byte("\r\n")),
		} {
			for _, c := range [][]byte{cert, []byte("no certificate")} {
				err := check(c, content)
				if got := fmt.Sprint(err); strings.Count(got, "\n") > 0 || !strings.HasPrefix(got, "HEKA_TLS_KEY_FILE: is encrypted") {
					t.Errorf("%s, %s: %v", form, where, err)
				}
			}
		}
		// The first key of a file is the one that counts.
		if err := check(cert, append(bytes.Clone(bare), key...)); err != nil {
			t.Errorf("%s, after a bare key: %v", form, err)
		}
	}
	if err := check(cert, bare); err != nil {
		t.Errorf("a bare key: %v", err)
	}
	if err := check(cert, []byte("-----BEGIN ENCRYPTED")); err == nil || strings.Contains(err.Error(), "is encrypted") {
		t.Errorf("no key at all: %v", err)
	}
}
