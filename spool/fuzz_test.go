package spool

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// FuzzImage has the fuzzer write programs that build an image, so that it gets
// past the checksums.
func FuzzImage(f *testing.F) {
	for _, program := range seedPrograms() {
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, program []byte) { checkImage(t, runProgram(program)) })
}

// FuzzFiles takes any bytes for a segment, its sidecar and the ledger.
func FuzzFiles(f *testing.F) {
	for _, program := range seedPrograms() {
		x := runProgram(program)
		f.Add(x.segment, x.sidecar, x.ledger)
	}
	f.Fuzz(func(t *testing.T, segment, sidecar, ledger []byte) {
		checkImage(t, contents{segment, sidecar, ledger})
	})
}

func seedPrograms() [][]byte {
	record, small := []byte{insRecord, 'a', 100, 1, 9}, []byte{insRecord, 'b', 0, 0, 3}
	flip := []byte{insFlip, 0, 100, 3}
	seeds := [][]byte{
		nil,
		slices.Concat(record, small, record, []byte{insEnd}),                                        // sealed
		slices.Concat(record, record, record, []byte{insCut, 30}),                                   // torn
		slices.Concat(record, record, record, []byte{insCut, 150}),                                  // header torn
		slices.Concat(record, flip, record, []byte{insEnd}, record),                                 // payload damaged
		slices.Concat(record, record, []byte{insFlip, 0, 165, 3}, record),                           // header damaged
		slices.Concat(record, []byte{insForeign, 10, 3, 1, 2}, record),                              // newer version
		slices.Concat(record, []byte{insForeign, 10, 0, 0, 2}, record),                              // longer header
		slices.Concat(record, []byte{insForeign, 10, 0, 1, 3, insForeign, 0, 0, 1, 4}),              // longest, too long
		slices.Concat(record, record, []byte{insNest, 1, insFlip, 1, 90, 0, insEnd}),                // records in a payload
		slices.Concat(record, small, []byte{insCopy, 0, 200}, record),                               // stale
		slices.Concat(record, record, []byte{insMark, 0, 0, 1, insMark, 1, 0, 2, insMarks, 0, 255}), // acks
		slices.Concat(record, []byte{insMark, 0, 0, 3, insMark, 0, 1, 1, insMark, 0, 0, 1}),
		slices.Concat(record, small, []byte{insMark, 0, 0, 7, 2, insMark, 0, 0, 9, 3, insMark, 0, 0, 8, 6}), // parts
		slices.Concat(record, []byte{insMark, 0, 0, 7, 2, insMark, 0, 0, 8, 3}, record),                     // all of one
		slices.Concat(record, []byte{insMark, 0, 0, 8, 4, insMark, 0, 0, 7, 1, insMark, 0, 0, 8, 3}, record),
		slices.Concat(record, []byte{insMark, 0, 0, 8, 4, insMark, 0, 0, 7, 2, insMark, 0, 0, 2}, record), // what is left
		slices.Concat(record, []byte{insMark, 0, 0, 7, 3, insFlip, 0, 100, 3, insMark, 0, 0, 7, 0}, record),
		slices.Concat(record, []byte{insLedger, 200, 0, insLedger, 9, 1, insLedger, 40, 2}),
		slices.Concat(record, []byte{insLedger, 3, 3, insLedger, 7, 3, insLedger, 255, 4}), // counted as gone
		slices.Concat(record, []byte{insForeign, 10, 3, 1, 2, insLie, 5, 2, 1}),            // and a gap
		slices.Concat(record, []byte{insGarbage, 1, 3, 60}),                                // long headers claimed near the end
		slices.Concat(record, []byte{insGarbage, 0, 3, 255}, record, []byte{insGarbage, 2, 3, 255, insGarbage, 0, 1, 255}, record),
	}
	for field := range byte(lies) {
		for _, odd := range []byte{1, 2, 4, 5, 6} {
			seeds = append(seeds, slices.Concat(record, []byte{insLie, 5, odd, field}, record, small))
		}
	}
	return seeds
}

// FuzzMarks takes any bytes for sidecar entries whose checksums are right:
// each that is read is the one that would be written.
func FuzzMarks(f *testing.F) {
	m := sidecarMark{off: 64, fate: delivered}.encode(1)
	f.Add(uint32(1), slices.Concat(m[:], m[:5]))
	f.Add(uint32(2), bytes.Repeat([]byte{0, 0, 0, 0, 1, 1, 0}, 20))
	f.Add(uint32(3), bytes.Repeat([]byte{1, 1, 2, 1, 9}, 20))
	f.Add(uint32(4), bytes.Repeat([]byte{0, 0, 0, 0, 7, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0, 0, 0, 0}, 5))
	f.Fuzz(func(t *testing.T, salt uint32, b []byte) {
		b = bytes.Clone(b)
		var want, got []byte
		for at := 0; at+markBytes <= len(b); at += markBytes {
			m := b[at : at+markBytes]
			f := fate(m[4])
			ofPart := f >= partDelivered && f <= partCut
			if !ofPart {
				m[6], m[7] = 0, 0
			}
			binary.LittleEndian.PutUint32(m[8:], markCRC(saltCRC(salt), m[:8]))
			if m[5] == formatVersion && (f == delivered || f == expired || f == corrupt || f == dead || ofPart && m[6]|m[7] != 0) {
				want = append(want, m...)
			}
		}
		n := readMarks(b, salt, func(m sidecarMark) {
			b := m.encode(salt)
			got = append(got, b[:]...)
		})
		if !bytes.Equal(got, want) || n != len(b)/markBytes*markBytes {
			t.Fatalf("%x is read as %x, %d bytes", b, got, n)
		}
		readMarks(b, salt+1, func(m sidecarMark) {
			t.Fatalf("%+v is an entry of another segment", m)
		})
	})
}
