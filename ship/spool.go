package ship

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// ID names a batch. It is the same for every attempt, also of a later process.
type ID struct{ Epoch, Seq uint64 }

// String returns the batch_id of the wire format.
func (id ID) String() string { return metric.BatchID(id.Epoch, id.Seq) }

// Entry is one batch as the spool keeps it.
type Entry struct {
	ID
	// Items is how many points the batch holds.
	Items int64
	// TimeMS is the time of its newest tick, Unix ms.
	TimeMS int64
	// Payload is the native body, compressed or not (its first bytes tell).
	Payload []byte
	// Note is what the shipper has to know to send the same points under the
	// same ids again; nil if nothing.
	Note []byte
}

// Letter is a copy of points that the backend refused for good: a batch of its
// own, with an id that depends on nothing but the batch they are of, and the
// points. Its Note is not used.
type Letter struct {
	// Of is the batch whose points these are.
	Of ID
	// Reason is why they were refused, in a few words.
	Reason string
	Entry
}

// ErrDraftLost says that a spool has no draft that a record could continue.
var ErrDraftLost = errors.New("the draft is gone")

// Spool is the durable queue that the shipper falls back on. It is called by
// one goroutine. No method may wait for a device that does not answer longer
// than the shipper may be late.
type Spool interface {
	// Append stores e, with its note. After an error the shipper keeps e in
	// memory.
	Append(e Entry) error
	// Draft stores an entry, without its note, that is to be part of one which is
	// not appended yet: record n, from 0, of a draft that a later process finds
	// if this one is killed. The seqs follow each other from that of the whole
	// on. After ErrDraftLost there is none, and the next record is to be the first;
	// after any other error it is as it was.
	Draft(e Entry, n int) error
	// Discard ends the draft: no later process finds it. After an error one may.
	Discard() error
	// Oldest returns the oldest entry that is not acknowledged, of those whose
	// TimeMS is not before sinceMS and whose id is none of except; ok is false
	// when there is none that can be read. Its memory is valid until the next
	// call.
	Oldest(sinceMS int64, except []ID) (e Entry, ok bool)
	// Note replaces the note of an entry. It reports whether the entry is still
	// there.
	Note(id ID, note []byte) bool
	// Ack settles an entry: so many of its points are dead, refused for good by
	// the backend, and all others delivered. It reports whether the entry was
	// still there: one that was evicted meanwhile has been counted already.
	Ack(id ID, dead int64) bool
	// Refuse counts points that were refused for good, of a batch that never was
	// in the spool.
	Refuse(points int64)
	// SetAside keeps a copy of points that were counted by Ack or Refuse, for a
	// person to look at and to have sent again. It never waits for the device.
	SetAside(l Letter)
	// Pending counts the entries that are not acknowledged.
	Pending() int64
	// MakeRoom is called when memory is full. It returns nil when Append is
	// worth another try, for which it may have evicted the oldest entries.
	MakeRoom() error
}

// Ledger counts lost points by reason, over the agent's life on its host.
type Ledger interface {
	// Lose adds points to a reason.
	Lose(reason string, points int64)
	// Losses returns all counts, sorted by reason.
	Losses() []metric.Loss
}

// The reasons for which points are lost outside of the spool.
const (
	// LostQueueFull: the memory bound was reached and there was no disk.
	LostQueueFull = "queue_full"
	// LostRejected: the backend refused the points for good, and there was no
	// spool to set them aside in.
	LostRejected = "rejected"
	// LostSeriesLimit: a series over HEKA_MAX_SERIES.
	LostSeriesLimit = "series_limit"
	// LostShutdown: the agent ended with neither backend nor disk to hand.
	LostShutdown = "shutdown"
)

// MemoryLedger is a Ledger for an agent without a spool: its counts begin at
// zero with each process. The zero value is ready to use, safe for concurrent use.
type MemoryLedger struct {
	mu     sync.Mutex
	losses []metric.Loss // guarded by mu, sorted by reason
}

// Lose adds points to a reason.
func (l *MemoryLedger) Lose(reason string, points int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.losses = addLoss(l.losses, reason, points)
}

// Losses returns a copy of all counts, sorted by reason.
func (l *MemoryLedger) Losses() []metric.Loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.losses)
}

// AllLosses returns the ledger's counts with every reason of this package
// present, zero or not, so that a reader can tell "none" from "not told".
func AllLosses(l Ledger) []metric.Loss {
	all := slices.Clone(l.Losses())
	for _, reason := range []string{LostQueueFull, LostRejected, LostSeriesLimit, LostShutdown} {
		all = addLoss(all, reason, 0)
	}
	return all
}

func addLoss(losses []metric.Loss, reason string, points int64) []metric.Loss {
	i, found := slices.BinarySearchFunc(losses, reason, func(l metric.Loss, reason string) int {
		return strings.Compare(l.Reason, reason)
	})
	if !found {
		losses = slices.Insert(losses, i, metric.Loss{Reason: reason})
	}
	losses[i].Points += points
	return losses
}
