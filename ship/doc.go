// Package ship delivers what collect read: it queues ticks, cuts them into
// batches, and sends each batch until the backend has acknowledged it, at
// least once and in bounded memory.
//
//	Put ─> Queue ─cut─> batch ─┬─> Sender ──acked──> done
//	 (never blocks)            │     │ not acked
//	                           └─> Spool <─┘   oldest first, paced
//
// One goroutine, Shipper.Run, owns every decision; at most one request is
// under way at any time. When it may send is decided by the machine:
//
//	          acked                      failed
//	healthy <─────── ramping     healthy ──────> down
//	   ramping: the backlog drains at 1x the live rate, rising to
//	   HEKA_DRAIN_MULTIPLIER and halved when the backend is overloaded
//	down: waits U(0, min(cap, initial·2^n)), then one probe;
//	      acked -> ramping, failed -> waits again
//	paused: as down, for refusals that only a person can fix (credentials,
//	        configuration); waits 1 to 15 minutes, or until a file changes
//
// Nothing is dropped here for age or attempts. What is given up, at the memory
// bound or by the backend's final refusal, is counted by reason in the Ledger
// and shipped with every batch; so is what the spool evicts or lets expire.
package ship
