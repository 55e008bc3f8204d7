package ship

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// classifyError judges a request that got no answer. Errors of certificates
// are for people to mend; all others are the network's, and pass.
func classifyError(err error) Outcome {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the URL says nothing new, and may hold a secret
	}
	if o, ok := classifyTLS(err); ok {
		return o
	}
	o := Outcome{Verdict: Retry, Cause: withoutAddresses(err).Error(), NoConnection: isDial(err)}
	var dns *net.DNSError
	var timeout net.Error
	var configuration *configError
	switch {
	case errors.As(err, &configuration):
		return Outcome{Verdict: Pause, Cause: err.Error(), Hint: configuration.hint, NoConnection: true}
	case errors.Is(err, context.Canceled):
		o.Cause = "the request was cancelled"
	case errors.Is(err, syscall.ECONNREFUSED):
		o.Cause, o.Hint = "connection refused", "is the backend up, and HEKA_ENDPOINT its host and port?"
	case errors.As(err, &dns):
		o.Cause, o.Hint = "cannot resolve "+dns.Name, "check the host in HEKA_ENDPOINT, and this host's DNS"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		o.Cause, o.Hint, o.Overload = "timed out", "check the way to the backend (routes, firewalls, proxies), and its load", true
	default:
		o.Hint = "check the way to the backend, and its log"
		o.MayBeContent = !o.NoConnection && brokeOff(err)
	}
	return o
}

// isDial reports whether no connection was made.
func isDial(err error) bool {
	var operation *net.OpError
	var dns *net.DNSError
	return errors.As(err, &operation) && operation.Op == "dial" || errors.As(err, &dns)
}

// brokeOff reports whether a connection ended that was there: it was reset, or
// closed without an answer, maybe by something that does not like the body.
func brokeOff(err error) bool {
	var operation *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &operation) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || isStreamReset(err)
}

// isStreamReset recognises HTTP/2's reset of one request, whose type net/http
// does not export.
func isStreamReset(err error) bool { return strings.Contains(err.Error(), "stream error: stream ID") }

// withoutAddresses keeps a cause the same from one connection to the next,
// whose local ports differ: a new cause is a line in the log.
func withoutAddresses(err error) error {
	for operation := (*net.OpError)(nil); errors.As(err, &operation); {
		err = operation.Err
	}
	return err
}

// configError is an error of the sender's own files.
type configError struct {
	err  error
	hint string
}

func (e *configError) Error() string { return e.err.Error() }
func (e *configError) Unwrap() error { return e.err }

func classifyTLS(err error) (Outcome, bool) {
	pause := func(cause, hint string) (Outcome, bool) {
		return Outcome{Verdict: Pause, Cause: cause, Hint: hint}, true
	}
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var remote *net.OpError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &authority):
		return pause("the endpoint's certificate is signed by an unknown authority",
			"set HEKA_TLS_CA_FILE to that authority's certificate")
	case errors.As(err, &name):
		return pause("the endpoint's certificate is for another name: "+name.Error(),
			"set HEKA_TLS_SERVER_NAME to a name that it has, or mend HEKA_ENDPOINT")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return pause("the endpoint's certificate has expired or is not yet valid: "+invalid.Error(),
			"renew it on the server, and check both clocks")
	case errors.As(err, &invalid):
		return pause("the endpoint's certificate is not acceptable: "+invalid.Error(), "replace it on the server")
	case errors.As(err, &remote) && remote.Op == "remote error": // crypto/tls, of an alert
		return pause("the endpoint refused the TLS connection: "+remote.Err.Error(),
			"set HEKA_TLS_CERT_FILE and HEKA_TLS_KEY_FILE if it asks for a client certificate")
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return pause("the endpoint does not speak TLS", "check the scheme and port of HEKA_ENDPOINT")
	default:
		return Outcome{}, false
	}
}
