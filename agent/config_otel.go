package agent

import (
	"cmp"
	"strings"
	"time"
)

// useOtel lets OpenTelemetry's variables stand in for this agent's own, as
// sidecars are configured: where neither HEKA_ENDPOINT nor another exporter is
// set, and never beside HEKA_ENDPOINT, since the headers may hold a credential
// for another server.
func (l *loader) useOtel() {
	h, otel := &l.env.Heka, &l.env.Otel.Exporter
	from := cmp.Or(setName("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", otel.OTLPMetrics.Endpoint.Value != nil),
		setName("OTEL_EXPORTER_OTLP_ENDPOINT", otel.OTLP.Endpoint.Value != nil))
	switch {
	case l.python || h.Endpoint.isSet():
		return
	case from == "":
		l.checkOtelEndpoint()
		return
	case !h.Exporter.isSet():
		h.Exporter.Value, h.Exporter.source = "otlp", SourceOtel
	case h.Exporter.Value != "otlp":
		return
	}
	l.endpointFrom = from
	to := otel.OTLPMetrics.Endpoint.Value
	if to == nil {
		base := *otel.OTLP.Endpoint.Value
		base.Path, base.RawPath = strings.TrimRight(base.Path, "/")+"/v1/metrics", ""
		to = &base
	}
	h.Endpoint.Value, h.Endpoint.source = to, SourceOtel
	if cmp.Or(otel.OTLPMetrics.Protocol.Value, otel.OTLP.Protocol.Value) == "grpc" || to.Port() == "4317" {
		l.warn("%s: is for OTLP over gRPC, by its port or OTEL_EXPORTER_OTLP_PROTOCOL; the agent speaks OTLP over HTTP, for which the port is 4318 as a rule", from)
	}
	for _, v := range []*otlpVariables{&otel.OTLPMetrics, &otel.OTLP} {
		standIn(&h.Headers.textVar, v.Headers.Value, v.Headers.isSet() && !h.HeadersFile.isSet())
		standIn(&h.Timeout.textVar, time.Duration(v.Timeout.Value)*time.Millisecond, v.Timeout.isSet())
		standIn(&h.Compression.textVar, v.Compression.Value, v.Compression.isSet())
		standIn(&h.TLS.CAFile.textVar, v.Certificate.Value, v.Certificate.isSet())
		standIn(&h.TLS.CertFile.textVar, v.ClientCertificate.Value, v.ClientCertificate.isSet())
		standIn(&h.TLS.KeyFile.textVar, v.ClientKey.Value, v.ClientKey.isSet())
	}
}

// checkOtelEndpoint finds an endpoint that cannot be used and is all that says
// where to: to go on without it, as OpenTelemetry would, is to send nothing.
func (l *loader) checkOtelEndpoint() {
	otel := &l.env.Otel.Exporter
	name := cmp.Or(setName("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", !isBlank(otel.OTLPMetrics.Endpoint.text)),
		setName("OTEL_EXPORTER_OTLP_ENDPOINT", !isBlank(otel.OTLP.Endpoint.text)))
	if name != "" && !l.env.Heka.Exporter.isSet() {
		l.problem(name, "cannot be used, and nothing else says where to send", "correct it, or set HEKA_ENDPOINT, or HEKA_EXPORTER=console")
	}
}

// setName returns name if it is set, else "".
func setName(name string, set bool) string {
	if set {
		return name
	}
	return ""
}

// standIn sets v to what another variable says, unless v is set.
func standIn[T any](v *textVar[T], value T, set bool) {
	if set && !v.isSet() {
		v.Value, v.source = value, SourceOtel
	}
}
