package spool

import (
	"fmt"
	"slices"
)

const (
	segmentSuffix = ".seg"
	sidecarSuffix = ".ack"
	lockName      = "lock"
	ledgerName    = "ledger"
	probeName     = "probe"
)

// segmentID names a segment; its file name says all of it.
type segmentID struct {
	number uint64 // order of creation
	base   uint64 // items ever appended in the directory before it
	salt   uint32 // random, in every record of the segment
}

func (id segmentID) name() string {
	return fmt.Sprintf("%016x-%016x-%08x%s", id.number, id.base, id.salt, segmentSuffix)
}

func (id segmentID) sidecar() string {
	return fmt.Sprintf("%016x-%016x-%08x%s", id.number, id.base, id.salt, sidecarSuffix)
}

// parseName reads the name of a segment or of a sidecar; only what name and
// sidecar make is one.
func parseName(name string) (id segmentID, sidecar, ok bool) {
	var suffix string
	if _, err := fmt.Sscanf(name, "%016x-%016x-%08x%s", &id.number, &id.base, &id.salt, &suffix); err != nil {
		return id, false, false
	}
	return id, name == id.sidecar(), name == id.name() || name == id.sidecar()
}

// entry is one record in the index.
type entry struct {
	epoch, seq uint64
	timeMS     int64
	off        uint32 // of the header in the segment
	length     uint32 // of header and payload
	items      uint32
	fate       fate
}

func (e *entry) id() ID { return ID{e.epoch, e.seq} }

// segment is one file of records and its part of the index. Everything in it
// is guarded by Spool.mu, but for the calls on f and acks that are named in
// settle.go.
type segment struct {
	segmentID
	entries []entry
	head    int // no entry before it is pending
	// notes are those of pending entries, dead the points of delivered ones that
	// were refused for good, by offset. There are few.
	notes   map[uint32][]byte
	dead    map[uint32]uint32
	size    int64
	items   uint64 // in all records so far: the next one's "before"
	foreign int    // records that are not ours to judge
	// ofTicks marks a draft, drafted is how many records this process wrote to it.
	ofTicks bool
	drafted int
	// torn is the record that a crash cut short, at tornAt; its length is 0 if none.
	torn   header
	tornAt int64
	// unreadable marks a segment whose index is not whole: it stays in place.
	unreadable bool
	newestMS   int64

	tally   tally
	records int   // pending
	points  int64 // in pending records
	bytes   int64 // in pending payloads

	// f is open while the segment is written to or not yet durable; sealed
	// means that nothing is added any more.
	f      file
	sealed bool
	ended  bool  // the file says so with an end record
	synced int64 // bytes that an fsync covers
	named  bool  // an fsync covers the directory entry
	// bad says that an fsync failed: what it did not cover will be rewritten.
	bad bool
	// copies hold the records that no fsync covers, entries[covered:].
	covered int
	copies  [][]byte

	acks     file // the sidecar, opened by the first mark
	acksSize int64
	unmarked []byte // entries that are still to be written to it, in order
	// marksOwed says that no fsync covers an entry that settles a record.
	marksOwed bool
}

// add appends a pending entry.
func (seg *segment) add(h *header, off int64) {
	seg.entries = append(seg.entries, entry{
		epoch: h.Epoch, seq: h.Seq, timeMS: h.timeMS,
		off: uint32(off), length: uint32(h.length), items: h.items,
	})
	if h.timeMS > seg.newestMS || len(seg.entries) == 1 {
		seg.newestMS = h.timeMS
	}
	seg.tally.appended += int64(h.items)
	seg.records++
	seg.points += int64(h.items)
	seg.bytes += int64(h.payloadLen)
}

// settle takes entry i out of what is pending.
func (seg *segment) settle(i int, f fate) {
	e := &seg.entries[i]
	if f == moved {
		seg.tally.appended -= int64(e.items)
	}
	e.fate = f
	seg.tally.settle(f, int64(e.items), int64(seg.dead[e.off]))
	delete(seg.notes, e.off)
	seg.records--
	seg.points -= int64(e.items)
	seg.bytes -= int64(e.length) - headerBytes
	for seg.head < len(seg.entries) && seg.entries[seg.head].fate != pending {
		seg.head++
	}
}

// acknowledge settles entry i as delivered, but for dead of its points.
func (seg *segment) acknowledge(i int, dead int64) {
	e := &seg.entries[i]
	if dead = min(max(dead, 0), int64(e.items)); dead > 0 {
		if seg.dead == nil {
			seg.dead = map[uint32]uint32{}
		}
		seg.dead[e.off] = uint32(dead)
	}
	seg.settle(i, delivered)
}

// setNote replaces the note of entry i, which waits.
func (seg *segment) setNote(i int, note []byte) {
	off := seg.entries[i].off
	switch {
	case len(note) == 0:
		delete(seg.notes, off)
	case seg.notes == nil:
		seg.notes = map[uint32][]byte{off: slices.Clone(note)}
	default:
		seg.notes[off] = slices.Clone(note)
	}
}

// repeatMarks has the entries written again that settle records.
func (seg *segment) repeatMarks() {
	seg.marksOwed = true
	for i := range seg.entries {
		if e := &seg.entries[i]; e.fate != pending && e.fate != moved {
			seg.unmarked = mark{off: e.off, fate: e.fate, dead: seg.dead[e.off]}.append(seg.unmarked, seg.salt)
		}
	}
}

// tallyOf is entry i's share of the segment's tally.
func (seg *segment) tallyOf(i int) tally {
	e := &seg.entries[i]
	t := tally{appended: int64(e.items)}
	t.settle(e.fate, t.appended, int64(seg.dead[e.off]))
	return t
}

// settleAll gives every pending record without a copy in memory (all, if
// copies is true) the same fate.
func (seg *segment) settleAll(f fate, copies bool) {
	for i := range seg.entries {
		if seg.entries[i].fate == pending && (copies || seg.copyOf(i) == nil) {
			seg.settle(i, f)
		}
	}
}

// done says that nothing in the segment is needed any more.
func (seg *segment) done() bool {
	return seg.sealed && !seg.bad && seg.records == 0 && seg.foreign == 0 && !seg.unreadable
}

// copyOf returns entry i as it was appended, if no fsync covers it yet.
func (seg *segment) copyOf(i int) []byte {
	if k := i - seg.covered; k >= 0 && k < len(seg.copies) {
		return seg.copies[k]
	}
	return nil
}

// find returns the pending entry of that name, or -1.
func (seg *segment) find(id ID) int {
	for i := seg.head; i < len(seg.entries); i++ {
		if e := &seg.entries[i]; e.seq == id.Seq && e.epoch == id.Epoch && e.fate == pending {
			return i
		}
	}
	return -1
}

// withdraw forgets entry i, which was never acknowledged, and its copy. A note
// of it stays in the sidecar: no other record will be at its offset.
func (seg *segment) withdraw(i int) {
	seg.settle(i, moved)
	seg.copies = slices.Delete(seg.copies, i-seg.covered, i-seg.covered+1)
	seg.entries = slices.Delete(seg.entries, i, i+1)
	seg.head = min(seg.head, i)
}
