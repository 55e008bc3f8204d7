// Package metric is the data model that every other package shares: what a
// metric is (Desc), one reading of the host (Snapshot), and the columnar Batch
// that travels to a backend. It is a leaf: standard library only, no I/O.
//
//	Desc ── describes ──> Series = Desc + labels ── one a tick ──> Point
//	Snapshot = all points of one tick          Batch = series × ticks
package metric
