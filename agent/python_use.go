package agent

import (
	"math"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// same is for a variable that only has another name now.
func same(name string) func(*python, string, string) string {
	return func(p *python, _, text string) string { return p.replaced(name, text) }
}

// without is for a variable that has no effect any more.
func without(advice string) func(*python, string, string) string {
	return func(*python, string, string) string { return "is a variable of the Python agent; " + advice }
}

// attributeOf is for a variable that is a resource attribute.
func attributeOf(key string) func(*python, string, string) string {
	return func(p *python, _, text string) string {
		if !p.addAttribute(key, text) {
			return "is not one line of text; use at most 4096 bytes of printable UTF-8; going on without it"
		}
		return "is a variable of the Python agent; add " + key + "=" + url.PathEscape(text) + " to HEKA_RESOURCE_ATTRIBUTES instead"
	}
}

// seconds is for a variable that held a positive number of them. As in the
// Python agent, what is none means the default.
func seconds(name string) func(*python, string, string) string {
	return func(p *python, _, text string) string {
		v := p.settings[name]
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n > 0) || math.IsInf(n, 0) {
			return "is not a positive number of seconds; set " + name + " instead; going on with " + v.setting.show()
		}
		low, _ := parseDuration(v.tag.Get("min"))
		high, _ := parseDuration(v.tag.Get("max"))
		bounded := min(max(n, low.Seconds()), high.Seconds())
		return p.replaced(name, formatDuration(time.Duration(bounded*float64(time.Second))))
	}
}

// useRetryMax takes no less than the default: the Python agent's 5 s would have a
// fleet ask a backend that is down twelve times as often.
func (p *python) useRetryMax(name, text string) string {
	if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 && n < p.l.env.Heka.Retry.Max.Value.Seconds() {
		return "is a variable of the Python agent; leave it out: with the default of HEKA_RETRY_MAX, " +
			p.l.env.Heka.Retry.Max.show() + ", a fleet spares a backend that is down"
	}
	return seconds("HEKA_RETRY_MAX")(p, name, text)
}

func (p *python) useExporterType(name, _ string) string {
	var kinds []string
	for _, e := range pythonExporters() {
		if e.kind == p.kind {
			h := &p.l.env.Heka
			return "is a variable of the Python agent; set HEKA_EXPORTER=" + e.exporter +
				", HEKA_METRIC_NAMES=" + h.MetricNames.show() + ", HEKA_COMPRESSION=" + h.Compression.show() +
				" and HEKA_COLLECTORS=" + h.Collectors.show() + " instead"
		}
		kinds = append(kinds, e.kind)
	}
	p.l.problem(name, "is not available", "use "+orList(kinds)+", or HEKA_EXPORTER")
	return ""
}

func (p *python) useLogLocation(_, text string) string {
	const instead = "; set HEKA_LOG_FILE instead; going on with stderr"
	if !filepath.IsAbs(text) {
		return "is a relative path" + instead
	}
	if err := isDirectory(filepath.Dir(text)); err != nil && !p.l.env.Heka.Log.File.isSet() {
		return "has no directory to be in (" + err.Error() + ")" + instead
	}
	if err := checkLogName(text); err != nil {
		return err.Error() + instead
	}
	return p.replaced("HEKA_LOG_FILE", text)
}

func (p *python) useEndpoint(name, text string) string {
	taken, f := p.set("HEKA_ENDPOINT", text)
	if f != nil {
		p.l.problem(name, f.wrong, f.right)
		return ""
	}
	if !taken {
		p.l.endpointFrom = name
	}
	return "is a variable of the Python agent; set HEKA_ENDPOINT=" + p.l.env.Heka.Endpoint.show() + " instead"
}

// useSite takes a domain, or the short names of Datadog's sites.
func (p *python) useSite(name, text string) string {
	site := strings.ToLower(text)
	switch site {
	case "us1":
		site = "datadoghq.com"
	case "eu", "eu1":
		site = "datadoghq.eu"
	case "us3", "us5", "ap1", "ap2":
		site += ".datadoghq.com"
	}
	if !strings.Contains(site, ".") || !isAlphanumeric(site, ".-") {
		p.l.problem(name, "is not a site of Datadog", "use one such as datadoghq.com, datadoghq.eu or us3.datadoghq.com")
		return ""
	}
	return p.useEndpoint(name, datadogEndpoint(p.kind, site))
}

