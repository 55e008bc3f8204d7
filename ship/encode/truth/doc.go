// Package truth gives tests the backends themselves, or what their makers read
// with: receivers of the OpenTelemetry Collector, the types of Datadog's client,
// VictoriaMetrics and ClickHouse. A test sends them what an encoder wrote and
// reads back what they understood. It is for tests alone.
//
// Everything listens on a free port of the loopback interface, keeps its data in
// the test's directory and ends with the test. The Collector and Datadog's client
// are programs with a go.mod of their own, so that none of their modules is the
// agent's. VictoriaMetrics and ClickHouse are Debian's packages; without them a
// test is skipped.
package truth
