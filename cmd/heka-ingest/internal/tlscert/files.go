package tlscert

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Files is a certificate that somebody else renews in place. It is safe for
// concurrent use.
type Files struct {
	certPath, keyPath string

	mu                sync.Mutex
	cert              *tls.Certificate // guarded by mu, like the times
	certTime, keyTime time.Time
}

// OpenFiles reads a PEM certificate chain and its key.
func OpenFiles(certPath, keyPath string) (*Files, error) {
	f := &Files{certPath: certPath, keyPath: keyPath}
	if err := f.reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// GetCertificate is for [tls.Config]. It re-reads the files if they have
// changed. While they are unreadable or do not match, as happens between the
// replacement of the one and the other, it returns the previous certificate.
func (f *Files) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.reload() // on error the previous certificate stays
	return f.cert, nil
}

// reload reads the files if they have changed. f.mu must be held, unless f is
// not shared yet.
func (f *Files) reload() error {
	certInfo, err1 := os.Stat(f.certPath)
	keyInfo, err2 := os.Stat(f.keyPath)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	if certInfo.ModTime().Equal(f.certTime) && keyInfo.ModTime().Equal(f.keyTime) {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(f.certPath, f.keyPath)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	f.cert, f.certTime, f.keyTime = &cert, certInfo.ModTime(), keyInfo.ModTime()
	return nil
}
