package agent

import (
	"cmp"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

type (
	// endpointVar takes an absolute http or https URL without credentials.
	endpointVar struct{ textVar[*url.URL] }
	// headersVar takes k=v,k2=v2. Values are kept as secrets.
	headersVar struct{ textVar[[]Header] }
	// otelHeadersVar takes the same with values percent-encoded, as OpenTelemetry
	// does.
	otelHeadersVar struct{ textVar[[]Header] }
	// attributesVar takes k=v,k2=v2 with values percent-encoded where they hold
	// a comma, as OpenTelemetry does.
	attributesVar struct{ textVar[[]metric.Label] }
	// secretVar takes a text that is never printed.
	secretVar struct{ textVar[Secret] }
)

// Header is one extra request header. Its value may be a credential.
type Header struct {
	// Name is in canonical form: "X-Scope-Orgid".
	Name string
	// Value is valid in a header.
	Value Secret
}

// reservedHeaders belong to the wire format or to HTTP itself.
var reservedHeaders = [...]string{
	"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host",
	"Idempotency-Key", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"User-Agent", "X-Agent-Id", "X-Idempotency-Key",
}

func (s *endpointVar) resolve(tag reflect.StructTag) *fault { return s.read(tag, parseEndpoint) }
func (s *endpointVar) kind(reflect.StructTag) string        { return "URL" }
func (s *endpointVar) show() string                         { return RedactURL(s.Value) }

func (s *headersVar) resolve(tag reflect.StructTag) *fault { return s.read(tag, parseHeaders) }
func (s *headersVar) kind(reflect.StructTag) string        { return "k=v,…" }
func (s *headersVar) show() string                         { return showHeaders(s.Value) }

func (s *otelHeadersVar) resolve(tag reflect.StructTag) *fault { return s.read(tag, parseOtelHeaders) }
func (s *otelHeadersVar) kind(reflect.StructTag) string        { return "k=v,…" }
func (s *otelHeadersVar) show() string                         { return showHeaders(s.Value) }

func showHeaders(list []Header) string {
	pairs := make([]string, len(list))
	for i, h := range list {
		pairs[i] = h.Name + "=" + h.Value.String()
	}
	return strings.Join(pairs, ",")
}

// resolve keeps the attributes that are good beside a fault.
func (s *attributesVar) resolve(reflect.StructTag) (f *fault) {
	s.Value, f = parseAttributes(s.text)
	return f
}

func (s *attributesVar) kind(reflect.StructTag) string { return "k=v,…" }
func (s *attributesVar) show() string {
	pairs := make([]string, len(s.Value))
	for i, l := range s.Value {
		pairs[i] = l.Key + "=" + url.PathEscape(l.Value)
	}
	return strings.Join(pairs, ",")
}

// resolve trims line breaks alone, as for a secret's file: a password may begin
// or end with a space.
func (s *secretVar) resolve(reflect.StructTag) *fault {
	if isBlank(s.text) {
		return nil
	}
	text := strings.Trim(s.text, "\r\n")
	if err := checkSecret(text); err != nil {
		return &fault{err.Error(), "use the bare value on one line"}
	}
	s.Value = NewSecret(text)
	return nil
}
func (s *secretVar) kind(reflect.StructTag) string { return "secret" }
func (s *secretVar) show() string                  { return s.Value.String() }

// RedactURL prints u without what may be secret: its user and its query. A nil u prints as the empty string.
func RedactURL(u *url.URL) string {
	if u == nil {
		return ""
	}
	shown := *u
	if shown.User != nil {
		shown.User = url.User("redacted")
	}
	if shown.RawQuery != "" {
		shown.RawQuery = "redacted"
	}
	return shown.String()
}

// parseEndpoint never repeats the text, which may hold a credential.
func parseEndpoint(text string) (*url.URL, *fault) {
	const right = "use an absolute URL such as https://ingest.example.com/v1/batches"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "":
		return nil, &fault{"is not a URL", right}
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, &fault{"is not an http or https URL", right}
	case u.Hostname() == "":
		return nil, &fault{"names no host", right}
	case u.User != nil:
		return nil, &fault{"has credentials inside", "use HEKA_USERNAME and HEKA_PASSWORD for them"}
	case u.Fragment != "":
		return nil, &fault{"has a #fragment, which is never sent", "leave it out"}
	}
	if f := checkPort(u); f != nil {
		return nil, f
	}
	return u, nil
}

