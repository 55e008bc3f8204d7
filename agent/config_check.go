package agent

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// check looks at what no variable can know by itself.
func (l *loader) check() {
	l.checkCredentials()
	l.deriveEndpoint()
	l.checkKey()
	l.checkEndpoint()
	l.checkProxies()
	l.checkTLS()
	l.checkOrder()
	l.checkPlaces()
}

// checkCredentials reads each secret once, so that an unreadable file is found
// now and not at the first delivery.
func (l *loader) checkCredentials() {
	h := &l.env.Heka
	l.readHeadersFile()
	l.auth = AuthConfig{
		APIKey:      l.credential("HEKA_API_KEY", &h.APIKey, &h.APIKeyFile),
		BearerToken: l.credential("HEKA_BEARER_TOKEN", &h.BearerToken, &h.BearerTokenFile),
		Username:    l.credential("HEKA_USERNAME", &h.Username, &h.UsernameFile),
		Password:    l.credential("HEKA_PASSWORD", &h.Password, &h.PasswordFile),
	}
	a := l.auth
	if a.Username.IsSet() != a.Password.IsSet() {
		set, missing := "HEKA_USERNAME", "HEKA_PASSWORD"
		if a.Password.IsSet() {
			set, missing = missing, set
		}
		l.problem(set, "is set without "+missing, "set "+missing+" or "+missing+"_FILE too")
	}
	if name, err := a.Username.Get(); err == nil && strings.Contains(name, ":") {
		l.problem("HEKA_USERNAME", "holds a colon, which HTTP basic authentication cannot send", "use the name alone, and HEKA_PASSWORD for the rest")
	}
	if !l.python {
		l.checkKinds() // the Python agent sent them all
	}
}

// checkKinds finds credentials that exclude each other.
func (l *loader) checkKinds() {
	a := l.auth
	var kinds []string
	for _, kind := range []struct {
		name string
		set  bool
	}{
		{"HEKA_API_KEY", a.APIKey.IsSet()},
		{"HEKA_BEARER_TOKEN", a.BearerToken.IsSet()},
		{"HEKA_USERNAME", a.Username.IsSet() || a.Password.IsSet()},
	} {
		if kind.set {
			kinds = append(kinds, kind.name)
		}
	}
	headers := []string{"Authorization", "X-Api-Key", l.keyHeader()}
	slices.Sort(headers)
	for _, name := range slices.Compact(headers) {
		if from := l.headerFrom(name); from != "" {
			kinds = append(kinds, article(name)+" header in "+from)
		}
	}
	if len(kinds) > 1 && strings.HasPrefix(kinds[0], envPrefix) {
		l.problem(kinds[0], "is set together with "+strings.Join(kinds[1:], " and "), "use one kind of credential")
	}
}

