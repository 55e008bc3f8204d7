// Package collect reads the host on a schedule.
//
//	Scheduler ── every interval ──> collectors ── points ──> Snapshot ──> Sink
//
// One loop ticks on the monotonic clock; each tick calls the collectors one
// after another and hands one Snapshot to the Sink. A collector is one file:
// its metrics as Desc literals, a struct with what it remembers from tick to
// tick, and Collect. Builtins is the table of all of them.
//
// # What may block, and what is done about it
//
// Files under /proc and /sys are answered by the kernel from its own memory:
// reading them waits for no disk and no network. statfs(2) on a mount may wait
// for either, for ever. And /proc itself may be served by a user-space file
// system (LXCFS), which can hang like any other. So two guards stand in line:
//
//   - collectors run on a worker goroutine, each on a Snapshot of its own
//     (guard.go). One that misses its deadline costs the tick that deadline,
//     once; it is then left out until its goroutine returns. What it writes
//     late goes to its own Snapshot, which nobody reads.
//   - the filesystem collector asks mounts on a few goroutines of its own
//     (statfs.go), joined by more when some do not answer: a dead mount holds
//     one of them, and costs no other mount its reading.
//
// # Where readings come from
//
// gopsutil/v4 reads the host, except where docs/adr/0003 says otherwise. The
// environment variables HOST_PROC, HOST_SYS, HOST_ROOT and the other names of
// gopsutil are honoured, from the process environment or from a
// common.EnvMap in the context. What cannot be told to be the host's, in a
// container or a service with mounts of its own, is left out (mounts.go).
package collect
