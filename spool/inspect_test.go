package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// everything asks for all there is.
func everything(dir string) Query {
	return Query{Dir: dir, Segments: true, Letters: true, Quarantine: true, Payloads: true}
}

// inspected is what one Inspect showed; payloads are gone.
type inspected struct {
	Summary
	findings []Finding
}

// inspectDir inspects a directory that nobody owns, through disk if that is
// not nil, and checks what must hold whatever the directory is like.
func inspectDir(t testing.TB, dir string, disk looker, owner ownership) inspected {
	t.Helper()
	if disk == nil {
		disk = lookFS(dir)
	}
	var in inspected
	var err error
	in.Summary, err = inspect(background, everything(dir), disk, owner, func(f Finding) error {
		if f.Found == FoundRecord && f.Problem == "" && f.Record.Payload == nil {
			t.Errorf("a sound record without its payload: %+v", f)
		}
		f.Record.Payload = nil
		in.findings = append(in.findings, f)
		return nil
	})
	must(t, err)
	if sum := in.Delivered + in.Evicted + in.Expired + in.Corrupt + in.Dead + in.Points; sum != in.Appended {
		t.Errorf("appended %d is not %d: %+v", in.Appended, sum, in.Summary)
	}
	return in
}

func (in *inspected) waiting() (seqs []uint64) {
	for _, f := range in.findings {
		if f.Found == FoundRecord && f.State == StateWaiting {
			seqs = append(seqs, f.Record.Seq)
		}
	}
	return seqs
}

// only returns the one finding that is not sound, but for a ledger that is not
// there.
func (in *inspected) only(t testing.TB) Finding {
	t.Helper()
	var bad []Finding
	for _, f := range in.findings {
		if f.Severity != Sound && (f.Found != FoundLedger || f.Length > 0) {
			bad = append(bad, f)
		}
	}
	if len(bad) != 1 {
		t.Fatalf("%d faults, want 1: %+v", len(bad), bad)
	}
	return bad[0]
}

// agrees holds Inspect against what opening the same directory and reading it
// to its end finds.
func agrees(t testing.TB, dir, name string, b []byte, size int, what string) inspected {
	t.Helper()
	for _, old := range files(t, dir, "") {
		must(t, os.RemoveAll(old))
	}
	must(t, os.WriteFile(filepath.Join(dir, name), b, fileMode))
	in := inspectDir(t, dir, nil, ownerNone)
	s := reopen(t, dir, name, b)
	defer s.Close(background)
	got := drain(t, s, size)
	st := checkBalance(t, s)
	if !slices.Equal(in.waiting(), got) {
		t.Fatalf("%s: shows %v as waiting, the spool gives %v", what, in.waiting(), got)
	}
	if in.Corrupt != st.Corrupt || in.Lost != st.Corrupt || in.Appended != st.Appended || in.Points != st.Delivered {
		t.Fatalf("%s: %+v, the spool says %+v", what, in.Summary, st)
	}
	return in
}

// TestInspectEveryBit flips each bit of a sealed segment in turn: each is
// damage, and costs what opening the spool counts.
func TestInspectEveryBit(t *testing.T) {
	const n, size = 3, 20
	name, sound := image(t, n, size, true)
	dir := t.TempDir()
	for bit := range len(sound) * 8 {
		b := slices.Clone(sound)
		b[bit/8] ^= 1 << (bit % 8)
		if in := agrees(t, dir, name, b, size, fmt.Sprintf("bit %d", bit)); in.Damages != 1 {
			t.Fatalf("bit %d: %d damages", bit, in.Damages)
		}
	}
}

// TestInspectEveryTruncation cuts a segment at each length.
func TestInspectEveryTruncation(t *testing.T) {
	const n, size = 3, 20
	name, sound := image(t, n, size, false)
	dir := t.TempDir()
	for length := range len(sound) + 1 {
		agrees(t, dir, name, sound[:length], size, fmt.Sprintf("cut at %d", length))
	}
}

