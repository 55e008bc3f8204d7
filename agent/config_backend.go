package agent

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// newRelicEurope is where New Relic keeps the accounts of its region EU, whose
// license keys begin with newRelicEuropeKey.
const (
	newRelicEurope    = "https://otlp.eu01.nr-data.net/v1/metrics"
	newRelicEuropeKey = "eu01xx"
)

// exampleEndpoint shows what an exporter's endpoint looks like.
func exampleEndpoint(exporter string) string {
	switch exporter {
	case "otlp":
		return "http://127.0.0.1:4318/v1/metrics"
	case "datadog":
		return "https://api.datadoghq.com/api/v2/series"
	case "newrelic":
		return "https://otlp.nr-data.net/v1/metrics"
	case "splunk":
		return "https://splunk.example.com:8088"
	case "elasticsearch":
		return "https://elastic.example.com:9200"
	case "clickhouse":
		return "https://clickhouse.example.com:8443"
	case "victoriametrics":
		return "https://victoria.example.com:8428"
	}
	return "https://ingest.example.com/v1/batches"
}

// deriveBackend fills in what the exporter's backend decides: the limit of age
// and the compression. The endpoint waits for the credentials.
func (l *loader) deriveBackend() {
	h := &l.env.Heka
	to, known := encode.Find(h.Exporter.Value)
	l.backend = to
	if !known {
		return
	}
	if !h.BackendMaxAge.isSet() {
		h.BackendMaxAge.Value = to.Limits.MaxAge
	}
	kind := h.Compression.Value
	if kind == "none" || slices.Contains(to.Compressions, kind) {
		return
	}
	h.Compression.Value = "none"
	if len(to.Compressions) > 0 {
		h.Compression.Value = to.Compressions[0]
	}
	if h.Compression.isSet() {
		l.warn("HEKA_COMPRESSION: the exporter %s does not take %s; going on with %s", to.Name, kind, h.Compression.Value)
	}
}

// deriveEndpoint completes the endpoint with what the backend adds to it.
func (l *loader) deriveEndpoint() {
	e := &l.env.Heka.Endpoint
	if !e.isSet() {
		e.Value = l.defaultEndpoint()
	}
	if e.Value != nil {
		e.Value = completeEndpoint(e.Value, l.backend)
	}
}

// defaultEndpoint is nil for a backend without one.
func (l *loader) defaultEndpoint() *url.URL {
	text := l.backend.Endpoint
	if key, _ := l.auth.APIKey.Get(); l.backend.Name == "newrelic" && strings.HasPrefix(key, newRelicEuropeKey) {
		text = newRelicEurope
	}
	if text == "" {
		return nil
	}
	u, _ := parseEndpoint(text)
	return u
}

// completeEndpoint adds the backend's path to an endpoint without one, and its
// parameters unless the endpoint has them. It leaves given as it is.
func completeEndpoint(given *url.URL, to backend.Backend) *url.URL {
	u := *given
	if to.Path != "" && (u.Path == "" || u.Path == "/") {
		u.Path = to.Path
	}
	has, missing := u.Query(), url.Values{}
	for name, text := range to.Query {
		if !has.Has(name) {
			missing.Set(name, text)
		}
	}
	if more := missing.Encode(); more != "" && u.RawQuery != "" {
		u.RawQuery += "&" + more
	} else if more != "" {
		u.RawQuery = more
	}
	return &u
}

// checkKey finds the exporters that no backend takes anything from without a
// credential.
func (l *loader) checkKey() {
	exporter := l.env.Heka.Exporter.Value
	if !slices.Contains([]string{"datadog", "newrelic", "splunk"}, exporter) || l.hasCredentials() {
		return
	}
	l.problem("HEKA_API_KEY", "is not set, and HEKA_EXPORTER is "+exporter, "set it or HEKA_API_KEY_FILE to the "+keyName(exporter))
}

// keyName is what a backend calls its credential.
func keyName(exporter string) string {
	switch exporter {
	case "newrelic":
		return "license key of the New Relic account"
	case "splunk":
		return "token of the HTTP Event Collector"
	default:
		return "API key of the Datadog organization"
	}
}

// keyHeader is the header that the API key goes to, in canonical form.
func (l *loader) keyHeader() string {
	if l.backend.KeyHeader == "" {
		return "X-Api-Key"
	}
	return http.CanonicalHeaderKey(l.backend.KeyHeader)
}
