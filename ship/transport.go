package ship

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"
)

// TLSConfig is the client's side of TLS. The zero value verifies the server
// against the system's authorities.
type TLSConfig struct {
	// CAFile holds PEM certificates that replace the system's authorities.
	CAFile string
	// CertFile and KeyFile hold the client's PEM certificate and key.
	CertFile, KeyFile string
	// ServerName replaces the endpoint's host name in verification.
	ServerName string
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool
}

// tlsFiles remembers what the TLS files were like when they were last read.
type tlsFiles struct {
	cfg   TLSConfig
	seen  map[string]os.FileInfo // nil for a file that was not there
	asked atomic.Bool            // a server asked for a client certificate
}

func newTLSFiles(cfg TLSConfig) *tlsFiles {
	f := &tlsFiles{cfg: cfg, seen: make(map[string]os.FileInfo)}
	for _, path := range []string{cfg.CAFile, cfg.CertFile, cfg.KeyFile} {
		if path != "" {
			f.seen[path] = nil
		}
	}
	return f
}

// changed reports whether a file was written, replaced or removed since.
func (f *tlsFiles) changed() bool {
	for path, seen := range f.seen {
		now, _ := os.Stat(path)
		if (now == nil) != (seen == nil) || now != nil &&
			(!os.SameFile(now, seen) || !now.ModTime().Equal(seen.ModTime()) || now.Size() != seen.Size()) {
			return true
		}
	}
	return false
}

// load reads the files. Errors name the variable to fix.
func (f *tlsFiles) load() (*tls.Config, error) {
	for path := range f.seen {
		f.seen[path], _ = os.Stat(path)
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         f.cfg.ServerName,
		InsecureSkipVerify: f.cfg.InsecureSkipVerify,
	}
	if f.cfg.CAFile != "" {
		pem, err := os.ReadFile(f.cfg.CAFile)
		if err != nil {
			return nil, &configError{err, "set HEKA_TLS_CA_FILE to a readable PEM file"}
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &configError{fmt.Errorf("%s holds no certificate", f.cfg.CAFile), "set HEKA_TLS_CA_FILE to a PEM file"}
		}
	}
	if f.cfg.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(f.cfg.CertFile, f.cfg.KeyFile)
		if key, _ := os.ReadFile(f.cfg.KeyFile); EncryptedKey(key) {
			return nil, &configError{errors.New("the private key is encrypted"), "set HEKA_TLS_KEY_FILE to a PEM file of the bare key"}
		}
		if err != nil {
			return nil, &configError{err, "set HEKA_TLS_CERT_FILE and HEKA_TLS_KEY_FILE to a PEM certificate and its key"}
		}
		config.Certificates = []tls.Certificate{pair}
	}
	config.GetClientCertificate = f.certificate(config.Certificates)
	return config, nil
}

// certificate chooses a client certificate as crypto/tls does by itself, and
// notes that it was asked for one.
func (f *tlsFiles) certificate(all []tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(asks *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		f.asked.Store(true)
		for i := range all {
			if asks.SupportsCertificate(&all[i]) == nil {
				return &all[i], nil
			}
		}
		return new(tls.Certificate), nil // none
	}
}

// The time-outs of docs/delivery.md.
const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 5 * time.Second
	headerTimeout    = 15 * time.Second
	pingAfter        = 15 * time.Second
	pingTimeout      = 5 * time.Second
	// silenceMax is how long nothing may move on the connection of a request. A
	// ping of HTTP/2, and its answer, fit in.
	silenceMax     = pingAfter + pingTimeout
	idleTimeout    = 90 * time.Second
	maxHeaderBytes = 64 << 10
)

func newTransport(files *tlsFiles, dial dialFunc) (*http.Transport, error) {
	config, err := files.load()
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    handshakeTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConns:           1,
		MaxConnsPerHost:        1,
		IdleConnTimeout:        idleTimeout,
		OnProxyConnectResponse: refusedByProxy,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}, nil
}

// refusedByProxy judges a proxy that opens no tunnel to an https endpoint;
// net/http would give only the status's text, as if the endpoint had said it.
// To a wrong password some proxies answer 401 (tinyproxy), and not 407.
func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	status := response.StatusCode
	err := fmt.Errorf("the proxy answered %d %s", status, http.StatusText(status))
	switch status {
	case http.StatusOK:
		return nil
	case http.StatusProxyAuthRequired, http.StatusUnauthorized:
		return &configError{err, hintProxyAuth}
	case http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return &configError{err, "let the proxy CONNECT to the host and port of HEKA_ENDPOINT, or fix HTTPS_PROXY or NO_PROXY"}
	default:
		return err
	}
}
