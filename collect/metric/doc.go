// Package metric is the data model that every other package shares: the
// description of a metric ([Desc]), one reading of the host ([Snapshot]), and
// the columnar [Batch] that is sent to a backend. It imports only the standard
// library and does no I/O.
//
//	Desc ── describes ──> Series = Desc + labels ── one a tick ──> Point
//	Snapshot = all points of one tick          Batch = series × ticks
package metric
