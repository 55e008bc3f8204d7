// Package collect reads the host on a schedule.
//
//	Scheduler ── every interval ──> collectors ── points ──> Snapshot ──> Sink
//
// One loop ticks on the monotonic clock. Each tick calls the collectors one
// after another and hands one [metric.Snapshot] to the [Sink]. A collector is
// one file: its metrics as [metric.Desc] literals, a struct with the state it
// keeps from tick to tick, and Collect. [Builtins] lists all of them.
//
// # What may block
//
// The kernel answers reads under /proc and /sys from memory, without waiting
// for a disk or a network. statfs(2) on a mount may wait for either without
// limit. /proc itself may be served by a user-space file system (LXCFS), which
// can hang like any other. So there are two guards:
//
//   - Collectors run on a worker goroutine, each with a Snapshot of its own
//     (guard.go). A collector that misses its deadline delays one tick by that
//     deadline. It is then left out until its goroutine returns. Its late
//     points go to its own Snapshot, which nobody reads.
//   - The filesystem collector queries mounts on a few goroutines of its own
//     (statfs.go), and adds more when some mounts do not answer. A dead mount
//     occupies one goroutine and does not affect the readings of other mounts.
//
// # Where readings come from
//
// gopsutil/v4 reads the host, except for the readings listed in docs/adr/0003.
// The variables HOST_PROC, HOST_SYS, HOST_ROOT and the other names of gopsutil
// are honoured, from the process environment or from a common.EnvMap in the
// context. In a container, or in a service with mounts of its own, a reading
// that may not be the host's is left out (mounts.go).
package collect
