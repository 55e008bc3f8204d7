package spool

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// FuzzLetter reads back what was written as a letter; loses one entry when any
// bit of it is flipped, and what is behind it when its end is missing; and reads
// any bytes without much memory.
func FuzzLetter(f *testing.F) {
	f.Add("400 Bad Request", []byte("payload"), uint64(7), uint64(1), uint32(7), int64(1e12), uint32(30), uint32(100))
	f.Add("", []byte{}, uint64(0), uint64(0), uint32(0), int64(-1), uint32(0), uint32(1<<31))
	f.Add("in a letter", encodeLetters([]Letter{{named(1, 2), "a letter", rec(3, 8)}}, 3), uint64(1), uint64(2), uint32(3), int64(3), uint32(4), uint32(5))
	f.Fuzz(func(t *testing.T, reason string, payload []byte, epoch, seq uint64, salt uint32, timeMS int64, items, bit uint32) {
		reason = strings.ToValidUTF8(reason[:min(len(reason), maxReasonBytes)], "")
		letters := []Letter{
			{named(epoch, 1), reason, Record{ID: named(epoch, seq), Items: int64(items), TimeMS: timeMS, Payload: payload}},
			{named(epoch, 2), "second", rec(2, 50)},
		}
		b := encodeLetters(letters, salt)
		name := letterID{5, uint64(int64(items) + rec(2, 0).Items), salt}.name()
		read := func(b []byte) (got []Letter, damaged bool) {
			damaged, err := readLetter(newRAMFS(map[string][]byte{name: b}), name, func(e letterEntry) error {
				got = append(got, e.Letter)
				return nil
			})
			must(t, err)
			return got, damaged
		}
		same := func(a, b Letter) bool {
			return a.Of == b.Of && a.Reason == b.Reason && sameRecord(a.Record, b.Record) == nil
		}
		got, damaged := read(b)
		if damaged || !slices.EqualFunc(got, letters, same) {
			t.Fatalf("written %+v, read %+v, %t", letters, got, damaged)
		}
		at := int(bit) % (len(b) * 8)
		second := len(b) - int(letters[1].bytes())
		got, damaged = read(b[:at/8])
		if whole := at/8 >= second; len(got) > 1 || whole != (len(got) == 1) && !damaged {
			t.Fatalf("cut to %d of %d bytes: %+v, %t", at/8, len(b), got, damaged)
		}
		spoiled := bytes.Clone(b)
		spoiled[at/8] ^= 1 << (at % 8)
		want := letters[:1]
		if at/8 < second {
			want = letters[1:]
		}
		if got, damaged = read(spoiled); items > 0 && !damaged || !bytes.Contains(payload, magic[:]) && !slices.EqualFunc(got, want, same) {
			t.Fatalf("bit %d of %d flipped: %+v, %t", at, len(b)*8, got, damaged)
		}

		other := letterID{5, uint64(items), salt + 1}.name()
		if got, _ := read(nil); len(got) != 0 {
			t.Fatalf("an empty file: %+v", got)
		}
		_, _ = readLetter(newRAMFS(map[string][]byte{other: b}), other, func(e letterEntry) error {
			if !bytes.Contains(payload, magic[:]) {
				t.Fatalf("under another's name: %+v", e)
			}
			return nil
		})
		if id, ok := parseLetterName(name); !ok || id.name() != name {
			t.Fatalf("%s is read as %+v, %t", name, id, ok)
		}

		disk := newRAMFS(map[string][]byte{"x": payload})
		cost(t, "a letter", contents{segment: payload}, disk, func() *Spool {
			_, _ = readLetter(disk, "x", func(letterEntry) error { return nil })
			return nil
		})
	})
}
