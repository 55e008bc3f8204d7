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
// inodes. free is what anyone may use, and no part of used.
type space struct {
	total, used, free  uint64
	inodes, inodesFree uint64
}

// statfsReply is what the kernel says of the file system that a path is in.
type statfsReply struct {
	space
	dev   uint64 // the st_dev of the path
	btrfs bool
}

// statfs asks the kernel about a path, once and for both answers: what is
// mounted there may change at any time. It may hang, and mounts nothing itself.
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

// spaceOf counts in fragments, as the kernel does: f_bsize is the size that
// input and output should have. It is zero where the parts do not fit the whole.
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

// errStuck reports a reading that did not answer in time. It is a
// context.DeadlineExceeded, so that it counts as a timeout.
var errStuck = fmt.Errorf("does not answer: %w", context.DeadlineExceeded)

// errUnasked reports a mount whose turn did not come.
var errUnasked = fmt.Errorf("not asked, as too many others do not answer: %w", context.DeadlineExceeded)

// statfser asks file systems for their usage and survives those that never
// answer. A few goroutines share the mounts out among them, so that a host with
// a thousand mounts needs no thousand goroutines; those that wait are joined by
// others, so that a dead mount holds up none that come after it. A tick waits
// for all mounts together once. A mount known to be stuck is not asked again
// before its goroutine has returned, which may be never: such a goroutine, and
// its thread in the kernel, ends with the process at the latest.
type statfser struct {
	statfs func(path string) (statfsReply, error)
	// stuck holds where the answer of an earlier tick will come, by path. It
	// outlives the mount list, so that a mount that is listed anew is known.
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

// path identifies a mount from one list of them to the next.
func (a *statfsAnswer) path() string { return a.mount.paths[0] }

const (
	// statfsWorkers is how many mounts are asked at once at first.
	statfsWorkers = 8
	// statfsRounds is into how many parts a tick's patience is cut. After each
	// the workers are doubled while there are mounts that wait for their turn: a
	// few rounds are enough for any number of dead mounts.
	statfsRounds = 64
)

// all returns one result for each mount, in order. It waits for three quarters
// of the time that ctx leaves, so that the rest of the tick's points are out
// before the collector as a whole is given up.
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
		case results[turn.index].err != errStuck: //nolint:errorlint // the very value set above
		case i < asked:
			f.stuck[turn.path()] = round.answers
		default:
			results[turn.index].err = errUnasked
		}
	}
	return results
}

// reap forgets the stuck mounts that have answered since. What they said then
// is old, and is not used.
func (f *statfser) reap() {
	for _, answers := range f.stuck {
		for len(answers) > 0 {
			answer := <-answers
			delete(f.stuck, answer.path())
		}
	}
}

// statfsRound is one tick's questions. The workers own nothing but next, and
// answers, which has room for all: they end whether or not anyone still waits.
type statfsRound struct {
	f       *statfser
	turns   []statfsAnswer // whom to ask; not changed once workers run
	next    atomic.Int64   // the turn that nobody has taken yet
	answers chan statfsAnswer
}

// collect asks all mounts and stores what comes in time in results.
func (r *statfsRound) collect(ctx context.Context, results []statfsResult) {
	patience := patienceOf(ctx)
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
				for len(r.answers) > 0 { // what came while this process stood still
					a := <-r.answers
					results[a.index] = a.statfsResult
				}
				return
			}
		}
	}
}

// work asks one mount after another.
func (r *statfsRound) work() {
	for i := r.next.Add(1) - 1; i < int64(len(r.turns)); i = r.next.Add(1) - 1 {
		answer := r.turns[i]
		answer.space, answer.err = answer.mount.ask(r.f.statfs)
		r.answers <- answer
	}
}

// end sees to it that no further mount is asked, and returns how many were.
func (r *statfsRound) end() int {
	all := int64(len(r.turns))
	return int(min(r.next.Swap(all), all))
}

// patienceOf returns three quarters of ctx's time.
func patienceOf(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return defaultTimeout
	}
	return max(time.Until(deadline)*3/4, 0)
}
