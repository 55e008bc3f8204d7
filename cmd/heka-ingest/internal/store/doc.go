// Package store keeps what the ingest has accepted, in one SQLite file.
//
// One goroutine (Run) owns the only connection that writes. Batches that wait
// at the same time are committed in one transaction, with one fsync; Add
// returns after that, so what it reports as stored survives a power cut.
//
//	Add ──┐
//	Add ──┼─> queue (bounded) ─> Run: one transaction ─> fsync ─> answers
//	Add ──┘                      and between two of them: retention
//
// Tables (schema.go): hosts holds one row an agent with running totals, so
// that listing them costs one small scan; epochs counts the batches of each
// agent start, which is how holes in seq are seen and seen to fill; batches
// remembers every batch id for de-duplication, and its tick times; series
// names each series once; chunks holds one series' values of one batch.
package store
