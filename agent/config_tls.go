package agent

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/heka-insights/heka-insights-agent/ship"
)

func (l *loader) checkTLS() {
	t := &l.env.Heka.TLS
	if name := t.CAFile.Value; name != "" {
		if pem, err := readSmallFile(name); err != nil {
			l.problem("HEKA_TLS_CA_FILE", "cannot be read ("+err.Error()+")", "name a readable PEM file")
		} else if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			l.problem("HEKA_TLS_CA_FILE", "holds no certificate", "name a PEM file with the authority's certificate")
		}
	}
	cert, key := t.CertFile.Value, t.KeyFile.Value
	switch {
	case cert != "" && !t.KeyFile.isSet():
		l.problem("HEKA_TLS_CERT_FILE", "is set without HEKA_TLS_KEY_FILE", "set the certificate's key too")
	case key != "" && !t.CertFile.isSet():
		l.problem("HEKA_TLS_KEY_FILE", "is set without HEKA_TLS_CERT_FILE", "set the key's certificate too")
	case cert != "" && key != "":
		l.checkKeyPair(cert, key)
	}
}

func (l *loader) checkKeyPair(certFile, keyFile string) {
	cert, err := readSmallFile(certFile)
	var key []byte
	if err == nil {
		key, err = readSmallFile(keyFile)
	}
	switch {
	case err == nil && ship.EncryptedKey(key):
		l.problem("HEKA_TLS_KEY_FILE", "is encrypted, and the agent takes no passphrase",
			"name a file with the bare key, such as `openssl pkey -in KEY -out BARE` writes")
		return
	case err == nil:
		_, err = tls.X509KeyPair(cert, key)
	}
	if err != nil {
		l.problem("HEKA_TLS_CERT_FILE", "cannot be used together with HEKA_TLS_KEY_FILE ("+err.Error()+")", "name readable PEM files of a certificate and its key")
	}
}