// checkPort finds a port that no host has. That a port is a number is known.
func checkPort(u *url.URL) *fault {
	port := u.Port()
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return &fault{"has a port that is out of range", "use one from 1 to 65535, or leave it out"}
	}
	return nil
}

// parseHeaders never repeats a value.
func parseHeaders(text string) ([]Header, *fault) {
	return parseHeaderList(text, func(text string) (string, error) { return text, nil })
}

// parseOtelHeaders is parseHeaders for percent-encoded values.
func parseOtelHeaders(text string) ([]Header, *fault) { return parseHeaderList(text, url.PathUnescape) }

func parseHeaderList(text string, decode func(string) (string, error)) ([]Header, *fault) {
	const right = "use name=value pairs with commas between them"
	var list []Header
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		which := "its header " + strconv.Itoa(len(list)+1) // by number: a secret may end in "=", and is no name
		name, content, ok := strings.Cut(pair, "=")
		content, err := decode(strings.TrimSpace(content))
		name = http.CanonicalHeaderKey(strings.TrimSpace(name))
		switch {
		case !ok || !isToken(name):
			return nil, &fault{"has a part that is not name=value", right}
		case slices.Contains(reservedHeaders[:], name):
			return nil, &fault{"sets " + name + ", which the agent sets itself", "leave it out"}
		case err != nil || isBlank(strings.Trim(content, "=")) || checkSecret(content) != nil:
			return nil, &fault{which + " has no usable value", right}
		case slices.ContainsFunc(list, func(h Header) bool { return h.Name == name }):
			return nil, &fault{which + " is set twice", right}
		}
		list = append(list, Header{Name: name, Value: NewSecret(content)})
	}
	return list, nil
}

// isToken reports whether name can be a header's name (RFC 9110, 5.6.2).
func isToken(name string) bool { return name != "" && isAlphanumeric(name, "!#$%&'*+-.^_`|~") }

// parseAttributes sorts by key; the last of two equal keys wins. It returns what
// is good beside a fault, which names the others by their places.
func parseAttributes(text string) ([]metric.Label, *fault) {
	var list []metric.Label
	var malformed, long []string
	number := 0
	for pair := range strings.SplitSeq(text, ",") {
		number++
		if strings.TrimSpace(pair) == "" {
			continue
		}
		rawKey, rawValue, ok := strings.Cut(pair, "=")
		key, keyErr := url.PathUnescape(strings.TrimSpace(rawKey))
		val, valErr := url.PathUnescape(strings.TrimSpace(rawValue))
		switch {
		case !ok || key == "" || keyErr != nil || valErr != nil:
			malformed = append(malformed, strconv.Itoa(number))
			continue
		case len(key) > maxKeyBytes || len(val) > maxLineBytes || len(list) == maxAttributes:
			long = append(long, strconv.Itoa(number))
			continue
		case !utf8Line(key) || !utf8Line(val):
			malformed = append(malformed, strconv.Itoa(number))
			continue
		}
		list = slices.DeleteFunc(list, func(l metric.Label) bool { return l.Key == key })
		list = append(list, metric.L(key, val))
	}
	slices.SortFunc(list, func(a, b metric.Label) int { return cmp.Compare(a.Key, b.Key) })
	switch {
	case malformed != nil:
		return list, &fault{"has a part that is not key=value, at place " + joinFirst(malformed), "use key=value pairs with commas between them, percent-encoding where a value needs it"}
	case long != nil:
		return list, &fault{"has a part that is over the wire format's limits, at place " + joinFirst(long), "use at most 255 bytes a key, 4096 a value, and 200 attributes"}
	}
	return list, nil
}

// joinFirst joins the first few.
func joinFirst(places []string) string {
	const most = 5
	return strings.Join(places[:min(most, len(places))], " and ")
}

func utf8Line(text string) bool {
	_, f := parseLine(text)
	return f == nil
}
