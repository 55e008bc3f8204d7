package agent

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The Python agent of the same name was configured by variables of its own, in
// /etc/heka-insights-agent/.env. They are translated to those of this agent when
// nothing else says where batches go, so that the file works as it is.
const (
	pythonExporter     = "EXPORTER_TYPE"
	pythonInterval     = "CPU_POLL_INTERVAL_SECONDS"
	pythonIntelligence = "HEKA_INTELLIGENCE_ENABLED"
)

// pythonCollectors are what the Python agent read, and the agent's own metrics:
// where each metric costs money, a new version must not send more by itself.
const pythonCollectors = "cpu,memory,paging,disk,agent"

// translation is what a variable of the Python agent means here.
type translation struct {
	// old is its name, and replacement the one that takes its place; "" for none.
	old, replacement string
	// exporters are the values of EXPORTER_TYPE that it counts for, all if empty.
	exporters string
	// adopt takes its text over; nil for what is not taken over, of which why
	// says the reason.
	adopt func(p *python, text string) (ok bool)
	why   string
}

// pythonVariables is every variable that the Python agent read, in the order in
// which they are translated.
func pythonVariables() []translation {
	const otlp = "otlp_http,datadog_otlp,newrelic_otlp"
	const datadog = "datadog_otlp,datadog_native"
	return []translation{
		{pythonExporter, "HEKA_EXPORTER", "", (*python).exporter, ""},
		{pythonInterval, "HEKA_INTERVAL", "", pythonSeconds("HEKA_INTERVAL"), ""},
		{"LOG_LOCATION", "HEKA_LOG_FILE", "", (*python).logFile, ""},
		{"OTLP_HTTP_ENDPOINT", "HEKA_ENDPOINT", "otlp_http", (*python).endpoint, ""},
		{"OTLP_HTTP_HEADERS", "HEKA_HEADERS", otlp, (*python).headers, ""},
		{"OTLP_RESOURCE_ATTRIBUTES", "HEKA_RESOURCE_ATTRIBUTES", otlp, (*python).attributes, ""},
		{"OTLP_HTTP_TIMEOUT_SECONDS", "HEKA_TIMEOUT", "", pythonSeconds("HEKA_TIMEOUT"), ""},
		{"OTLP_HTTP_RETRY_MAX_ATTEMPTS", "HEKA_SPOOL_MAX_AGE", "", nil, "nothing is given up for a number of attempts; what is kept is bounded by age and size"},
		{"OTLP_HTTP_RETRY_INITIAL_BACKOFF_SECONDS", "HEKA_RETRY_INITIAL", "", nil, "the default is made for fleets"},
		{"OTLP_HTTP_RETRY_MAX_BACKOFF_SECONDS", "HEKA_RETRY_MAX", "", nil, "the default is made for fleets"},
		{"OTLP_RETRY_AFTER_DEFAULT_SECONDS", "HEKA_RETRY_MAX", "", nil, "without Retry-After the backoff counts"},
		{"OTLP_RETRY_AFTER_MAX_SECONDS", "HEKA_RETRY_AFTER_MAX", "", pythonSeconds("HEKA_RETRY_AFTER_MAX"), ""},
		{"DATADOG_SITE", "HEKA_ENDPOINT", datadog, (*python).datadogSite, ""},
		{"DATADOG_API_KEY", "HEKA_API_KEY", datadog, (*python).datadogKey, ""},
		{"DATADOG_HOSTNAME", "HEKA_HOSTNAME", datadog, (*python).hostname, ""},
		{"DATADOG_TAGS", "HEKA_RESOURCE_ATTRIBUTES", datadog, (*python).datadogTags, ""},
		{"DATADOG_METRIC_PREFIX", "HEKA_METRIC_PREFIX", "datadog_native", (*python).prefix, ""},
		{"DATADOG_ENABLED", "HEKA_EXPORTER", datadog, nil, "it had no effect"},
		{"NEWRELIC_OTLP_ENDPOINT", "HEKA_ENDPOINT", "newrelic_otlp", (*python).endpoint, ""},
		{"NEWRELIC_API_KEY", "HEKA_API_KEY", "newrelic_otlp", (*python).key, ""},
		{"NEWRELIC_SERVICE_NAME", "HEKA_RESOURCE_ATTRIBUTES", "newrelic_otlp", pythonAttribute("service.name"), ""},
		{"NEWRELIC_ENVIRONMENT", "HEKA_RESOURCE_ATTRIBUTES", "newrelic_otlp", pythonAttribute("deployment.environment"), ""},
		{"NEWRELIC_HOST_NAME", "HEKA_HOSTNAME", "newrelic_otlp", (*python).hostname, ""},
		{pythonIntelligence, "HEKA_API_KEY", "", nil, "the agent id is always sent, and the API key where there is one"},
	}
}

