package spool

import (
	"bytes"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
)

// FuzzLetter reads back what was written as a dead letter; takes it for damaged
// when any bit of it is flipped, or its end is missing; and reads any bytes
// without much memory.
func FuzzLetter(f *testing.F) {
	f.Add("400 Bad Request", []byte("payload"), uint64(7), uint64(1), uint16(0), int64(1e12), uint32(30), uint32(100))
	f.Add("", []byte{}, uint64(0), uint64(0), uint16(65535), int64(-1), uint32(0), uint32(1<<31))
	h := header{kind: typeData, items: 3, payloadCRC: crc32.Checksum([]byte("inner"), castagnoli), payloadLen: 5}
	f.Add("in a letter", encodeLetter(h, append(make([]byte, headerBytes), "inner"...), "a letter"), uint64(1), uint64(2), uint16(5), int64(3), uint32(4), uint32(5))
	f.Fuzz(func(t *testing.T, reason string, payload []byte, epoch, seq uint64, part uint16, timeMS int64, items, bit uint32) {
		id := ID{epoch, seq, part}
		h := header{
			kind: typeData, ID: id, timeMS: timeMS, items: items,
			payloadLen: uint32(len(payload)), payloadCRC: crc32.Checksum(payload, castagnoli),
		}
		letter := encodeLetter(h, append(make([]byte, headerBytes), payload...), reason)
		name := letterName(timeMS, id)
		read := func(b []byte) (Record, string, error) {
			return readLetter(newRAMFS(map[string][]byte{name: b}), name)
		}
		r, why, err := read(letter)
		want := Record{ID: id, Items: int64(items), TimeMS: timeMS, Payload: payload}
		if err != nil || why != strings.ToValidUTF8(reason[:min(len(reason), maxNote)], "") || sameRecord(r, want) != nil {
			t.Fatalf("written %+v, %q; read %+v, %q, %v", want, reason, r, why, err)
		}
		at := int(bit) % (len(letter) * 8)
		if _, _, err := read(letter[:at/8]); !errors.Is(err, errDamaged) {
			t.Fatalf("cut to %d of %d bytes: %v", at/8, len(letter), err)
		}
		spoiled := bytes.Clone(letter)
		spoiled[at/8] ^= 1 << (at % 8)
		if _, _, err := read(spoiled); !errors.Is(err, errDamaged) {
			t.Fatalf("bit %d of %d flipped: %v", at, len(letter)*8, err)
		}

		for _, other := range []ID{{epoch, seq + 1, part}, {epoch, seq, part + 1}} {
			other := letterName(timeMS, other)
			if _, _, err := readLetter(newRAMFS(map[string][]byte{other: letter}), other); !errors.Is(err, errDamaged) {
				t.Fatalf("under another's name: %v", err)
			}
		}
		if r, ok := parseLetterName(name); !ok || r.ID != id || r.TimeMS != timeMS {
			t.Fatalf("%s is read as %+v, %t", name, r, ok)
		}

		disk := newRAMFS(map[string][]byte{"x": payload})
		cost(t, "a letter", contents{segment: payload}, disk, func() *Spool {
			_, _, _ = readLetter(disk, "x")
			return nil
		})
	})
}
