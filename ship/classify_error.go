package ship

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// classifyError judges a request that got no answer. Errors of certificates
// are for people to fix; all others are the network's, and pass.
func classifyError(a answer) Outcome {
	err := a.err
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the URL says nothing new, and may hold a secret
	}
	if o, ok := classifyTLS(err, a); ok {
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
		o.Cause, o.Hint = "cannot resolve "+dns.Name, "check the host in HEKA_ENDPOINT (or of the proxy), and this host's DNS"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout(), isPingLost(err):
		o.Cause, o.Hint, o.Overload = "timed out", "check the way to the backend (routes, firewalls, proxies), and its load", true
	default:
		o.MayBeContent = !o.NoConnection && brokeOff(err)
		o.Hint = hintBrokenOff(a, o.MayBeContent)
	}
	return o
}

// hintBrokenOff names what else may be behind a connection that broke off: some
// servers tell of it by no other means.
func hintBrokenOff(a answer, brokeOff bool) string {
	switch {
	case brokeOff && a.plain:
		return "check the way to the backend, and its log; if it speaks TLS, " + hintTryHTTPS
	case brokeOff && a.asked:
		return "check the way to the backend, and its log; it asked for a client certificate: " + hintClientCertificate
	default:
		return "check the way to the backend, and its log"
	}
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

// isPingLost recognises a ping of HTTP/2 without an answer, likewise.
func isPingLost(err error) bool {
	return strings.Contains(err.Error(), "http2: client connection lost")
}

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