// article puts "a" or "an" before a header's name.
func article(name string) string {
	if strings.ContainsRune("AEIOX", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

func (l *loader) checkEndpoint() {
	h := &l.env.Heka
	u := h.Endpoint.Value
	if u == nil {
		if h.Exporter.Value != "" && h.Exporter.Value != "console" && !h.Endpoint.isSet() {
			l.problem("HEKA_ENDPOINT", "is not set, and HEKA_EXPORTER is "+h.Exporter.Value,
				"set the absolute URL that batches are POSTed to, such as "+exampleEndpoint(h.Exporter.Value)+", or HEKA_EXPORTER=console")
		}
		return
	}
	if h.TLS.InsecureSkipVerify.Value {
		l.warn("HEKA_TLS_INSECURE_SKIP_VERIFY: the server's certificate is NOT verified; anyone on the way can read and forge what is sent")
	}
	if u.Scheme != "http" || isLoopback(u.Hostname()) {
		return
	}
	switch {
	case queryHoldsSecret(u):
		l.problem(l.endpointFrom, "is http:// with a key in its query, which would be sent in the clear", "use https://")
	case l.hasCredentials() || l.headersFile.IsSet():
		l.problem(l.endpointFrom, "is http://, which would send credentials in the clear", "use https://")
	case l.python:
		l.warn("%s: is http://, so batches are sent in the clear, as the Python agent did; use https://", l.endpointFrom)
	case !h.AllowPlaintext.Value:
		l.problem(l.endpointFrom, "is http:// to a host that is not loopback", "use https://, or set HEKA_ALLOW_PLAINTEXT=true")
	default:
		l.warn("HEKA_ALLOW_PLAINTEXT: batches are sent in the clear")
	}
}

func isLoopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}

// checkOrder compares variables that bound each other.
func (l *loader) checkOrder() {
	h := &l.env.Heka
	if h.Batch.Interval.Value < h.Interval.Value {
		l.warn("HEKA_BATCH_INTERVAL: %s is less than HEKA_INTERVAL (%s), so that every tick is a batch of its own", h.Batch.Interval.show(), h.Interval.show())
		h.Batch.Interval.Value = h.Interval.Value
	}
	pairs := []struct {
		wrong                   bool
		name, shown, than, what string
	}{
		{h.Retry.Max.Value < h.Retry.Initial.Value, "HEKA_RETRY_MAX", h.Retry.Max.show(), "HEKA_RETRY_INITIAL", h.Retry.Initial.show()},
		{h.Queue.MaxBytes.Value < h.Batch.MaxBytes.Value, "HEKA_QUEUE_MAX_BYTES", h.Queue.MaxBytes.show(), "HEKA_BATCH_MAX_BYTES", h.Batch.MaxBytes.show()},
	}
	for _, p := range pairs {
		if p.wrong {
			l.problem(p.name, p.shown+" is less than "+p.than+" ("+p.what+")", "raise it, or lower "+p.than)
		}
	}
	// An eighth is kept for dead letters and quarantine, and a record has a header.
	if most := h.Spool.MaxBytes.Value/8*7 - 1024; most < h.Batch.MaxBytes.Value {
		l.problem("HEKA_SPOOL_MAX_BYTES", h.Spool.MaxBytes.show()+" is too little for one batch of HEKA_BATCH_MAX_BYTES ("+h.Batch.MaxBytes.show()+")",
			"raise it to 8/7 of that and 1KiB, or lower HEKA_BATCH_MAX_BYTES")
	}
}

// checkPlaces looks at directories that must exist before the agent starts. The
// spool's is not among them: without it the agent runs in memory.
func (l *loader) checkPlaces() {
	host := &l.env.Host
	for _, p := range []struct{ name, dir string }{
		{"HOST_PROC", host.Proc.Value},
		{"HOST_SYS", host.Sys.Value},
		{"HOST_ETC", host.Etc.Value},
		{"HOST_ROOT", host.Root.Value},
		{"HOST_RUN", host.Run.Value},
		{"HOST_DEV", host.Dev.Value},
	} {
		if p.dir == "" {
			continue
		}
		if err := isDirectory(p.dir); err != nil {
			l.problem(p.name, "cannot be used ("+err.Error()+")", "name the directory where the host's is mounted")
		}
	}
	if h := &l.env.Heka; slices.Contains(h.Collectors.Value, "textfile") && h.Textfile.Dir.Value == "" {
		l.problem("HEKA_COLLECTORS", "names textfile without HEKA_TEXTFILE_DIR", "set HEKA_TEXTFILE_DIR to the directory of the *.prom files")
	}
	name := l.env.Heka.Log.File.Value
	if name == "" {
		return
	}
	if err := isDirectory(filepath.Dir(name)); err != nil {
		l.problem("HEKA_LOG_FILE", "has no directory to be in ("+err.Error()+")", "create it, or name a file elsewhere")
	} else if err := checkLogName(name); err != nil {
		l.problem("HEKA_LOG_FILE", err.Error(), "name a file")
	}
}
