package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"maps"
	"slices"
)

// The ledger file is two slots of slotBytes, written in turn. Both are written
// in full when the file is made, so that a full disk cannot block the counts of
// what a full disk costs.
const (
	slotBytes    = 4096
	slotHeader   = 68
	slotCRC      = slotBytes - 4
	retiredBytes = 20 // segment number (8), base (8), salt (4)

	// maxRetired bounds the segments that one write of the ledger can retire.
	maxRetired = 64
	// maxReason bounds a reason's name; longer ones are cut.
	maxReason = 48
	// maxCount bounds all points of a slot together, so that no total can wrap.
	maxCount = 1 << 62
	// maxLoss bounds what one call of Lose counts: a mistake of the owner's
	// must not take a slot over maxCount, and all totals with it.
	maxLoss = 1 << 40
)

var ledgerMagic = [4]byte{'H', 'K', 'S', 'L'}

// ledger is what must outlive segments: totals of the records of segments that
// are gone, and the names of the segments that this very write counts as gone,
// in case the process dies before it has removed them.
type ledger struct {
	generation uint64
	totals     tally            // of segments that are gone
	ever       uint64           // items ever appended when it was written
	origin     uint64           // of ever: from before the totals began, had another been lost, or refused after all
	losses     map[string]int64 // the owner's own, by reason
	retired    []segmentID
	// direct are dead points whose record never was in the spool: no part of
	// ever, nor of the totals above.
	direct int64
	// lettersLost are points of which no letter is left: no loss of its own,
	// since they are dead.
	lettersLost int64
}

// encode fills one slot. Reasons beyond its room are added up as "other".
func (l *ledger) encode(b []byte) {
	le := binary.LittleEndian
	clear(b)
	copy(b, ledgerMagic[:])
	b[4] = formatVersion
	le.PutUint64(b[8:], l.generation)
	le.PutUint64(b[16:], uint64(l.totals.appended))
	le.PutUint64(b[24:], uint64(l.totals.delivered))
	le.PutUint16(b[32:], uint16(len(l.retired)))
	le.PutUint64(b[36:], l.ever)
	le.PutUint64(b[44:], l.origin)
	le.PutUint64(b[52:], uint64(l.direct))
	le.PutUint64(b[60:], uint64(l.lettersLost))
	p := b[slotHeader:slotCRC]
	for _, id := range l.retired {
		le.PutUint64(p, id.number)
		le.PutUint64(p[8:], id.base)
		le.PutUint32(p[16:], id.salt)
		p = p[retiredBytes:]
	}
	reasons := 0
	put := func(reason string, points int64) {
		p[0] = byte(len(reason))
		copy(p[1:], reason)
		le.PutUint64(p[1+len(reason):], uint64(points))
		p = p[9+len(reason):]
		reasons++
	}
	l.totals.losses(put)
	var rest int64
	for _, reason := range slices.Sorted(maps.Keys(l.losses)) {
		if reason == otherReason || len(p) < 2*(9+maxReason) {
			rest += l.losses[reason]
			continue
		}
		put(reason, l.losses[reason])
	}
	if rest != 0 {
		put(otherReason, rest)
	}
	le.PutUint16(b[34:], uint16(reasons))
	le.PutUint32(b[slotCRC:], crc32.Checksum(b[:slotCRC], castagnoli))
}

// parseLedger reads one slot. What no spool writes is errDamaged, whatever the
// checksum says.
func parseLedger(b []byte) (ledger, error) {
	le := binary.LittleEndian
	if len(b) != slotBytes || [4]byte(b) != ledgerMagic || b[4] != formatVersion ||
		le.Uint32(b[slotCRC:]) != crc32.Checksum(b[:slotCRC], castagnoli) {
		return ledger{}, errDamaged
	}
	var sum uint64 // stays at maxCount+1 once it is more than maxCount
	points := func(b []byte) int64 {
		n := min(le.Uint64(b), maxCount+1)
		sum = min(sum+n, maxCount+1)
		return int64(n)
	}
	l := ledger{generation: le.Uint64(b[8:]), losses: map[string]int64{}}
	l.totals.appended = points(b[16:])
	l.totals.delivered = points(b[24:])
	l.direct, l.lettersLost = points(b[52:]), points(b[60:])
	l.ever, l.origin = le.Uint64(b[36:]), le.Uint64(b[44:])
	if l.generation > maxCount || l.ever > maxCount || l.origin > maxCount || le.Uint16(b[32:]) > maxRetired {
		return ledger{}, errDamaged
	}
	p := b[slotHeader:slotCRC]
	for range le.Uint16(b[32:]) {
		l.retired = append(l.retired, segmentID{le.Uint64(p), le.Uint64(p[8:]), le.Uint32(p[16:])})
		p = p[retiredBytes:]
	}
	for range le.Uint16(b[34:]) {
		if len(p) < 1 || p[0] > maxReason || len(p) < 9+int(p[0]) {
			return ledger{}, errDamaged
		}
		reason, rest := string(p[1:1+p[0]]), p[1+p[0]:]
		if at := l.totals.loss(reason); at != nil {
			*at = points(rest)
		} else {
			l.losses[reason] = points(rest)
		}
		p = rest[8:]
	}
	if sum > maxCount {
		return ledger{}, errDamaged
	}
	return l, nil
}

// readLedger returns the newer of the two slots. A directory without a ledger,
// or with none that is sound, starts from nothing.
func readLedger(disk looker) (ledger, error) {
	f, err := disk.Open(ledgerName)
	if errors.Is(err, fs.ErrNotExist) {
		return ledger{losses: map[string]int64{}}, nil
	}
	if err != nil {
		return ledger{losses: map[string]int64{}}, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	l, _, err := readSlots(f)
	return l, err
}

// readSlots returns the newer sound slot, and which of the two are sound.
func readSlots(f file) (newest ledger, sound [2]bool, err error) {
	newest.losses = map[string]int64{}
	b := make([]byte, slotBytes)
	for slot := range sound {
		err := readFull(f, b, int64(slot)*slotBytes)
		if err != nil && !errors.Is(err, errDamaged) {
			return newest, sound, err
		}
		l, parseErr := parseLedger(b)
		sound[slot] = err == nil && parseErr == nil
		if sound[slot] && l.generation >= newest.generation {
			newest = l
		}
	}
	return newest, sound, nil
}

// writeLedger writes l over the older slot and makes it durable, with its name.
// The other slot, if the file does not have it yet, is written too, so that it
// takes no space later. slow is held.
func (s *Spool) writeLedger(l *ledger) error {
	if !s.lock.Held() {
		return errLost // another process may have made the directory anew
	}
	f, err := s.disk.Create(ledgerName)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // synced below
	size, err := f.Size()
	if err != nil {
		return err
	}
	b := make([]byte, 2*slotBytes)
	at := int64(l.generation%2) * slotBytes
	l.encode(b[at:][:slotBytes])
	if other := slotBytes - at; size < other+slotBytes {
		// Of the older generation, or it could win over the next write should
		// this one fail: that has the same generation.
		older := *l
		older.generation--
		older.encode(b[other:][:slotBytes])
		at, s.ledgerNamed = 0, false
	} else {
		b = b[at:][:slotBytes]
	}
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	if err := s.sync(f); err != nil || s.ledgerNamed {
		return err
	}
	err = s.syncDir(".")
	s.ledgerNamed = err == nil
	return err
}