func datadogEndpoint(kind, site string) string {
	if kind == "datadog_otlp" {
		return "https://otlp." + site + "/v1/metrics"
	}
	return "https://api." + site + "/api/v2/series"
}

// useKey takes a vendor's key. HEKA_API_KEY was for Heka Insights alone in the
// Python agent, so beside this key it is not sent to the vendor.
func (p *python) useKey(_, text string) string {
	h := &p.l.env.Heka
	if err := checkSecret(text); err != nil {
		return err.Error() + "; set HEKA_API_KEY instead; going on without it"
	}
	also := ""
	if h.APIKey.isSet() {
		h.APIKey = secretVar{}
		also = ", which is not sent to this vendor now"
	}
	if p.kind == "datadog_otlp" {
		p.addHeader("Dd-Api-Key", text)
		if also != "" {
			also = " and leave out HEKA_API_KEY" + also
		}
		return "is a variable of the Python agent; add dd-api-key and its value to HEKA_HEADERS instead" + also
	}
	if h.APIKeyFile.isSet() {
		return "is a variable of the Python agent, and HEKA_API_KEY_FILE is set; leave it out"
	}
	_, _ = p.set("HEKA_API_KEY", text)
	return "is a variable of the Python agent; set HEKA_API_KEY to its value instead" + also
}

// useIntelligence says whether HEKA_API_KEY is sent; the agent id always is.
func (p *python) useIntelligence(name, text string) string {
	h := &p.l.env.Heka
	on, f := parseBoolean(text)
	set := h.APIKey.isSet() || h.APIKeyFile.isSet()
	switch {
	case f != nil:
		return f.wrong + "; leave it out: HEKA_API_KEY is sent if it is set"
	case on && !set:
		p.l.problem("HEKA_API_KEY", "is not set, and "+name+" is true", "set the key, or leave "+name+" out")
		return ""
	case on:
		return "is a variable of the Python agent; leave it out: HEKA_API_KEY and the agent id are sent without it"
	case h.APIKey.isSet():
		h.APIKey = secretVar{}
		return "is a variable of the Python agent; leave it and HEKA_API_KEY out, which is not sent"
	}
	return "is a variable of the Python agent; leave it out"
}

// useHeaders leaves out what the agent sets itself. Of one header twice, the last counts.
func (p *python) useHeaders(_, text string) string {
	var left []string
	faulty := false
	for pair := range strings.SplitSeq(text, ",") {
		name, content, _ := strings.Cut(pair, "=")
		name, content = http.CanonicalHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(content)
		switch {
		case !isToken(name) || content == "" || checkSecret(content) != nil:
			faulty = true
		case name == "X-Agent-Id":
			left = append(left, name)
			_, _ = p.set("HEKA_AGENT_ID", content)
		case slices.Contains(reservedHeaders[:], name):
			left = append(left, name)
		default:
			p.addHeader(name, content)
		}
	}
	advice := "is a variable of the Python agent; set HEKA_HEADERS to its value instead"
	if slices.Contains(left, "X-Agent-Id") {
		advice += ", and HEKA_AGENT_ID"
	}
	if len(left) > 0 {
		advice += ", without " + orList(left) + ", which the agent sets itself"
	}
	if faulty {
		advice += " (a part that is not name=value is left out)"
	}
	return advice
}

func (p *python) useAttributes(_, text string) string { return p.addAttributes(text, "=", "") }

// useTags takes key:value, and a tag without a value for one that is true. With
// datadog_otlp a tag host.name is stronger than DATADOG_HOSTNAME.
func (p *python) useTags(_, text string) string {
	hostname := &p.l.env.Heka.Hostname
	if hostname.isSet() { // which is stronger than what OTLP_RESOURCE_ATTRIBUTES says
		p.attributes = slices.DeleteFunc(p.attributes, func(l metric.Label) bool { return l.Key == "host.name" })
	}
	advice := p.addAttributes(text, ":", "true")
	named := slices.ContainsFunc(p.attributes, func(l metric.Label) bool { return l.Key == "host.name" })
	if named && p.kind == "datadog_otlp" && hostname.source == SourcePython {
		hostname.Value, hostname.source = "", SourceDefault
	}
	return advice
}
