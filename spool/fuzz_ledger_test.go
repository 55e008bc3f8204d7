package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

// encodeSlot encodes a ledger.
func encodeSlot(l ledger) []byte {
	b := make([]byte, slotBytes)
	l.encode(b)
	return b
}

// resealSlot makes a slot of any bytes that only its contents can spoil.
func resealSlot(b []byte) []byte {
	b = append(bytes.Clone(b), make([]byte, slotBytes)...)[:slotBytes]
	copy(b, ledgerMagic[:])
	b[4] = formatVersion
	binary.LittleEndian.PutUint32(b[slotCRC:], crc32.Checksum(b[:slotCRC], castagnoli))
	return b
}

func manyReasons(n, length int) map[string]int64 {
	losses := map[string]int64{}
	for i := range n {
		losses[strings.Repeat(string(rune('a'+i%26)), length-i/26)] = int64(i) + 1
	}
	return losses
}

// FuzzLedger takes any bytes for the contents of a slot whose checksum is
// right. What is not refused can be counted on and written again.
func FuzzLedger(f *testing.F) {
	f.Add(encodeSlot(ledger{}))
	f.Add(encodeSlot(ledger{generation: 3, totals: tally{appended: 10, delivered: 4, evicted: 3, expired: 2, corrupt: 1}, losses: manyReasons(9, 20), direct: 7, lettersLost: 5}))
	f.Add(encodeSlot(ledger{generation: 2, losses: manyReasons(120, maxReason), retired: make([]segmentID, maxRetired)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseLedger(resealSlot(b))
		if err != nil {
			return
		}
		sum := l.totals.appended + l.totals.delivered + l.direct + l.lettersLost
		l.totals.losses(func(_ string, n int64) { sum += n })
		for reason, n := range l.losses {
			if n < 0 || len(reason) > maxReason {
				t.Fatalf("%d points lost for %q", n, reason)
			}
			sum += n
		}
		if sum < 0 || min(l.totals.appended, l.totals.delivered, l.totals.corrupt, l.totals.evicted, l.totals.expired, l.totals.dead, l.direct, l.lettersLost) < 0 {
			t.Fatalf("counts are negative or wrap: %+v", l)
		}
		once := encodeSlot(l)
		again, err := parseLedger(once)
		must(t, err)
		if again.generation != l.generation || again.totals != l.totals || !slices.Equal(again.retired, l.retired) ||
			totalLoss(again.losses) != totalLoss(l.losses) || again.direct != l.direct || again.lettersLost != l.lettersLost {
			t.Fatalf("written and read again,\n%+v is\n%+v", l, again)
		}
		if !bytes.Equal(encodeSlot(again), once) {
			t.Fatal("written twice, a ledger differs from itself")
		}
	})
}

func totalLoss(losses map[string]int64) (n int64) {
	for points := range maps.Values(losses) {
		n += points
	}
	return n
}

// TestLedgerBounds refuses slots that no spool writes, however sound their
// checksum: their counts would wrap, their names not fit when written again.
func TestLedgerBounds(t *testing.T) {
	le := binary.LittleEndian
	// Where the first reason's name and points are.
	const name, count = slotHeader, slotHeader + 1 + len(reasonCorrupt)
	for what, spoil := range map[string]func(b []byte){
		"negative total":     func(b []byte) { le.PutUint64(b[16:], 1<<63) },
		"negative delivered": func(b []byte) { le.PutUint64(b[24:], math.MaxUint64) },
		"negative loss":      func(b []byte) { le.PutUint64(b[count:], math.MaxUint64) },
		"sum wraps":          func(b []byte) { le.PutUint64(b[16:], 1<<62); le.PutUint64(b[24:], 1<<62) },
		"negative direct":    func(b []byte) { le.PutUint64(b[52:], math.MaxUint64) },
		"negative letters":   func(b []byte) { le.PutUint64(b[60:], 1<<63) },
		"last generation":    func(b []byte) { le.PutUint64(b[8:], math.MaxUint64) },
		"retired too many":   func(b []byte) { le.PutUint16(b[32:], maxRetired+1) },
		"reasons too many":   func(b []byte) { le.PutUint16(b[34:], math.MaxUint16) },
		"name too long": func(b []byte) {
			clear(b[name:])
			le.PutUint16(b[34:], 1)
			b[name] = maxReason + 1
		},
	} {
		b := encodeSlot(ledger{generation: 1, totals: tally{appended: 5, delivered: 5}})
		if _, err := parseLedger(resealSlot(b)); err != nil {
			t.Fatal(err)
		}
		spoil(b)
		if l, err := parseLedger(resealSlot(b)); err == nil {
			t.Errorf("%s: read as %+v", what, l)
		}
	}
}
