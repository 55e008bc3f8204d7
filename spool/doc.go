// Package spool is a durable queue of opaque records in one directory: a log of
// segments that survives a killed process and, as far as Fsync says, a power
// cut. It never stops its owner: while the disk is full, broken, read-only or
// another process's, it refuses records with the cause and keeps trying.
//
//	Append ──> segment file ──fsync──> durable            Run, or Append
//	   │                                                  (write.go, settle.go)
//	   └─────> copy in memory ──fsync──> forgotten
//
//	Oldest <── memory, or segment file, checked by CRC    (read.go)
//	Note ────> sidecar                                    (sidecar.go)
//	Ack ─────> sidecar; the last one of a segment ──> retired
//
//	retired ──> ledger, fsync ──> unlink, fsync           (settle.go)
//
//	SetAside ─> gathered in memory ──> what settled the records, fsync ──> letter, fsync
//	                                                      (dead.go, letter.go)
//	letter, renamed by a person ──> Append, fsync ──> unlink (replay.go)
//
// A record waits as a whole and is settled as a whole, with the count of those of
// its points that were refused for good. Letters are copies of such points and
// count nothing.
//
// The disk is usable or it is not:
//
//	          a write, fsync, create, unlink or read fails,
//	          or less than MinFree is left
//	usable ──────────────────────────────────────────────> unusable
//	       <──────────────────────────────────────────────
//	          after 5, 10, 20, 40, 60, 60 … s: lock, probe,
//	          records rewritten from memory, ledger
//
// The probe is as large as what was refused, up to 1 MiB, and its wait starts
// anew only after two usable minutes: a nearly full disk does not flap.
//
// While it is unusable, Append returns ErrUnavailable and evicts nothing;
// Oldest and Ack go on as far as the disk can be read.
//
// Inspect looks into a directory beside all this, and changes nothing; Replay,
// Discard and Purge repair one.
//
// docs/spool-format.md describes the bytes and why a crash loses nothing.
package spool
