package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutant is a mistake that somebody could make in this package.
type mutant struct {
	name, file, old, new string
}

// mutants are what TestCrash must notice. Each old text occurs once in its file.
var mutants = []mutant{
	{"no mistake", "doc.go", "package spool\n", "package spool\n\n"},
	{
		"the directory is not synced after a segment was made", "settle.go",
		"\t\tdirErr = s.syncDir(\".\")\n", "",
	},
	{
		"Append in always mode returns before its fsync", "write.go",
		"\tif s.cfg.Fsync == FsyncAlways {\n\t\treturn s.commit(r)\n\t}\n", "",
	},
	{
		"copies are forgotten before the fsync", "settle.go",
		"\t\tif t.err = s.sync(t.f); t.err == nil {\n",
		"\t\ts.mu.Lock()\n\t\tt.seg.covered, t.seg.copies = len(t.seg.entries), nil\n\t\ts.mu.Unlock()\n\t\tif t.err = s.sync(t.f); t.err == nil {\n",
	},
	{
		"a failed fsync is believed the next time", "settle.go",
		"\t\t\ts.giveUp(t.seg)\n", "",
	},
	{
		"what a failed write left is not cut off", "write.go",
		"\t\t_ = seg.f.Truncate(seg.size)\n\t\treturn err\n",
		"\t\treturn err\n",
	},
	{
		"records of other segments pass", "record.go",
		" || le.Uint32(b[offSalt:]) != salt", "",
	},
	{
		"marks of other segments pass", "sidecar.go",
		"binary.LittleEndian.PutUint32(s[:], salt)", "binary.LittleEndian.PutUint32(s[:], salt*0)",
	},
	{
		"headers are not checked", "record.go",
		" ||\n\t\tle.Uint32(b[n-4:]) != crc32.Checksum(b[:n-4], castagnoli)", "",
	},
	{
		"payloads are not checked", "read.go",
		" ||\n\t\th.payloadCRC != crc32.Checksum(b[headerBytes:], castagnoli)", " || crc32.Size == 0",
	},
	{
		"the ledger is written after the unlink", "settle.go",
		"\tif err := s.writeLedger(&l); err != nil {\n",
		"\tif err := s.remove(gone); err != nil {\n\t\treturn false, err\n\t}\n\tif err := s.writeLedger(&l); err != nil {\n",
	},
	{
		"the ledger is not synced", "ledger.go",
		"\tif err := s.sync(f); err != nil || s.ledgerNamed {\n", "\tif s.ledgerNamed {\n",
	},
	{
		"the ledger is always written to one slot", "ledger.go",
		"\tat := int64(l.generation%2) * slotBytes\n", "\tat := int64(0)\n",
	},
	{
		"the ledger does not name what it retires", "settle.go",
		"\t\tl.retired = append(l.retired, seg.segmentID)\n", "",
	},
	{
		"a dead letter is not synced", "dead.go",
		"\t\terr = s.sync(f)\n", "",
	},
	{
		"the name of a dead letter is not synced", "dead.go",
		"errors.Join(s.syncDir(deadDir), s.syncDir(\".\"))", "s.syncDir(\".\")",
	},
	{
		"the directory of the dead letters is not synced", "dead.go",
		"errors.Join(s.syncDir(deadDir), s.syncDir(\".\"))", "s.syncDir(deadDir)",
	},
	{
		"a letter is written before its record is settled", "dead.go",
		"\t\tif waits[g.Of] {\n", "\t\tif waits[g.Of] && s.closed {\n",
	},
	{
		"a letter is written before sidecars are synced", "dead.go",
		"\t\terr = errors.Join(err, s.sync(seg.acks))\n", "\t\t_ = seg\n",
	},
	{
		"a letter is written before the ledger knows what Refuse counted", "dead.go",
		"\tif s.ledger.direct != s.saved.direct ||", "\tif",
	},
	{
		"what Refuse counted is missed after a crash", "stats.go",
		"s.totals().appended - s.ledger.direct\n", "s.totals().appended\n",
	},
	{
		"a replayed letter is removed before its records are durable", "replay.go",
		"\tif err := s.settle(); err != nil {\n\t\treturn err\n\t}\n", "",
	},
	{
		"a note is not written", "read.go",
		"\t\ts.writeMark(seg, mark{off: off, note: note})\n", "",
	},
	{
		"a note is not written again with its record", "settle.go",
		"\t\t\ts.note(s.active, len(s.active.entries)-1, seg.notes[e.off])\n", "",
	},
	{
		"the first note counts", "scan.go",
		"\tcase m.fate == pending:\n", "\tcase m.fate == pending && seg.notes[m.off] != nil:\n\tcase m.fate == pending:\n",
	},
	{
		"dead points are not written", "read.go",
		", dead: seg.dead[e.off]}", "}",
	},
	{
		"dead points count as delivered too", "stats.go",
		"\t\tt.delivered += points - dead\n", "\t\tt.delivered += points\n",
	},
	{
		"a void draft is adopted", "open.go",
		"\t\tif seg.isVoid(segs) {\n", "\t\tif seg.isVoid(nil) {\n",
	},
	{
		"a draft is void whatever comes after it", "draft.go",
		" && e.seq >= first.seq", "",
	},
	{
		"a draft is removed before its record is durable", "draft.go",
		"\treturn s.settle()\n}\n\n// discard has", "\ts.slow.Lock()\n\tdefer s.slow.Unlock()\n\treturn s.sweep()\n}\n\n// discard has",
	},
	{
		"a draft is not synced in always mode", "draft.go",
		"\tif s.cfg.Fsync == FsyncAlways {\n\t\treturn s.settle()\n\t}\n", "",
	},
	{
		"what a killed process left is not synced", "open.go",
		"\tif err := s.syncAfterCrash(names, segs[max(0, len(segs)-maxUnsynced):]); err != nil {\n\t\treturn err\n\t}\n", "",
	},
}

// TestMutants compiles the package with each mistake and has TestCrash find it.
func TestMutants(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	work := make(chan mutant, len(mutants))
	for _, m := range mutants {
		work <- m
	}
	close(work)
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for m := range work {
				t.Run(m.name, m.test)
			}
		})
	}
}

func (m mutant) test(t *testing.T) {
	overlay := m.write(t)
	cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-vet=off", "-count=1", "-run", "^TestCrash$", "-images", "8000", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	found := err != nil && bytes.Contains(out, []byte(": oracle: "))
	if m.name == mutants[0].name {
		if err != nil {
			t.Errorf("the code as it is:\n%s", out)
		}
	} else if !found {
		t.Errorf("TestCrash does not see it:\n%s", out)
	}
	if found {
		_, what, _ := strings.Cut(string(out), ": oracle: ")
		t.Log(what[:strings.IndexByte(what, '\n')])
	}
}

// write writes the changed file and the overlay that puts it in place.
func (m mutant) write(t *testing.T) string {
	src, err := filepath.Abs(m.file)
	must(t, err)
	b, err := os.ReadFile(src)
	must(t, err)
	if n := strings.Count(string(b), m.old); n != 1 {
		t.Fatalf("%s has %d times\n%s", m.file, n, m.old)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(changed, []byte(strings.Replace(string(b), m.old, m.new, 1)), fileMode))
	j, err := json.Marshal(map[string]any{"Replace": map[string]string{src: changed}})
	must(t, err)
	must(t, os.WriteFile(overlay, j, fileMode))
	return overlay
}
