// Package tlscert provides the certificate of the ingest: one signed by a
// private CA that it creates itself, or one that the operator keeps in files.
package tlscert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	caLifetime   = 20 * 365 * 24 * time.Hour
	certLifetime = 90 * 24 * time.Hour
	// renewBefore is how long before its expiry a certificate is replaced.
	renewBefore = 30 * 24 * time.Hour
	// backdate lets clients connect whose clock is behind.
	backdate = time.Hour
)

// The files of an Authority, in its directory. Keys have mode 0600.
const (
	CAFile    = "ca.pem"
	caKeyFile = "ca-key.pem"
	certFile  = "cert.pem"
	keyFile   = "key.pem"
)

// Authority is a private CA with a server certificate that it signed. It is
// safe for concurrent use.
type Authority struct {
	dir   string
	names []string
	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey

	mu   sync.Mutex
	cert *tls.Certificate // guarded by mu
}

// OpenAuthority reads the CA and the server certificate in dir, and creates
// them if they are missing. It replaces the server certificate, signed by the
// same CA, if it expires soon, is damaged, or lacks one of names (host names
// and IP addresses). A damaged CA is an error, because replacing it would lock
// out every client.
func OpenAuthority(dir string, names []string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make certificate directory: %w", err)
	}
	a := &Authority{dir: dir, names: names}
	if err := a.openCA(); err != nil {
		return nil, err
	}
	if cert, err := tls.LoadX509KeyPair(a.path(certFile), a.path(keyFile)); err == nil {
		a.cert = &cert
	}
	if _, err := a.GetCertificate(nil); err != nil {
		return nil, err
	}
	return a, nil
}

// GetCertificate is for [tls.Config]. It renews the certificate when that is
// due, so that the certificate of a server that never restarts does not expire.
func (a *Authority) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.valid() {
		return a.cert, nil
	}
	if err := a.issue(); err != nil {
		return nil, fmt.Errorf("make server certificate: %w", err)
	}
	return a.cert, nil
}

// valid reports whether the certificate can still be used. a.mu must be held.
func (a *Authority) valid() bool {
	if a.cert == nil || a.cert.Leaf == nil {
		return false
	}
	leaf := a.cert.Leaf
	now := time.Now()
	return leaf.CheckSignatureFrom(a.ca) == nil &&
		!now.Before(leaf.NotBefore) && now.Before(leaf.NotAfter.Add(-renewBefore)) &&
		!slices.ContainsFunc(a.names, func(name string) bool { return leaf.VerifyHostname(name) != nil })
}

func (a *Authority) openCA() error {
	pair, err := tls.LoadX509KeyPair(a.path(CAFile), a.path(caKeyFile))
	if errors.Is(err, fs.ErrNotExist) && !exists(a.path(CAFile)) {
		return a.makeCA()
	}
	if err != nil {
		return fmt.Errorf("read CA in %s: %w", a.dir, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return fmt.Errorf("read CA in %s: not an ECDSA certificate authority", a.dir)
	}
	a.ca, a.caKey = pair.Leaf, key
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (a *Authority) makeCA() error {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "heka-ingest CA"},
		NotAfter:              time.Now().Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	cert, key, err := sign(template, nil, nil)
	if err != nil {
		return fmt.Errorf("make CA: %w", err)
	}
	a.ca, a.caKey = cert, key
	// The certificate is written last: if its file exists, the CA is complete.
	return a.write(caKeyFile, CAFile, cert, key)
}

func (a *Authority) issue() error {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "heka-ingest"},
		NotAfter:    time.Now().Add(certLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range a.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	cert, key, err := sign(template, a.ca, a.caKey)
	if err != nil {
		return err
	}
	if err := a.write(keyFile, certFile, cert, key); err != nil {
		return err
	}
	a.cert = &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	return nil
}

// sign creates a key and a certificate for it. A nil ca means self-signed.
func sign(template, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if ca == nil {
		ca, caKey = template, key
	}
	template.NotBefore = time.Now().Add(-backdate)
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// write replaces the key file, then the certificate file.
func (a *Authority) write(keyName, certName string, cert *x509.Certificate, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := replaceFile(a.path(keyName), keyPEM, 0o600); err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	return replaceFile(a.path(certName), certPEM, 0o644)
}

func (a *Authority) path(name string) string { return filepath.Join(a.dir, name) }

// replaceFile writes a file atomically.
func replaceFile(path string, data []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
