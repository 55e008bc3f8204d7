// Package encode turns batches into request bodies and back. Everything here
// is pure: no I/O, no clock, no state. One file a format:
//
//	native.go         heka.batch/1, the agent's own format (docs/wire.md)
//	native_decode.go  its inverse, for spooled batches
//	prometheus.go     Prometheus text, for the console
package encode
