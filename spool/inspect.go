package spool

import (
	"context"
)

// Query says what Inspect looks at, beside the ledger.
type Query struct {
	// Dir is the spool's directory.
	Dir string
	// Segments, Letters and Quarantine ask for what is in segments, in dead/
	// and in quarantine/.
	Segments, Letters, Quarantine bool
	// Payloads has every record's payload read and checked too, not only its
	// header. Letters are always read whole.
	Payloads bool
}

// Found says what a Finding is.
type Found uint8

const (
	// FoundRecord is a record in a segment.
	FoundRecord Found = iota
	// FoundLetter is an entry of a dead letter, or what is wrong with one.
	FoundLetter
	// FoundGap is bytes that are no record, or records that are not there.
	FoundGap
	// FoundTorn is a record whose payload the file does not hold in full.
	FoundTorn
	// FoundForeign is a record of another version or type.
	FoundForeign
	// FoundSidecar is what is wrong with a sidecar.
	FoundSidecar
	// FoundLedger is what is wrong with the ledger.
	FoundLedger
	// FoundFile is a file or directory that cannot be read at all.
	FoundFile
	// FoundSegment is a segment in quarantine/; what is in it follows.
	FoundSegment
)

var foundNames = [...]string{"record", "letter", "gap", "torn", "foreign", "sidecar", "ledger", "file", "segment"}

// String returns one word.
func (f Found) String() string { return foundNames[f] }

// Severity says what a Finding means for whoever looks.
type Severity uint8

const (
	// Sound is as it should be.
	Sound Severity = iota
	// Notice is worth knowing, but neither a fault of the disk nor a loss that
	// is not known yet.
	Notice
	// Damage is bytes that are not what was written.
	Damage
)

// State is what became of a record.
type State uint8

const (
	// StateWaiting is to be delivered.
	StateWaiting State = iota
	// StateDelivered was acknowledged by the backend, some points of it refused
	// perhaps.
	StateDelivered
	// StateExpired got too old.
	StateExpired
	// StateCorrupt was found damaged.
	StateCorrupt
	// StateDead was refused for good: all of a record in a segment, or a letter.
	StateDead
	// StateReplay is a dead letter that is to be sent again.
	StateReplay
	// StateQuarantined is in a damaged segment that was set aside.
	StateQuarantined
)

var stateNames = [...]string{"waiting", "delivered", "expired", "corrupt", "dead", "replay", "quarantined"}

// String returns one word.
func (s State) String() string { return stateNames[s] }

// Neighbour is a record beside damage.
type Neighbour struct {
	ID
	TimeMS int64
}

// Finding is one thing that Inspect met.
type Finding struct {
	Found    Found
	Severity Severity
	// Problem says what is wrong, "" if nothing is.
	Problem string

	// File is relative to the directory; Offset and Length say where in it.
	File           string
	Offset, Length int64

	// Record is the record, of FoundRecord, FoundLetter and FoundTorn. Its
	// Payload is nil unless it was read and is sound; it is valid until the
	// callback returns. That of a damaged letter is empty.
	Record Record
	// Of is the record whose points an entry of a letter has.
	Of ID
	// PayloadBytes is the length of the payload, read or not.
	PayloadBytes int64
	State        State
	// Draft says that the record is a tick of a draft, and that a process may own the
	// directory: the batch that it builds of it may get the same ID.
	Draft bool
	// Dead is how many points of a record that is settled were refused for good.
	Dead int64
	// Reason says why a letter is dead.
	Reason string

	// Lost is how many points the damage costs. LostKnown is false where
	// nothing says it; Lost is then what opening the spool would count.
	Lost      int64
	LostKnown bool
	// After and Before are the records around damage whose headers are sound,
	// nil where there is none.
	After, Before *Neighbour
}

// Summary is what Inspect adds up. Points, totals and losses are as opening
// the spool would find them and, with Query.Payloads, reading it to its end:
//
//	Appended = Delivered + Evicted + Expired + Corrupt + Dead + Points
//
// What Query leaves out is zero, but for the totals of what is gone.
type Summary struct {
	// Records, Points and Bytes are what waits; Bytes counts payloads.
	Records, Points, Bytes int64
	// OldestMS and NewestMS bound the times of what waits, 0 if nothing does.
	OldestMS, NewestMS int64
	// Segments and SegmentBytes are the segments' files.
	Segments, SegmentBytes int64
	// Scanned counts the records seen in segments, whatever became of them.
	Scanned int64
	// Foreign counts records of another version or type.
	Foreign int64
	// Letters are the files of dead letters that hold anything sound, Replays
	// those of them that are to be sent again; LetterEntries and what follows is
	// in them, each ID once.
	Letters, Replays, LetterEntries, LetterPoints, LetterBytes int64
	// LettersLost are dead points that no letter has any more.
	LettersLost int64
	// Quarantined counts the files in quarantine/.
	Quarantined, QuarantinedBytes int64
	// Damages and Notices count the findings of that severity; Lost adds up
	// the points of the former.
	Damages, Notices, Lost int64

	// Totals of points over the directory's life.
	Appended, Delivered, Evicted, Expired, Corrupt, Dead int64
	// Losses are the owner's own, by reason, sorted.
	Losses []Loss

	// Owned says that a process holds the directory's lock, as far as this
	// process can see: Linux alone tells.
	Owned bool
	// Moved says that the spool was at work meanwhile: sums may be a little
	// behind.
	Moved bool
}

// Inspect looks into a spool's directory and shows what it finds: the ledger's
// faults first, then segments by age and what is in them by offset, then
// letters by age, then quarantine. It changes nothing, takes no lock, and may
// run beside a live spool or on a disk that is read-only or failing: what
// cannot be read is a finding. It holds one segment's index and one payload in
// memory.
//
// It returns early with see's error or that of ctx, and an error if the
// directory itself cannot be listed, or holds nothing but what is no spool's.
func Inspect(ctx context.Context, q Query, see func(Finding) error) (Summary, error) {
	return inspect(ctx, q, lookFS(q.Dir), lockHeld(osFS(q.Dir).path(lockName)), see)
}
