package agent

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Kubernetes describes every service of a namespace to every container, and
// Docker every linked container, in variables named after it. For a service
// named heka-ingest, or just heka, they begin with HEKA_.
//
//	HEKA_INGEST_SERVICE_HOST=10.0.0.1
//	HEKA_INGEST_SERVICE_PORT[_HTTPS]=443
//	HEKA_INGEST_PORT[_443_TCP]=tcp://10.0.0.1:443
//	HEKA_INGEST_PORT_443_TCP_{PROTO,PORT,ADDR}=…
//	HEKA_INGEST_NAME=/agent/heka-ingest          (Docker)
//	HEKA_INGEST_ENV_ANYTHING=…                   (Docker)
//
// Each is known by its name together with the form of its value, so that a
// mistake of one's own, HEKA_PORT=8080, is still found.
var (
	linkServicePort = regexp.MustCompile(`_SERVICE_PORT(_[A-Z0-9_]+)?$`)
	linkPort        = regexp.MustCompile(`_PORT(_[0-9]+_(TCP|UDP|SCTP))?(_START|_END)?$`)
	linkPortPart    = regexp.MustCompile(`_PORT_[0-9]+_(TCP|UDP|SCTP)_(ADDR|PROTO|PORT(_START|_END)?)$`)
	linkURL         = regexp.MustCompile(`^(tcp|udp|sctp)://`)
	linkName        = regexp.MustCompile(`^/[^/]+/[^/]+$`)
)

// injectedByLink reports whether set[name] is such a variable.
func injectedByLink(name string, set map[string]string) bool {
	text := set[name]
	switch {
	case strings.HasSuffix(name, "_SERVICE_HOST"):
		_, err := netip.ParseAddr(text)
		return err == nil
	case linkServicePort.MatchString(name):
		_, err := strconv.ParseUint(text, 10, 16)
		return err == nil
	case linkPortPart.MatchString(name):
		return true
	case linkPort.MatchString(name):
		return linkURL.MatchString(text)
	case strings.HasSuffix(name, "_NAME"):
		return linkName.MatchString(text)
	}
	return fromLinkedEnvironment(name, set)
}

// fromLinkedEnvironment reports whether name is ALIAS_ENV_ANYTHING for an alias
// that Docker names too.
func fromLinkedEnvironment(name string, set map[string]string) bool {
	const infix = "_ENV_"
	for i := range name {
		if strings.HasPrefix(name[i:], infix) && linkName.MatchString(set[name[:i]+"_NAME"]) {
			return true
		}
	}
	return false
}
