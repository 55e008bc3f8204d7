// Package wire defines what travels over the ingest's HTTP interface: the batch
// that an agent sends (schema heka.batch/1, docs/wire.md), the answer, and the
// documents of the API. It decodes with encoding/json and shares no code with
// the agent, so that it is an independent check of what an agent sends. It does
// no I/O.
package wire
