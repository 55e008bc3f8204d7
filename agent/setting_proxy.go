package agent

import (
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

type (
	// proxyVar takes a proxy's URL, or host:port, as net/http does. What that
	// would take for something else, or leave unused without a word, is refused.
	proxyVar struct{ textVar[*url.URL] }
	// hostsVar takes a list of hosts of any length.
	hostsVar struct{ textVar[string] }
)

func (s *proxyVar) resolve(tag reflect.StructTag) *fault { return s.read(tag, parseProxy) }
func (s *proxyVar) kind(reflect.StructTag) string        { return "URL" }
func (s *proxyVar) show() string                         { return RedactURL(s.Value) }

func (s *hostsVar) resolve(tag reflect.StructTag) *fault { return s.read(tag, parseHosts) }
func (s *hostsVar) kind(reflect.StructTag) string        { return "list" }
func (s *hostsVar) show() string                         { return s.Value }

// parseProxy never repeats the text, which may hold a password. It parses what
// net/http parses: to a text that is no URL that adds http://, which makes a
// host of a scheme and a path of the rest, so that is done for host:port alone.
func parseProxy(text string) (*url.URL, *fault) {
	bad := &fault{"is not a proxy's URL", "use one such as http://proxy.example.com:3128, percent-encoding what a user's name or password holds of # / ? \\ % [ ] and spaces"}
	given := text
	if !strings.Contains(text, "://") {
		given = "http://" + text
	}
	u, err := url.Parse(given)
	if err != nil || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) || !isHost(u.Hostname()) {
		return nil, bad
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return nil, bad // what follows may be the rest of a password
	}
	if f := checkPort(u); f != nil {
		return nil, f
	}
	return u, nil
}

// isHost reports whether text can be a host's name or address.
func isHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return r < 0x80 && !isAlphanumeric(string(r), ".-_")
	})
}

func parseHosts(text string) (string, *fault) {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "", &fault{"holds a control character", "use host names and networks with commas between them"}
	}
	return text, nil
}

// isProxyVariable reports whether net/http reads name, in either spelling.
func isProxyVariable(name string) bool {
	return slices.Contains([]string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"}, strings.ToUpper(name))
}

// otherCase returns the other spelling of a proxy's variable.
func otherCase(name string) string {
	if upper := strings.ToUpper(name); upper != name {
		return upper
	}
	return strings.ToLower(name)
}

// tidyEnvironment takes away the white space around the variables that others
// read from the environment, net/http and gopsutil, and blank ones altogether:
// what LoadConfig has checked is what they use.
func tidyEnvironment() {
	for _, entry := range os.Environ() {
		name, text, _ := strings.Cut(entry, "=")
		if !isProxyVariable(name) && !strings.HasPrefix(name, "HOST_") {
			continue
		}
		if trimmed := strings.TrimSpace(text); trimmed == "" {
			_ = os.Unsetenv(name)
		} else if trimmed != text {
			_ = os.Setenv(name, trimmed)
		}
	}
}

// checkProxies finds a spelling that has no effect beside the other.
func (l *loader) checkProxies() {
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} {
		lower := os.Getenv(strings.ToLower(name))
		if upper := os.Getenv(name); upper != "" && lower != "" && upper != lower {
			l.warn("%s: has no effect, since %s is set to something else", strings.ToLower(name), name)
		}
	}
}
