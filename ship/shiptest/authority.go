package shiptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// century is how long an authority lives: longer than any test's outage.
const century = 100 * 365 * 24 * time.Hour

// Authority is a certificate authority. Make one with NewAuthority; it is
// immutable and safe for concurrent use.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority returns an authority, valid for a century from an hour ago.
// Like all of this file it panics where certificates cannot be made at all,
// which only a broken program brings about.
func NewAuthority(name string) *Authority {
	key := newKey()
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(century),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return &Authority{sign(template, template, key, key), key}
}

// PEM returns the authority's certificate, as a CA file holds it.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Pool returns a pool of this authority and others.
func (a *Authority) Pool(others ...*Authority) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	for _, other := range others {
		pool.AddCert(other.cert)
	}
	return pool
}

// Issue returns a certificate and its key, in PEM, for a DNS name or an IP
// address. It serves for either side of a connection, from two hours ago until
// notAfter, which may be in the past.
func (a *Authority) Issue(name string, notAfter time.Time) (certPEM, keyPEM []byte) {
	key := newKey()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	cert := sign(template, a.cert, key, a.key)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(fmt.Sprintf("encode a key: %v", err))
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// Pair returns what Issue does as a server takes it.
func (a *Authority) Pair(name string, notAfter time.Time) tls.Certificate {
	pair, err := tls.X509KeyPair(a.Issue(name, notAfter))
	if err != nil {
		panic(fmt.Sprintf("read a certificate of our own: %v", err))
	}
	return pair
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(fmt.Sprintf("make a key: %v", err))
	}
	return key
}

func serial() *big.Int { return new(big.Int).SetBytes([]byte(rand.Text())) }

func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		panic(fmt.Sprintf("sign a certificate: %v", err))
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(fmt.Sprintf("read a certificate of our own: %v", err))
	}
	return cert
}
