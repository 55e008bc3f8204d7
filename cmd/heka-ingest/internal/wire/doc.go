// Package wire is what travels over the ingest's HTTP interface: the batch an
// agent sends (schema heka.batch/1, docs/wire.md), the answer it gets, and the
// documents that the API serves. It decodes on its own, with encoding/json and
// nothing of the agent's code, so that it is independent evidence of what an
// agent really sends. It does no I/O.
package wire