// TestInspectNamesDamage says which records a gap cost, and between which.
func TestInspectNamesDamage(t *testing.T) {
	const n, size = 9, 300
	name, b := image(t, n, size, true)
	clear(b[3*(headerBytes+size)+5 : 5*(headerBytes+size)+9])
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, name), b, fileMode))
	in := inspectDir(t, dir, nil, ownerNone)
	f := in.only(t)
	if f.Found != FoundGap || f.Severity != Damage || f.After.Seq != 3 || f.Before.Seq != 7 ||
		f.Lost != points([]uint64{4, 5, 6}) || !f.LostKnown || f.File != name ||
		f.Offset != 3*(headerBytes+size) || f.Length != 3*(headerBytes+size) ||
		f.After.TimeMS != rec(3, 0).TimeMS || f.Before.TimeMS != rec(7, 0).TimeMS {
		t.Errorf("the gap is %+v", f)
	}
	if in.Scanned != 6 || in.Records != 6 || in.OldestMS != rec(1, 0).TimeMS || in.NewestMS != rec(9, 0).TimeMS {
		t.Errorf("summary %+v", in.Summary)
	}
}

// TestInspectTail judges what a crash leaves at the end of a segment, and what
// a live spool may be writing.
func TestInspectTail(t *testing.T) {
	const size = 100
	name, sound := image(t, 2, size, false)
	rot := slices.Clone(sound)
	rot[headerBytes+size+offSeq] ^= 1
	for _, c := range []struct {
		what     string
		b        []byte
		owner    ownership
		severity Severity
		lost     int64
		known    bool
	}{
		{"payload cut", sound[:len(sound)-1], ownerNone, Damage, rec(2, 0).Items, true},
		{"payload cut, nobody knows", sound[:len(sound)-1], ownerUnknown, Damage, rec(2, 0).Items, true},
		{"payload cut, owned", sound[:len(sound)-1], ownerLives, Notice, 0, true},
		{"header cut", sound[:headerBytes+size+30], ownerNone, Notice, 0, true},
		{"zeros", append(slices.Clone(sound[:headerBytes+size]), make([]byte, 4096)...), ownerNone, Notice, 0, true},
		{"header rotten", rot, ownerNone, Damage, 0, false},
		{"header rotten, owned", rot, ownerLives, Notice, 0, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, name), c.b, fileMode))
			in := inspectDir(t, dir, nil, c.owner)
			var tail []Finding
			for _, f := range in.findings {
				if f.Found == FoundGap || f.Found == FoundTorn {
					tail = append(tail, f)
				}
			}
			if len(tail) != 1 || tail[0].Severity != c.severity || tail[0].Lost != c.lost || tail[0].LostKnown != c.known || in.Corrupt != c.lost {
				t.Errorf("found %+v, corrupt %d", tail, in.Corrupt)
			}
		})
	}
}

// TestInspectFlippedAside flips each bit of a sidecar, a ledger and a letter:
// each is damage, and never costs a record or a point.
func TestInspectFlippedAside(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 4, 20)
	s.Ack(named(7, 2), 0)
	refuse(t, s, rec(3, 20), "why")
	s.Note(named(7, 4), []byte("a note"))
	s.Lose("queue_full", 5)
	must(t, s.Close(background))
	sound := inspectDir(t, dir, nil, ownerNone)
	if sound.Damages+sound.Notices != 0 {
		t.Fatalf("a sound spool: %+v", sound.findings)
	}
	for what, found := range map[string]Found{"*" + sidecarSuffix: FoundSidecar, ledgerName: FoundLedger, "dead/*": FoundLetter} {
		paths, err := filepath.Glob(filepath.Join(dir, what))
		must(t, err)
		b, err := os.ReadFile(paths[0])
		must(t, err)
		for bit := 0; bit < len(b)*8; bit += 1 + len(b)/128 {
			flipped := slices.Clone(b)
			flipped[bit/8] ^= 1 << (bit % 8)
			must(t, os.WriteFile(paths[0], flipped, fileMode))
			in := inspectDir(t, dir, nil, ownerNone)
			if length := len(b) - 18 + 6; found == FoundSidecar && bit/8-length <= 1 && bit/8 >= length && in.Damages == 0 {
				continue // the last entry, of 18 bytes, seems to be cut short
			}
			if f := in.only(t); f.Found != found || f.Severity != Damage || f.Lost != 0 || in.Scanned != 4 {
				t.Fatalf("%s, bit %d: %+v", what, bit, f)
			}
		}
		must(t, os.WriteFile(paths[0], b, fileMode))
	}
}

