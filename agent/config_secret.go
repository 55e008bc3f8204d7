package agent

import (
	"net/url"
	"slices"
	"strings"
)

// credential joins a secret and its twin. It returns nil if neither is set.
func (l *loader) credential(name string, text *secretVar, file *pathVar) *SecretSource {
	switch {
	case text.isSet() && file.isSet():
		l.problem(name, "is set together with "+name+"_FILE", "set one of the two")
	case file.isSet():
		source, _ := l.secretFile(name+"_FILE", file, "the bare value")
		return source
	}
	if !text.isSet() {
		return nil
	}
	return NewSecretValue(text.Value)
}

// secretFile reads a file once, so that one of no use is found now and not at the
// first delivery.
func (l *loader) secretFile(name string, file *pathVar, holds string) (source *SecretSource, content string) {
	source = NewSecretFile(file.Value)
	if file.Value == "" {
		return source, "" // its text was faulty, which is a problem already
	}
	content, err := source.Get()
	if err != nil {
		l.problem(name, "cannot be used ("+err.Error()+")", "name a readable file that holds "+holds+" on one line")
	}
	return source, content
}

// readHeadersFile is credential for HEKA_HEADERS. Headers that follow from another
// agent's variables may stand beside the file.
func (l *loader) readHeadersFile() {
	h := &l.env.Heka
	if !h.HeadersFile.isSet() {
		return
	}
	if h.Headers.source == SourceEnvironment || h.Headers.source == SourceEnvFile {
		l.problem("HEKA_HEADERS", "is set together with HEKA_HEADERS_FILE", "set one of the two")
	}
	source, content := l.secretFile("HEKA_HEADERS_FILE", &h.HeadersFile, "name=value pairs with commas between them")
	list, f := parseHeaders(content)
	l.fault("HEKA_HEADERS_FILE", f)
	l.headersFile, l.fileHeaders = source, list
}

// headerFrom returns the variable that sets a header, "" if none does.
func (l *loader) headerFrom(name string) string {
	sets := func(list []Header) bool {
		return slices.ContainsFunc(list, func(h Header) bool { return h.Name == name })
	}
	switch {
	case sets(l.fileHeaders):
		return "HEKA_HEADERS_FILE"
	case sets(l.env.Heka.Headers.Value):
		return "HEKA_HEADERS"
	}
	return ""
}

// hasCredentials also counts a header whose name speaks of one.
func (l *loader) hasCredentials() bool {
	a := l.auth
	if a.APIKey.IsSet() || a.BearerToken.IsSet() || a.Username.IsSet() || a.Password.IsSet() {
		return true
	}
	secret := func(h Header) bool { return namesSecret(h.Name) }
	return slices.ContainsFunc(l.env.Heka.Headers.Value, secret) || slices.ContainsFunc(l.fileHeaders, secret)
}

// namesSecret reports whether what has such a name is a credential, as far as
// a name can say.
func namesSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "key", "token", "secret", "cookie", "password", "passwd", "credential", "signature"}, func(word string) bool {
		return strings.Contains(name, word)
	}) || slices.Contains([]string{"p", "pass", "pwd", "sig", "code"}, name)
}

// queryHoldsSecret reports whether a parameter of u, or what stands in the place
// of one, is a credential by its name.
func queryHoldsSecret(u *url.URL) bool {
	for pair := range strings.FieldsFuncSeq(u.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		name, content, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if content != "" && namesSecret(name) {
			return true
		}
	}
	return false
}