// python translates; what it makes goes to the process environment, like the
// variables of an env file.
type python struct {
	kind string // EXPORTER_TYPE
	made map[string]string
	// list holds the parts of those that are lists.
	list map[string][]string
	text map[string]string // of the old variables
}

// translatePython takes the Python agent's variables over, if they configure this
// one: neither HEKA_EXPORTER nor HEKA_ENDPOINT is set, and one of two is that no
// other program has. from gets the names that it sets.
func (l *loader) translatePython(from map[string]Source) {
	if text := os.Getenv(pythonIntelligence); !isBlank(text) && !l.isPython() {
		l.warn("%s: is a variable of the Python agent, and has no effect", pythonIntelligence)
	}
	if !l.isPython() {
		return
	}
	l.python = true
	p := &python{
		kind: "console",
		made: map[string]string{"HEKA_METRIC_NAMES": "heka", "HEKA_COLLECTORS": pythonCollectors},
		list: make(map[string][]string), text: make(map[string]string),
	}
	for _, t := range pythonVariables() {
		if text := strings.TrimSpace(os.Getenv(t.old)); text != "" {
			p.text[t.old] = text
		}
	}
	if kind := p.text[pythonExporter]; kind != "" {
		p.kind = strings.ToLower(kind)
	}
	for _, t := range pythonVariables() {
		if text, set := p.text[t.old]; set && (t.exporters == "" || slices.Contains(strings.Split(t.exporters, ","), p.kind)) {
			l.translate(p, t, text)
		}
	}
	l.adoptPython(p, from)
}

func (l *loader) isPython() bool {
	set := func(name string) bool { return !isBlank(os.Getenv(name)) }
	return !set("HEKA_EXPORTER") && !set("HEKA_ENDPOINT") && (set(pythonExporter) || set(pythonInterval))
}

// translate takes one variable over, and says by what to replace it. A secret's
// text is never said.
func (l *loader) translate(p *python, t translation, text string) {
	switch {
	case t.adopt == nil:
		l.warn("%s: a variable of the Python agent, not taken over: %s; see %s", t.old, t.why, t.replacement)
	case t.old == pythonExporter && p.backend() == "":
		l.problem(pythonExporter, quoted(text)+" is not available", "use console, otlp_http, datadog_otlp, datadog_native or newrelic_otlp, or better HEKA_EXPORTER")
	case !t.adopt(p, text):
		l.warn("%s: a variable of the Python agent, not taken over: it cannot be read; set %s", t.old, t.replacement)
	case t.replacement == "HEKA_API_KEY" || t.replacement == "HEKA_HEADERS" || t.replacement == "HEKA_ENDPOINT" || p.made[t.replacement] == "":
		l.warn("%s: a variable of the Python agent; set %s in its place", t.old, t.replacement)
	default:
		l.warn("%s: a variable of the Python agent; set %s=%s in its place", t.old, t.replacement, dotenvQuote(p.made[t.replacement]))
	}
}

// adoptPython puts what was made into the environment, where it has no value yet.
// The backend's key replaces HEKA_API_KEY, which the Python agent sent to none of
// these backends.
func (l *loader) adoptPython(p *python, from map[string]Source) {
	for name, parts := range p.list {
		p.made[name] = strings.Join(parts, ",")
	}
	if u, err := url.Parse(p.made["HEKA_ENDPOINT"]); err == nil && u.Scheme == "http" {
		p.made["HEKA_ALLOW_PLAINTEXT"] = "true"
	}
	for name, text := range p.made {
		key := name == "HEKA_API_KEY" || name == "HEKA_API_KEY_FILE"
		if (isBlank(os.Getenv(name)) || key) && !isBlank(text) && os.Setenv(name, text) == nil {
			from[name] = SourcePython
		}
	}
}

