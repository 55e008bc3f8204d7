package collect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shirou/gopsutil/v4/disk"
)

// errStuck reports a reading that did not answer in time. It is a
// context.DeadlineExceeded, so that it counts as a timeout.
var errStuck = fmt.Errorf("does not answer: %w", context.DeadlineExceeded)

// statfser asks file systems for their usage and survives those that never
// answer: at most one goroutine waits at each mount point, and a tick waits for
// all of them together once. A mount known to be stuck is not waited for again
// before its goroutine has returned, which may be never: such a goroutine, and
// its thread in the kernel, ends with the process at the latest.
type statfser struct {
	statfs func(ctx context.Context, path string) (*disk.UsageStat, error)
	// stuck holds where the answer of an earlier tick will come, by path. It
	// outlives the mount list, so that a mount that is listed anew is known.
	stuck map[string]chan statfsResult
}

type statfsResult struct {
	usage *disk.UsageStat
	err   error
}

// all returns one result for each mount, in order. It waits for three quarters
// of the time that ctx leaves, so that the rest of the tick's points are out
// before the collector as a whole is given up.
func (f *statfser) all(ctx context.Context, mounts []mount) []statfsResult {
	f.reap()
	asked := make([]chan statfsResult, len(mounts))
	for i := range mounts {
		if f.stuck[mounts[i].path] == nil {
			asked[i] = f.ask(ctx, mounts[i].path)
		}
	}
	expired := expiry(ctx)
	defer expired.Stop()
	results := make([]statfsResult, len(mounts))
	late := false
	for i, answer := range asked {
		if answer == nil {
			results[i].err = errStuck
			continue
		}
		results[i], late = await(answer, expired.C, late)
		if errors.Is(results[i].err, errStuck) {
			f.stuck[mounts[i].path] = answer
		}
	}
	return results
}

// reap forgets the stuck mounts that have answered since. What they said then
// is old, and is not used.
func (f *statfser) reap() {
	for path, answer := range f.stuck {
		select {
		case <-answer:
			delete(f.stuck, path)
		default:
		}
	}
}

// ask starts one statfs. The channel has room for the answer, so the goroutine
// ends whether or not anyone still waits, and writes nowhere else.
func (f *statfser) ask(ctx context.Context, path string) chan statfsResult {
	answer := make(chan statfsResult, 1)
	go func() {
		usage, err := f.statfs(ctx, path)
		answer <- statfsResult{usage, err}
	}()
	return answer
}

// await takes an answer, or gives up when time is over; then, once late, it
// takes only answers that are there already.
func await(answer chan statfsResult, expired <-chan time.Time, late bool) (statfsResult, bool) {
	if !late {
		select {
		case r := <-answer:
			return r, false
		case <-expired:
		}
	}
	select {
	case r := <-answer:
		return r, true
	default:
		return statfsResult{err: errStuck}, true
	}
}

// expiry returns a timer that fires when three quarters of ctx's time are over.
func expiry(ctx context.Context) *time.Timer {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.NewTimer(defaultTimeout)
	}
	return time.NewTimer(time.Until(deadline) * 3 / 4)
}
