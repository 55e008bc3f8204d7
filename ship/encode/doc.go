// Package encode turns batches into request bodies and back, and says what a
// backend's answers mean. Everything here is pure: no I/O, no clock, no state. One
// file a format:
//
//	native.go           heka.batch/1, the agent's own format (docs/wire.md)
//	native_decode.go    its inverse, for spooled batches
//	prometheus.go       Prometheus text, for the console
//	backends.go         the table of backends
//	otlp.go             OTLP over HTTP in JSON; New Relic by it
//	datadog.go          Datadog's API, v2
//	splunk.go           Splunk's HTTP Event Collector
//	elasticsearch.go    the bulk API of Elasticsearch and OpenSearch
//	clickhouse.go       ClickHouse, a row a point
//	victoriametrics.go  VictoriaMetrics, JSON lines
//	groups.go           documents: readings of a tick with the same labels
package encode
