// Package agent joins the parts into the program that runs on a host: it reads
// the configuration, finds out who the host is, wires collectors, queue,
// shipper and spool together, and owns their order of life.
//
//	LoadConfig ─> Identify ─> assemble ─> run
//
//	start:     spool, shipper, collectors
//	shutdown:  last tick ─> close the queue ─> flush ─> spool the rest ─> fsync
//
// It is the only package that reads the environment (config*.go, setting*.go,
// env.go), and the only one that knows all the others (wiring.go).
package agent
