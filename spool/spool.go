package spool

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrEmpty says that no record waits.
	ErrEmpty = errors.New("spool is empty")
	// ErrUnavailable says that the disk cannot be used now; it wraps the cause.
	// The spool tries again by itself.
	ErrUnavailable = errors.New("spool unavailable")
	// ErrTooLarge says that a record can never be spooled.
	ErrTooLarge = errors.New("record too large for the spool")

	errLocked    = errors.New("another process holds the lock")
	errLowSpace  = errors.New("free space is below the minimum")
	errUnknown   = errors.New("the spool is full of records of another version, or that cannot be read")
	errLost      = errors.New("the directory was removed or replaced")
	errIrregular = errors.New("not a regular file")
	errClosed    = errors.New("closed")
)

// ID names a record.
type ID struct{ Epoch, Seq uint64 }

// Record is one opaque payload and what the spool needs to know of it.
type Record struct {
	// ID names the record; Ack takes it.
	ID
	// Items counts the points in the payload, 0 to 2^32-1.
	Items int64
	// TimeMS is the time of the newest sample in Unix ms. Age is judged by it.
	TimeMS int64
	// Payload is any bytes.
	Payload []byte
	// Note is the owner's: see [Spool.Note].
	Note []byte
}

// Config says where and how. The zero value of each field but Dir and MaxBytes
// is usable.
type Config struct {
	// Dir is made with mode 0700 if it is missing. If others own it or may write
	// to it, the spool is in a folder of its own there: see [Locate].
	Dir string
	// MaxBytes bounds the segments, their sidecars, dead/ and quarantine/ on disk;
	// the oldest segment goes first. The ledger (8 KiB) comes on top, and so do
	// what was not appended, a letter or an entry of a sidecar, until the next
	// Append, and what a letter takes beyond a 16th of MaxBytes.
	MaxBytes int64
	// MaxAge is how old a record may get; 0 means any age.
	MaxAge time.Duration
	// MinFree is how much of the disk stays free: below it nothing is appended
	// and nothing is evicted. 0 turns the guard off.
	MinFree int64
	// Fsync says when records reach the device.
	Fsync Fsync
	// Notify is told when the disk becomes unusable, with the cause, and usable
	// again, with nil. It may be called from any goroutine inside a method of
	// the spool, and must not call back. It may be nil.
	Notify func(cause error)
}

// Spool is a durable queue. Its methods are safe for concurrent use. There is
// one of it to a directory, in all processes: a second one keeps nothing until
// the first is gone.
type Spool struct {
	cfg          Config
	disk         fileSystem
	segmentBytes int64
	fsyncs       atomic.Int64

	// slow is held across calls that may take long: fsync, directory changes,
	// the ledger, probes. It is taken before mu, never while mu is held.
	slow sync.Mutex
	// lock is nil until this process owns the directory. It changes with slow
	// and mu held; either guards it.
	lock lock
	// ledgerNamed says that an fsync covers the ledger's name: one of this
	// process, since the last one may have died before its own. slow is held.
	ledgerNamed bool

	mu sync.Mutex
	// All below is guarded by mu.
	cause   error // why the disk is unusable
	told    bool  // Notify knows of it
	mounted bool  // the directory is ours and indexed
	closed  bool
	probeAt time.Time
	backoff time.Duration // until the probe after the next
	usable  time.Time     // when it last became so
	refused int64         // bytes of the largest record refused since it is unusable

	segs    []*segment // by age; the last one may be active
	active  *segment   // takes appends; nil until there are any
	draft   *segment   // not among segs; nil if there is none
	retired []*segment // no longer needed, still on disk
	next    uint64     // number of the next segment
	used    int64      // bytes of segs and retired, and of their sidecars
	owed    int64      // bytes of copies in memory
	dead    aside      // dead/, as of the last look
	kept    aside      // quarantine/, as of then

	replayAt time.Time // when dead/ is looked at for letters to send again

	gather        []gathered // entries of the next letter, in order
	gatheredBytes int64
	lettersAt     time.Time     // no letter is tried before, after one that failed
	wake          chan struct{} // tells Run that a letter is due; set by open

	ledger      ledger
	ledgerEdits uint64 // counts changes
	ledgerSaved uint64 // ledgerEdits when last written
	saved       ledger // as last written, but for what is not compared

	readSeg  *segment // what readFile is
	readFile file
	readBuf  []byte // lent out by Oldest
	writeBuf []byte // reused when no copies are kept
	suspect  suspect
	blind    bool // the cause is a read
}

// suspect is an entry that the disk would not read.
type suspect struct {
	seg   *segment
	entry int
}

// A segment takes a 64th of the cap within these bounds, but at most a quarter.
const (
	minSegmentBytes = 256 << 10
	maxSegmentBytes = 8 << 20
)

// Open takes the directory and indexes what it holds. It does not fail: as
// long as the directory is unusable or another process has it, the spool keeps
// nothing, says so through Notify and Append, and Run keeps trying.
//
// It creates the directory and a lock file; nothing else is written to disk
// before the first Append or Lose.
func Open(cfg Config) *Spool { return open(cfg, newHomeFS(cfg.Dir)) }

func open(cfg Config, disk fileSystem) *Spool {
	s := &Spool{cfg: cfg, disk: disk, ledger: ledger{losses: map[string]int64{}}, wake: make(chan struct{}, 1)}
	s.dead.dir, s.kept.dir = deadDir, quarantineDir
	s.segmentBytes = min(max(cfg.MaxBytes/64, minSegmentBytes), maxSegmentBytes, cfg.MaxBytes/4)
	s.retry()
	return s
}

// down makes the spool unusable until a probe passes; mu is held. A disk that
// was usable only for a while is probed as rarely as before.
func (s *Spool) down(cause error) {
	if s.cause != nil {
		return
	}
	if s.backoff == 0 || time.Since(s.usable) > steady {
		s.backoff = probeMin
	}
	s.cause = cause
	s.postpone()
}

// postpone sets when the next probe is due; mu is held.
func (s *Spool) postpone() {
	s.probeAt = time.Now().Add(s.backoff)
	s.backoff = min(2*s.backoff, probeMax)
}

// up makes the spool usable; mu is held.
func (s *Spool) up() {
	s.cause, s.blind, s.refused, s.usable = nil, false, 0, time.Now()
}

// unlock releases mu and tells Notify what changed.
func (s *Spool) unlock() {
	cause := s.cause
	changed := s.told != (cause != nil) && !s.closed
	s.told = cause != nil
	s.mu.Unlock()
	if changed && s.cfg.Notify != nil {
		s.cfg.Notify(cause)
	}
}
