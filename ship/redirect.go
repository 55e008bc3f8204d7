package ship

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// sameHostOnly follows redirects that keep method, host and scheme; all
// others are answers, for classify to judge: a credential never travels to
// where it was not configured for.
func sameHostOnly(request *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case len(via) > maxRedirects:
		return errors.New("too many redirects")
	case request.Method != first.Method, !sameOrigin(request.URL, first.URL):
		return http.ErrUseLastResponse
	}
	// net/http takes another spelling of the host for another host: it would open
	// a second connection, and leave the credential out.
	request.URL.Host, request.URL.User, request.Host = first.URL.Host, first.URL.User, first.Host
	request.Header = first.Header.Clone()
	return nil
}

// sameOrigin reports whether two URLs have the same scheme, host and port,
// however they are spelled (RFC 3986, section 6.2).
func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && hostOf(a) == hostOf(b) && portOf(a) == portOf(b)
}

// hostOf is the host in one spelling: lower case, in ASCII, without the dot of
// the root, an address as Go prints it.
func hostOf(u *url.URL) string {
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		return ip.Unmap().String()
	}
	return strings.TrimSuffix(inASCII(strings.ToLower(u.Hostname())), ".")
}

// inASCII is an internationalised name as it travels: net/http knows Punycode,
// and shows it only in what it writes.
func inASCII(host string) string {
	if !strings.ContainsFunc(host, func(r rune) bool { return r >= 0x80 }) {
		return host
	}
	var written bytes.Buffer
	request := http.Request{Method: http.MethodHead, URL: &url.URL{Scheme: "http", Host: host}}
	if request.Write(&written) != nil {
		return host
	}
	read, err := http.ReadRequest(bufio.NewReader(&written))
	if err != nil {
		return host
	}
	return read.Host
}

func portOf(u *url.URL) string {
	switch port := strings.TrimLeft(u.Port(), "0"); {
	case port != "":
		return port
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	default:
		return "80"
	}
}
