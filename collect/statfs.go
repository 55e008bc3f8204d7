package collect

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// space is the size of a file system and what is left of it, in bytes and in
// inodes. free is what an unprivileged user may use. It does not overlap with
// used.
type space struct {
	total, used, free  uint64
	inodes, inodesFree uint64
}

// statfsReply is the kernel's answer about the file system of a path.
type statfsReply struct {
	space
	dev   uint64 // st_dev of the path
	btrfs bool
}

// statfs opens the path once and asks for both parts of the reply through that
// file, because the mount may change at any time. It may hang. It does not
// trigger an automount.
func statfs(path string) (reply statfsReply, err error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0) })
	if err != nil {
		return reply, err
	}
	defer func() { _ = unix.Close(fd) }()
	var fs unix.Statfs_t
	var file unix.Stat_t
	if _, err = retry(func() (int, error) { return 0, unix.Fstatfs(fd, &fs) }); err != nil {
		return reply, err
	}
	if _, err = retry(func() (int, error) { return 0, unix.Fstat(fd, &file) }); err != nil {
		return reply, err
	}
	return statfsReply{spaceOf(&fs), file.Dev, uint32(fs.Type) == unix.BTRFS_SUPER_MAGIC}, nil
}

// spaceOf converts blocks to bytes. The kernel counts in fragments; f_bsize is
// only the preferred size of I/O. It returns zero if the parts do not fit the
// whole.
func spaceOf(fs *unix.Statfs_t) space {
	unit := uint64(fs.Frsize)
	if unit == 0 {
		unit = uint64(fs.Bsize)
	}
	if unit == 0 || fs.Blocks > math.MaxInt64/unit || fs.Bfree > fs.Blocks || fs.Bavail > fs.Bfree {
		return space{}
	}
	return space{
		total: fs.Blocks * unit, used: (fs.Blocks - fs.Bfree) * unit, free: fs.Bavail * unit,
		inodes: fs.Files, inodesFree: fs.Ffree,
	}
}

// errStuck means that a reading did not answer in time. It wraps
// context.DeadlineExceeded, so that it counts as a timeout.
var errStuck = fmt.Errorf("does not answer: %w", context.DeadlineExceeded)

// errUnasked means that a mount was not queried before the time was up.
var errUnasked = fmt.Errorf("not asked, as too many others do not answer: %w", context.DeadlineExceeded)

// statfser queries file systems for their usage, including those that never
// answer. A few goroutines share the mounts, so that a host with a thousand
// mounts does not need a thousand goroutines. When some of them wait, more
// goroutines are added, so that a dead mount does not delay the mounts after
// it. A tick waits once for all mounts together. A stuck mount is not queried
// again until its goroutine returns, which may be never: the goroutine and its
// thread in the kernel then end with the process.
type statfser struct {
	statfs func(path string) (statfsReply, error)
	// stuck holds the channels, by path, that receive the answers of earlier
	// ticks. It outlives the mount list, so that a stuck mount stays known when
	// the list is rebuilt.
	stuck map[string]<-chan statfsAnswer
}

type statfsResult struct {
	space space
	err   error
}

type statfsAnswer struct {
	statfsResult
	mount *mount
	index int
}

// path identifies a mount across rebuilt lists.
func (a *statfsAnswer) path() string { return a.mount.paths[0] }

const (
	// statfsWorkers is how many mounts are queried at once at first.
	statfsWorkers = 8
	// statfsRounds is the number of parts of the time that a tick waits. After
	// each part, the number of workers is doubled if mounts are still
	// unqueried. A few rounds are enough for any number of dead mounts.
	statfsRounds = 64
)

// all returns one result for each mount, in order. It waits for at most three
// quarters of the time that ctx leaves, so that the other points of the tick
// are added before the deadline of the collector.
func (f *statfser) all(ctx context.Context, mounts []mount) []statfsResult {
	f.reap()
	results := make([]statfsResult, len(mounts))
	round := &statfsRound{f: f, answers: make(chan statfsAnswer, len(mounts))}
	for i := range mounts {
		results[i].err = errStuck
		turn := statfsAnswer{mount: &mounts[i], index: i}
		if f.stuck[turn.path()] == nil {
			round.turns = append(round.turns, turn)
		}
	}
	round.collect(ctx, results)
	asked := round.end()
	for i, turn := range round.turns {
		switch {
		case results[turn.index].err != errStuck: //nolint:errorlint // exactly the value set above
		case i < asked:
			f.stuck[turn.path()] = round.answers
		default:
			results[turn.index].err = errUnasked
		}
	}
	return results
}

// reap removes the stuck mounts that have answered since. Their answers are
// outdated and not used.
func (f *statfser) reap() {
	for _, answers := range f.stuck {
		for len(answers) > 0 {
			answer := <-answers
			delete(f.stuck, answer.path())
		}
	}
}

// statfsRound holds the queries of one tick. The workers share only next and
// answers. answers has room for all answers, so the workers end even if nobody
// receives them.
type statfsRound struct {
	f       *statfser
	turns   []statfsAnswer // the mounts to query; not changed once workers run
	next    atomic.Int64   // the next turn to take
	answers chan statfsAnswer
}

// collect queries all mounts and stores the answers that arrive in time in
// results.
func (r *statfsRound) collect(ctx context.Context, results []statfsResult) {
	patience := waitTime(ctx)
	expired := time.NewTimer(patience)
	defer expired.Stop()
	slow := time.NewTicker(max(patience/statfsRounds, 1))
	defer slow.Stop()
	workers := 0
	hire := func(n int) {
		for range min(n, len(r.turns)-int(r.next.Load())) {
			workers++
			go r.work()
		}
	}
	hire(statfsWorkers)
	for range r.turns {
		for answered := false; !answered; {
			select {
			case a := <-r.answers:
				results[a.index] = a.statfsResult
				answered = true
			case <-slow.C:
				hire(workers)
			case <-expired.C:
				for len(r.answers) > 0 { // answers that arrived while this process was suspended
					a := <-r.answers
					results[a.index] = a.statfsResult
				}
				return
			}
		}
	}
}

// work queries one mount after another.
func (r *statfsRound) work() {
	for i := r.next.Add(1) - 1; i < int64(len(r.turns)); i = r.next.Add(1) - 1 {
		answer := r.turns[i]
		answer.space, answer.err = answer.mount.ask(r.f.statfs)
		r.answers <- answer
	}
}

// end prevents further queries and returns how many were started.
func (r *statfsRound) end() int {
	all := int64(len(r.turns))
	return int(min(r.next.Swap(all), all))
}

// waitTime returns three quarters of the time that is left in ctx.
func waitTime(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return defaultTimeout
	}
	return max(time.Until(deadline)*3/4, 0)
}
