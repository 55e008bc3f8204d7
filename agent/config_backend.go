package agent

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// deriveExporter chooses the exporter where nobody did, and reads OpenTelemetry's
// variables for the exporter otlp.
func (l *loader) deriveExporter() {
	h, otel := &l.env.Heka, &l.env.Otel.Exporter.OTLP
	endpoint := otel.Metrics.Endpoint.Value
	if endpoint == nil && otel.Endpoint.Value != nil {
		endpoint = otel.Endpoint.Value.JoinPath("v1/metrics")
	}
	switch {
	case h.Exporter.Value != "":
	case h.Endpoint.isSet():
		h.Exporter.Value = "heka"
	case endpoint != nil:
		h.Exporter.Value = "otlp"
	default:
		h.Exporter.Value = "console"
	}
	if h.Exporter.Value != "otlp" {
		return
	}
	if !h.Endpoint.isSet() {
		h.Endpoint.Value = endpoint
	}
	if !h.Headers.isSet() {
		h.Headers.Value = otel.Headers.Value
		if otel.Metrics.Headers.isSet() {
			h.Headers.Value = otel.Metrics.Headers.Value
		}
	}
}

// checkBackend completes the endpoint with what the backend says of itself, and
// looks for what it cannot do without.
func (l *loader) checkBackend() {
	h := &l.env.Heka
	to, ok := encode.Find(h.Exporter.Value)
	if !ok {
		return
	}
	switch {
	case h.Endpoint.Value != nil:
		h.Endpoint.Value = completed(h.Endpoint.Value, to)
	case to.Endpoint != "" && !h.Endpoint.isSet():
		h.Endpoint.Value, _ = url.Parse(l.defaultEndpoint(to))
	case !h.Endpoint.isSet():
		l.problem("HEKA_ENDPOINT", "is not set, and HEKA_EXPORTER is "+to.Name, "set the absolute URL that batches are POSTed to, or HEKA_EXPORTER=console")
	}
	if needsKey(to) && !l.hasCredentials() {
		l.problem("HEKA_API_KEY", "is not set, and HEKA_EXPORTER is "+to.Name, "set the key or token that the backend gave you, or HEKA_API_KEY_FILE")
	}
	if kind := h.Compression.Value; h.Compression.isSet() && kind != "none" && !slices.Contains(to.Compressions, kind) {
		l.warn("HEKA_COMPRESSION: %s does not take %s; going on with %s", to.Name, kind, to.Compressions[0])
		h.Compression.Value = to.Compressions[0]
	}
}

// needsKey tells of the backends that nobody runs without authentication.
func needsKey(to backend.Backend) bool {
	return to.Endpoint != "" || to.Name == "splunk"
}

// completed adds the backend's path to an endpoint that has none, and its query
// parameters, unless they are there.
func completed(endpoint *url.URL, to backend.Backend) *url.URL {
	u := *endpoint
	if strings.Trim(u.Path, "/") == "" && to.Path != "" {
		u.Path = to.Path
	}
	if len(to.Query) > 0 {
		query := u.Query()
		for name, text := range to.Query {
			if !query.Has(name) {
				query.Set(name, text)
			}
		}
		u.RawQuery = query.Encode()
	}
	return &u
}

// defaultEndpoint is the backend's own, for the region of the key: a key of New
// Relic's begins with its region, if that is not the first one.
func (l *loader) defaultEndpoint(to backend.Backend) string {
	if key, err := l.auth.APIKey.Get(); err == nil && to.Name == "newrelic" && strings.HasPrefix(key, "eu01") {
		return strings.Replace(to.Endpoint, "otlp.", "otlp.eu01.", 1)
	}
	return to.Endpoint
}

// hasKeyHeader reports whether HEKA_HEADERS sets what an API key would set, where
// no other rule speaks of that header.
func (l *loader) hasKeyHeader() bool {
	to, ok := encode.Find(l.env.Heka.Exporter.Value)
	return ok && to.KeyHeader != "Authorization" && to.KeyHeader != "X-Api-Key" && l.hasHeader(to.KeyHeader)
}

func (l *loader) maxAge() time.Duration {
	if age := &l.env.Heka.BackendMaxAge; age.isSet() {
		return age.Value
	}
	return BackendMaxAge
}