// TestInspectQuarantine shows damage that was set aside as no news.
func TestInspectQuarantine(t *testing.T) {
	name, b := image(t, 3, 50, true)
	b[headerBytes+3] ^= 1
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, quarantineDir), dirMode))
	must(t, os.WriteFile(filepath.Join(dir, quarantineDir, name), b, fileMode))
	in := inspectDir(t, dir, nil, ownerNone)
	if len(in.findings) != 4 || in.Notices != 2 || in.Damages != 0 || in.Quarantined != 1 || in.Appended != 0 {
		t.Fatalf("found %+v: %+v", in.findings, in.Summary)
	}
	file, f := in.findings[0], in.findings[1]
	if file.Found != FoundSegment || file.Length != int64(len(b)) || file.File != f.File ||
		f.Severity != Notice || f.Lost != rec(1, 0).Items || f.File != quarantineDir+"/"+name || in.findings[3].State != StateQuarantined {
		t.Errorf("found %+v", in.findings)
	}
}

// TestInspectForeign leaves records of a newer version to that version.
func TestInspectForeign(t *testing.T) {
	const size = 40
	name, b := image(t, 3, size, true)
	h := b[headerBytes+size:][:headerBytes]
	h[offVersion] = formatVersion + 1
	binary.LittleEndian.PutUint32(h[offHeaderCRC:], crc32.Checksum(h[:offHeaderCRC], castagnoli))
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, name), b, fileMode))
	in := inspectDir(t, dir, nil, ownerNone)
	var foreign []Finding
	for _, f := range in.findings {
		if f.Found == FoundForeign {
			foreign = append(foreign, f)
		}
	}
	if len(foreign) != 1 || foreign[0].Severity != Notice || !strings.Contains(foreign[0].Problem, "version 3") || in.Foreign != 1 || in.Damages != 0 {
		t.Errorf("found %+v: %+v", foreign, in.Summary)
	}
}

// TestInspectStops at once when its caller has seen enough.
func TestInspectStops(t *testing.T) {
	dir := damagedSpool(t)
	enough := errors.New("enough")
	seen := 0
	_, err := Inspect(background, everything(dir), func(Finding) error { seen++; return enough })
	if !errors.Is(err, enough) || seen != 1 {
		t.Errorf("%d findings, error %v", seen, err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := Inspect(ctx, everything(dir), func(Finding) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

// FuzzInspect looks at any bytes in every file: it neither panics nor
// miscounts.
func FuzzInspect(f *testing.F) {
	name, sound := image(f, 3, 20, true)
	id, _, _ := parseName(name)
	entry := mark{off: 0, fate: delivered, dead: 2}.append(nil, id.salt)
	l := ledger{generation: 1, losses: map[string]int64{"queue_full": 1}}
	slots := make([]byte, slotBytes)
	l.encode(slots)
	letterID := letterID{timeMS: 1, points: 4, salt: 9}
	letterFile := letterID.name()
	f.Add(sound, entry, append(slots, slots...), encodeLetters([]Letter{{named(1, 2), "why", rec(3, 8)}}, letterID.salt))
	f.Add(sound[:90], entry[:7], slots[:100], []byte("x"))
	dir := f.TempDir()
	for _, sub := range []string{deadDir, quarantineDir} {
		must(f, os.Mkdir(filepath.Join(dir, sub), dirMode))
	}
	f.Fuzz(func(t *testing.T, seg, ack, led, dead []byte) {
		for path, b := range map[string][]byte{
			name: seg, id.sidecar(): ack, ledgerName: led,
			deadDir + "/" + letterFile: dead, quarantineDir + "/" + name: bytes.Clone(seg),
		} {
			must(t, os.WriteFile(filepath.Join(dir, path), b, fileMode))
		}
		in := inspectDir(t, dir, nil, ownerNone)
		var lost int64
		for _, found := range in.findings {
			if found.Severity == Damage {
				lost += found.Lost
			}
		}
		if lost != in.Lost {
			t.Errorf("%d points lost, %d shown", in.Lost, lost)
		}
	})
}
