package agent

import (
	"cmp"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// A pythonVariable is a variable of the Python agent that came before this one.
type pythonVariable struct {
	name string
	// types are the values of EXPORTER_TYPE with which it counts; nil for all.
	types []string
	// use puts the text to use and says what to set instead, or why it has no
	// effect. It ends the line "NAME: is a variable of the Python agent; …".
	use func(p *python, name, text string) (advice string)
	// instead is the variable that replaces it, for the documentation.
	instead string
}

// pythonVariables is the table of what the Python agent read, in the order in
// which it is put to use: of two that say the same, the later one wins, as there.
func pythonVariables() []pythonVariable {
	otlp := []string{"otlp_http", "datadog_otlp", "newrelic_otlp"}
	sent := append([]string{"datadog_native"}, otlp...)
	datadog := []string{"datadog_otlp", "datadog_native"}
	newRelic := []string{"newrelic_otlp"}
	return []pythonVariable{
		{"EXPORTER_TYPE", nil, (*python).useExporterType, "HEKA_EXPORTER"},
		{"LOG_LOCATION", nil, (*python).useLogLocation, "HEKA_LOG_FILE"},
		{"CPU_POLL_INTERVAL_SECONDS", nil, seconds("HEKA_INTERVAL"), "HEKA_INTERVAL"},
		{"PROCESS_POLL_INTERVAL_SECONDS", nil, without("leave it out: the collector process has the interval of the others, and is on if HEKA_COLLECTORS names it"), ""},
		{"HEKA_INTELLIGENCE_ENABLED", []string{"otlp_http"}, (*python).useIntelligence, "HEKA_API_KEY"},
		{"OTLP_HTTP_ENDPOINT", []string{"otlp_http"}, (*python).useEndpoint, "HEKA_ENDPOINT"},
		{"OTLP_HTTP_HEADERS", otlp, (*python).useHeaders, "HEKA_HEADERS"},
		{"OTLP_RESOURCE_ATTRIBUTES", otlp, (*python).useAttributes, "HEKA_RESOURCE_ATTRIBUTES"},
		{"OTLP_HTTP_TIMEOUT_SECONDS", sent, seconds("HEKA_TIMEOUT"), "HEKA_TIMEOUT"},
		{"OTLP_HTTP_RETRY_MAX_ATTEMPTS", sent, without("leave it out: a batch is sent until it is delivered, and kept on disk meanwhile"), ""},
		{"OTLP_HTTP_RETRY_INITIAL_BACKOFF_SECONDS", sent, seconds("HEKA_RETRY_INITIAL"), "HEKA_RETRY_INITIAL"},
		{"OTLP_HTTP_RETRY_MAX_BACKOFF_SECONDS", sent, (*python).useRetryMax, "HEKA_RETRY_MAX"},
		{"OTLP_RETRY_AFTER_DEFAULT_SECONDS", sent, without("leave it out: without a Retry-After the backoff counts"), ""},
		{"OTLP_RETRY_AFTER_MAX_SECONDS", sent, seconds("HEKA_RETRY_AFTER_MAX"), "HEKA_RETRY_AFTER_MAX"},
		{"DATADOG_ENABLED", nil, without("leave it out: it never had an effect"), ""},
		{"DATADOG_SITE", datadog, (*python).useSite, "HEKA_ENDPOINT"},
		{"DATADOG_API_KEY", datadog, (*python).useKey, "HEKA_API_KEY"},
		{"DATADOG_HOSTNAME", datadog, same("HEKA_HOSTNAME"), "HEKA_HOSTNAME"},
		{"DATADOG_TAGS", datadog, (*python).useTags, "HEKA_RESOURCE_ATTRIBUTES"},
		{"DATADOG_METRIC_PREFIX", []string{"datadog_native"}, same("HEKA_METRIC_PREFIX"), "HEKA_METRIC_PREFIX"},
		{"NEWRELIC_OTLP_ENDPOINT", newRelic, (*python).useEndpoint, "HEKA_ENDPOINT"},
		{"NEWRELIC_API_KEY", newRelic, (*python).useKey, "HEKA_API_KEY"},
		{"NEWRELIC_SERVICE_NAME", newRelic, attributeOf("service.name"), "HEKA_RESOURCE_ATTRIBUTES"},
		{"NEWRELIC_ENVIRONMENT", newRelic, attributeOf("deployment.environment"), "HEKA_RESOURCE_ATTRIBUTES"},
		{"NEWRELIC_HOST_NAME", newRelic, same("HEKA_HOSTNAME"), "HEKA_HOSTNAME"},
	}
}

// PythonVariables returns the names of the Python agent's variables and what
// replaces each, "" where nothing does: docs/migration.md.
func PythonVariables() map[string]string {
	names := make(map[string]string)
	for _, v := range pythonVariables() {
		names[v.name] = v.instead
	}
	return names
}

// intelligence is the one that has this agent's prefix too.
const intelligence = "HEKA_INTELLIGENCE_ENABLED"

// pythonExporters is what became of each value of EXPORTER_TYPE.
func pythonExporters() []struct{ kind, exporter string } {
	return []struct{ kind, exporter string }{
		{"console", "console"},
		{"otlp_http", "otlp"},
		{"datadog_otlp", "otlp"},
		{"datadog_native", "datadog"},
		{"newrelic_otlp", "newrelic"},
	}
}

// python puts the variables of the Python agent to use.
type python struct {
	l        *loader
	settings map[string]variable
	// kind is EXPORTER_TYPE, and exporter what became of it; "" if nothing did.
	kind, exporter string

	headers    []Header
	attributes []metric.Label
}

// usePython reads the Python agent's variables if they are what configures this
// agent: unprefixed names may belong to something else, so none of them counts
// where HEKA_EXPORTER or HEKA_ENDPOINT is set. This agent's own names win. There
// is one warning a variable.
func (l *loader) usePython(list []variable) {
	h := &l.env.Heka
	l.python = !h.Exporter.isSet() && !h.Endpoint.isSet() && (old("EXPORTER_TYPE") != "" || old("CPU_POLL_INTERVAL_SECONDS") != "")
	if !l.python {
		if old(intelligence) != "" {
			l.warn("%s: is a variable of the Python agent, and has no effect; leave it out", intelligence)
		}
		return
	}
	p := &python{l: l, settings: make(map[string]variable, len(list)), kind: cmp.Or(strings.ToLower(old("EXPORTER_TYPE")), "console")}
	for _, v := range list {
		p.settings[v.name] = v
	}
	p.useDefaults()
	for _, v := range pythonVariables() {
		text := old(v.name)
		switch {
		case text == "":
		case p.exporter == "" && v.name != "EXPORTER_TYPE": // that one is the problem
		case v.types != nil && !slices.Contains(v.types, p.kind):
			l.warn("%s: is a variable of the Python agent, and has no effect with EXPORTER_TYPE=%s; leave it out", v.name, p.kind)
		default:
			if advice := v.use(p, v.name, text); advice != "" {
				l.warn("%s: %s", v.name, advice)
			}
		}
	}
	p.finish()
}

// old returns a variable as the Python agent did: without the space around it.
func old(name string) string { return strings.TrimSpace(os.Getenv(name)) }

// useDefaults sets what follows from EXPORTER_TYPE, set or not.
func (p *python) useDefaults() {
	for _, e := range pythonExporters() {
		if e.kind == p.kind {
			p.exporter = e.exporter
			_, _ = p.set("HEKA_EXPORTER", e.exporter)
		}
	}
	_, _ = p.set("HEKA_METRIC_NAMES", "heka")
	if taken, _ := p.set("HEKA_COLLECTORS", "cpu,memory,paging,disk"); !taken {
		p.l.warn("HEKA_COLLECTORS: is not set, so only the eleven metrics of the Python agent are sent; set it to %s for all that this agent has",
			p.settings["HEKA_COLLECTORS"].tag.Get("default"))
	}
	_, _ = p.set("HEKA_COMPRESSION", "none") // what it sent to may read nothing else
	if p.kind == "datadog_otlp" && old("DATADOG_SITE") == "" {
		_, _ = p.set("HEKA_ENDPOINT", datadogEndpoint(p.kind, "datadoghq.com"))
	}
	h := &p.l.env.Heka
	if f := p.settings["HEKA_AGENT_ID"].setting.resolve(p.settings["HEKA_AGENT_ID"].tag); f != nil {
		p.l.problems = slices.DeleteFunc(p.l.problems, func(b Problem) bool { return b.Variable == "HEKA_AGENT_ID" })
		h.AgentID.source = SourceDefault
		p.l.warn("HEKA_AGENT_ID: %s; %s; going on without it", f.wrong, f.right)
	}
}

// set gives a variable of this agent a text, unless it is set. taken says that
// it was; a fault leaves it as it was.
func (p *python) set(name, text string) (taken bool, f *fault) {
	v := p.settings[name]
	if *v.setting.origin() != SourceDefault {
		return true, nil
	}
	_ = v.setting.Decode(text)
	if f = v.setting.resolve(v.tag); f != nil {
		_ = v.setting.Decode("")
		return false, f
	}
	*v.setting.origin() = SourcePython
	return false, nil
}

// replaced is set with the advice that follows from it.
func (p *python) replaced(name, text string) string {
	taken, f := p.set(name, text)
	shown := p.settings[name].setting.show()
	switch {
	case taken:
		return "is a variable of the Python agent, and " + name + " is set; leave it out"
	case f != nil:
		return f.wrong + "; " + f.right + ", in " + name + "; going on with " + orNothing(shown)
	}
	return "is a variable of the Python agent; set " + name + "=" + shown + " instead"
}

// finish joins the headers and attributes with this agent's own, which win.
func (p *python) finish() {
	h := &p.l.env.Heka
	own := h.Headers.Value
	isKey := func(header Header) bool { return header.Name == "Dd-Api-Key" }
	if p.kind == "datadog_otlp" && !h.HeadersFile.isSet() && !slices.ContainsFunc(slices.Concat(own, p.headers), isKey) {
		p.l.problem("DATADOG_API_KEY", "is not set, and EXPORTER_TYPE is datadog_otlp", "set it to the API key of Datadog")
	}
	for _, header := range p.headers {
		double := header.Name == "X-Api-Key" && h.APIKey.isSet() || header.Name == "Api-Key" && p.kind == "newrelic_otlp"
		if !double && !slices.ContainsFunc(own, func(o Header) bool { return o.Name == header.Name }) {
			h.Headers.Value = append(h.Headers.Value, header)
			h.Headers.source = cmp.Or(h.Headers.source, SourcePython)
		}
	}
	for _, label := range p.attributes {
		taken := slices.ContainsFunc(h.ResourceAttributes.Value, func(l metric.Label) bool { return l.Key == label.Key })
		if !taken && (label.Key != "host.name" || !h.Hostname.isSet()) {
			h.ResourceAttributes.Value = append(h.ResourceAttributes.Value, label)
			h.ResourceAttributes.source = cmp.Or(h.ResourceAttributes.source, SourcePython)
		}
	}
	slices.SortFunc(h.ResourceAttributes.Value, func(a, b metric.Label) int { return cmp.Compare(a.Key, b.Key) })
	// The Python agent raised what was too low.
	if h.Retry.Max.source != SourceEnvironment && h.Retry.Max.source != SourceEnvFile {
		h.Retry.Max.Value = max(h.Retry.Max.Value, h.Retry.Initial.Value)
	}
}

// addAttribute replaces one of the same key.
func (p *python) addAttribute(key, text string) bool {
	if key == "" || text == "" || !utf8Line(key) || !utf8Line(text) {
		return false
	}
	p.attributes = slices.DeleteFunc(p.attributes, func(l metric.Label) bool { return l.Key == key })
	p.attributes = append(p.attributes, metric.L(key, text))
	return true
}

func (p *python) addHeader(name, text string) {
	p.headers = slices.DeleteFunc(p.headers, func(h Header) bool { return h.Name == name })
	p.headers = append(p.headers, Header{Name: name, Value: NewSecret(text)})
}

// addAttributes adds pairs and returns the advice.
func (p *python) addAttributes(text, separator string, alone string) string {
	var added []string
	dropped := false
	for pair := range strings.SplitSeq(text, ",") {
		key, val, ok := strings.Cut(pair, separator)
		if !ok {
			val = alone
		}
		key, val = strings.TrimSpace(key), strings.TrimSpace(val)
		if p.addAttribute(key, val) {
			added = append(added, url.PathEscape(key)+"="+url.PathEscape(val))
		} else {
			dropped = true
		}
	}
	advice := "is a variable of the Python agent; leave it out"
	if len(added) > 0 {
		advice = "is a variable of the Python agent; add " + strings.Join(added, ",") + " to HEKA_RESOURCE_ATTRIBUTES instead"
	}
	if dropped {
		advice += " (a part that is not key" + separator + "value is left out)"
	}
	return advice
}
