package ship

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

const (
	hintTryHTTPS          = "try https:// in HEKA_ENDPOINT"
	hintClientCertificate = "set HEKA_TLS_CERT_FILE and HEKA_TLS_KEY_FILE to a certificate that it takes, and its key"
	hintAuthority         = "set HEKA_TLS_CA_FILE to that authority's certificate, and let the server send the whole chain"
	hintName              = "set HEKA_TLS_SERVER_NAME to a name that it has, or fix HEKA_ENDPOINT"
	hintNoName            = "replace it on the server by one with subject alternative names"
	hintProtocol          = "let the server speak TLS 1.2 or newer, or set HEKA_ENDPOINT to one that does"
	hintCipher            = "let the server offer a cipher suite of TLS 1.3, or with ECDHE and AES-GCM or ChaCha20, or set HEKA_ENDPOINT to one that does"
)

// classifyTLS judges the errors of TLS: all of them are for a person to fix.
func classifyTLS(err error, a answer) (Outcome, bool) {
	pause := func(cause, hint string) (Outcome, bool) {
		return Outcome{Verdict: Pause, Cause: cause, Hint: hint}, true
	}
	var remote *net.OpError
	var record tls.RecordHeaderError
	switch text := err.Error(); {
	case a.plain && strings.Contains(text, `"\x15\x03`): // a TLS alert, where net/http looks for an answer
		return pause("the endpoint speaks TLS", hintTryHTTPS)
	case errors.As(err, &remote) && remote.Op == "remote error": // crypto/tls, of an alert
		return pause("the endpoint refused the TLS connection: "+remote.Err.Error(), hintAlert(remote.Err.Error(), a.asked))
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return pause("the endpoint does not speak TLS", "check the scheme and port of HEKA_ENDPOINT")
	case strings.Contains(text, "tls: server selected unsupported protocol version"):
		return pause("the endpoint speaks a version of TLS that is too old", hintProtocol)
	case strings.Contains(text, "tls: server chose an unconfigured cipher suite"),
		strings.Contains(text, "tls: server selected unsupported"): // curve, group
		return pause("the endpoint wants a cipher that is not safe", hintCipher)
	default:
		return classifyCertificate(err)
	}
}

// classifyCertificate judges what is wrong with the endpoint's certificate.
func classifyCertificate(err error) (Outcome, bool) {
	pause := func(cause, hint string) (Outcome, bool) {
		return Outcome{Verdict: Pause, Cause: cause, Hint: hint}, true
	}
	var authority x509.UnknownAuthorityError
	var roots x509.SystemRootsError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &authority):
		return pause("the endpoint's certificate is signed by an unknown authority", hintAuthority)
	case errors.As(err, &roots):
		return pause("this system has no list of authorities", "set HEKA_TLS_CA_FILE to the certificate of the endpoint's authority")
	case errors.As(err, &name) && name.Certificate != nil && len(name.Certificate.DNSNames)+len(name.Certificate.IPAddresses) == 0:
		return pause("the endpoint's certificate is for no name: "+name.Error(), hintNoName)
	case errors.As(err, &name):
		return pause("the endpoint's certificate is for another name: "+name.Error(), hintName)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		hint := "renew it on the server, and check both clocks"
		if invalid.Cert != nil && invalid.Cert.IsCA {
			hint = "it is an authority's: renew it on the server and in HEKA_TLS_CA_FILE, and check both clocks"
		}
		return pause("the endpoint's certificate has expired or is not yet valid: "+invalid.Error(), hint)
	case errors.As(err, &invalid):
		return pause("the endpoint's certificate is not acceptable: "+invalid.Error(), "replace it on the server; does HEKA_TLS_CA_FILE hold its authority, and not another certificate?")
	case errors.As(err, &verification):
		return pause("the endpoint's certificate is not acceptable: "+verification.Err.Error(), "replace it on the server, or its authority and HEKA_TLS_CA_FILE")
	default:
		return Outcome{}, false
	}
}

// hintAlert says what to do about an alert of the server, by its text in
// crypto/tls. asked says that the server had asked for a client certificate: a
// handshake that fails before that is not for the lack of one.
func hintAlert(alert string, asked bool) string {
	about := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(alert, word) {
				return true
			}
		}
		return false
	}
	switch {
	case about("protocol version", "inappropriate fallback"):
		return hintProtocol
	case about("unrecognized name"):
		return hintName
	case about("no application protocol"):
		return "let the server offer HTTP/1.1 or HTTP/2, or fix the port of HEKA_ENDPOINT"
	case about("expired certificate"):
		return "renew the certificate in HEKA_TLS_CERT_FILE, and check both clocks"
	case about("unknown certificate authority"):
		return "let the server trust the authority of HEKA_TLS_CERT_FILE, or " + hintClientCertificate
	case about("certificate", "access denied"), asked:
		return hintClientCertificate
	case about("handshake failure", "insufficient security", "illegal parameter"):
		return hintCipher
	default:
		return "look at the server's log, and check HEKA_ENDPOINT and HEKA_TLS_SERVER_NAME"
	}
}

// classifyTLSAnswer judges answers in HTTP that are about TLS: to a request in
// clear at a port for TLS, and for the lack of a client certificate. Servers
// answer 400 with a page that says so; 495 to 497 are nginx's own numbers.
func classifyTLSAnswer(a answer) (Outcome, bool) {
	pause := func(why, hint string) (Outcome, bool) {
		cause := strings.TrimSpace(fmt.Sprintf("the endpoint answered %d %s", a.status, http.StatusText(a.status))) + ": " + why
		return Outcome{Verdict: Pause, Cause: cause, Hint: hint}, true
	}
	page := bytes.ToLower(a.body)
	says := func(words string) bool {
		return a.status == http.StatusBadRequest && bytes.Contains(page, []byte(words))
	}
	switch {
	case a.plain && (a.status == 497 || a.status == http.StatusUpgradeRequired ||
		says("http request to an https server") || says("http request was sent to https") || says("speaking plain http")):
		return pause("it speaks TLS", hintTryHTTPS)
	case a.status == 495 || a.status == 496 || !a.plain && says("ssl certificate"):
		return pause("it wants another client certificate", hintClientCertificate)
	default:
		return Outcome{}, false
	}
}
