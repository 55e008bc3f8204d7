// Package store keeps the accepted batches in one SQLite file.
//
// A single goroutine, [Store.Run], owns the only connection that writes. It
// commits the batches that wait at the same time in one transaction, with one
// fsync. [Store.Add] returns after that, so a batch that it reports as stored
// survives a power cut.
//
//	Add ──┐
//	Add ──┼─> queue (bounded) ─> Run: one transaction ─> fsync ─> answers
//	Add ──┘                      and between two of them: retention
//
// The tables (schema.go): hosts has one row per agent with running totals, so
// that listing them is one small scan. epochs counts the batches of each agent
// start, which reveals gaps in seq and when they are filled. batches holds
// every batch id, for de-duplication, with its tick times. series names each
// series once. chunks holds the values of one series in one batch.
package store