// backend is the exporter of an EXPORTER_TYPE, "" for none.
func (p *python) backend() string {
	switch p.kind {
	case "console":
		return "console"
	case "otlp_http", "datadog_otlp":
		return "otlp"
	case "datadog_native":
		return "datadog"
	case "newrelic_otlp":
		return "newrelic"
	}
	return ""
}

func (p *python) exporter(string) bool {
	p.made["HEKA_EXPORTER"] = p.backend()
	return true
}

// pythonSeconds takes a positive number of seconds; as in the Python agent another text
// means the default.
func pythonSeconds(name string) func(p *python, text string) bool {
	return func(p *python, text string) bool {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || !(seconds > 0 && seconds < 1e9) {
			return false
		}
		p.made[name] = strconv.FormatFloat(seconds, 'f', -1, 64) + "s"
		return true
	}
}

// logFile makes the name absolute: the Python agent took it from its folder.
func (p *python) logFile(text string) bool {
	name, err := filepath.Abs(text)
	p.made["HEKA_LOG_FILE"] = name
	return err == nil
}

func (p *python) endpoint(text string) bool {
	p.made["HEKA_ENDPOINT"] = text
	return true
}

func (p *python) hostname(text string) bool {
	p.made["HEKA_HOSTNAME"] = text
	return true
}

func (p *python) key(text string) bool {
	p.made["HEKA_API_KEY"] = text
	return true
}

// headers leaves out what the agent sets itself.
func (p *python) headers(text string) bool {
	for pair := range strings.SplitSeq(text, ",") {
		if list, f := parseHeaders(pair); f == nil && len(list) == 1 {
			p.list["HEKA_HEADERS"] = append(p.list["HEKA_HEADERS"], strings.TrimSpace(pair))
		}
	}
	return true
}

// attributes are plain there, and percent-encoded here.
func (p *python) attributes(text string) bool {
	for pair := range strings.SplitSeq(text, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok && !isBlank(key) && !isBlank(value) {
			p.attribute(key, value)
		}
	}
	return true
}

func (p *python) attribute(key, value string) {
	pair := escapeAttribute(key) + "=" + escapeAttribute(value)
	p.list["HEKA_RESOURCE_ATTRIBUTES"] = append(p.list["HEKA_RESOURCE_ATTRIBUTES"], pair)
	p.made["HEKA_RESOURCE_ATTRIBUTES"] = strings.Join(p.list["HEKA_RESOURCE_ATTRIBUTES"], ",")
}

func escapeAttribute(text string) string {
	return strings.NewReplacer("%", "%25", ",", "%2C", "=", "%3D").Replace(strings.TrimSpace(text))
}

func pythonAttribute(key string) func(p *python, text string) bool {
	return func(p *python, text string) bool {
		p.attribute(key, text)
		return true
	}
}

// datadogSite takes a site's domain, or its short name.
func (p *python) datadogSite(text string) bool {
	domain := strings.ToLower(text)
	switch domain {
	case "us1":
		domain = "datadoghq.com"
	case "us3", "us5", "ap1", "ap2":
		domain += ".datadoghq.com"
	case "eu", "eu1":
		domain = "datadoghq.eu"
	case "gov", "us1-fed":
		domain = "ddog-gov.com"
	}
	if p.kind == "datadog_otlp" {
		return p.endpoint(fmt.Sprintf("https://otlp.%s/v1/metrics", domain))
	}
	return p.endpoint(fmt.Sprintf("https://api.%s/api/v2/series", domain))
}

// datadogKey is a header of its own where Datadog is an OTLP endpoint.
func (p *python) datadogKey(text string) bool {
	if p.kind == "datadog_otlp" {
		p.list["HEKA_HEADERS"] = append(p.list["HEKA_HEADERS"], "Dd-Api-Key="+text)
		return true
	}
	return p.key(text)
}

// datadogTags are key:value, or a key alone.
func (p *python) datadogTags(text string) bool {
	for tag := range strings.SplitSeq(text, ",") {
		if isBlank(tag) {
			continue
		}
		key, value, ok := strings.Cut(tag, ":")
		if !ok {
			value = "true"
		}
		p.attribute(key, value)
	}
	return true
}

func (p *python) prefix(text string) bool {
	p.made["HEKA_METRIC_PREFIX"] = strings.Trim(text, ".")
	return p.made["HEKA_METRIC_PREFIX"] != ""
}
