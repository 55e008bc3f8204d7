package spool

import (
	"bytes"
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
		slices.Concat(record, small, []byte{insMark, 0, 0, 1, 2, insMark, 1, 0, 1, 6}),                               // dead points
		slices.Concat(record, small, []byte{insMark, 0, 0, 0, 9, 3, insMark, 1, 0, 0, 8, 4, insMark, 1, 0, 0, 7, 0}), // notes
		slices.Concat(record, small, []byte{insMark, 0, 0, 0, 9, 2, insMarks, 2, 20, insMark, 1, 0, 0, 7, 2}),        // and damage between
		slices.Concat(record, small, []byte{insMark, 0, 0, 0, 9, 3, insMark, 0, 0, 1, 0, insMark, 0, 0, 0, 1, 1}),
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

// FuzzSidecar reads back entries that were written, whatever bytes are before,
// between and after them, and takes none of another segment's. Any bytes cost
// little memory and are read once.
func FuzzSidecar(f *testing.F) {
	entry := mark{off: 64, fate: pending, note: []byte("note")}.append(nil, 1)
	f.Add(uint32(1), uint32(64), uint32(0), []byte("note"), entry)
	f.Add(uint32(1), uint32(0), uint32(5), []byte(nil), entry[:7])
	f.Add(uint32(2), uint32(1), uint32(0), bytes.Repeat([]byte{formatVersion}, 5000), []byte{0, 0, 0, 0, 0, formatVersion, 255, 255, 1})
	f.Add(uint32(2), uint32(1), uint32(9), mark{off: 5, fate: expired}.append(nil, 2), bytes.Repeat([]byte{0, 0, 0, 0, 1, formatVersion, 16, 0}, 100))
	f.Fuzz(func(t *testing.T, salt, off, dead uint32, note, noise []byte) {
		note = note[:min(len(note), maxNote)]
		written := []mark{{off: off, fate: pending, note: note}, {off: off + 1, fate: delivered, dead: dead}, {off: off + 2, fate: corrupt}}
		var b []byte
		for _, m := range written {
			b = m.append(append(b, noise...), salt)
		}
		end := int64(len(b))
		b = append(b, noise...)
		var got []mark
		disk := newRAMFS(map[string][]byte{"x": b})
		read := func(salt uint32, show func(mark)) int64 {
			file, err := disk.Open("x")
			must(t, err)
			at, err := readSidecar(file, salt, show, func(off, length int64) {
				if off < 0 || length <= 0 || off+length > int64(len(b)) {
					t.Fatalf("%d bytes at %d of %d are a gap", length, off, len(b))
				}
			})
			must(t, err)
			return at
		}
		var last int64
		cost(t, "a sidecar", contents{sidecar: b}, disk, func() *Spool {
			last = read(salt, func(m mark) { m.note = bytes.Clone(m.note); got = append(got, m) })
			return nil
		})
		if vain := int64(len(b)) * maxVain; last < end && vain > 1<<20 {
			return // such noise that the reader gave up
		}
		next := 0
		for _, m := range got {
			if next < len(written) && m.off == written[next].off && m.fate == written[next].fate && m.dead == written[next].dead && bytes.Equal(m.note, written[next].note) {
				next++
			}
		}
		if next < len(written) && !bytes.Contains(noise, []byte{formatVersion}) {
			t.Fatalf("read %+v of %+v between %x", got, written, noise)
		}
		read(salt+1, func(m mark) {
			if !bytes.Contains(noise, []byte{formatVersion}) && !bytes.Contains(note, []byte{formatVersion}) {
				t.Fatalf("%+v is an entry of another segment", m)
			}
		})
	})
}
