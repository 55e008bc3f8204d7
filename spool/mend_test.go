package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestPurge gives up what waits, and nothing that is anybody else's.
func TestPurge(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{MaxBytes: 64 << 10})
	appendAll(t, s, 1, 20, 2000)
	s.Ack(named(7, 4), 0)
	if _, _, err := Purge(background, dir); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), "stop the agent first") {
		t.Errorf("beside a live spool: %v", err)
	}
	if st := checkBalance(t, s); st.Records != 19 {
		t.Fatalf("%d records wait, want 19", st.Records)
	}
	must(t, s.Close(background))
	records, gone, err := Purge(background, dir)
	must(t, err)
	want := points(upTo(20)) - rec(4, 0).Items
	if records != 19 || gone != want {
		t.Errorf("%d records with %d points, want 19 with %d", records, gone, want)
	}
	if left := files(t, dir, segmentSuffix); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
	s, _ = testSpool(t, dir, Config{})
	if st := checkBalance(t, s); st.Evicted != want || st.Delivered != rec(4, 0).Items || st.Records != 0 {
		t.Errorf("afterwards %+v", st)
	}
	must(t, s.Close(background))
	if records, gone, err := Purge(background, dir); records != 0 || gone != 0 || err != nil {
		t.Errorf("again: %d, %d, %v", records, gone, err)
	}
	missing := filepath.Join(dir, "missing")
	if _, _, err := Purge(background, missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("the directory was made")
	}
}

// TestPurgeBrokenDisk removes nothing that it could not count.
func TestPurgeBrokenDisk(t *testing.T) {
	dir := t.TempDir()
	s, d := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 3, 100)
	must(t, s.Close(background))
	d.writeErr = syscall.EIO
	if _, _, err := purge(background, dir, d); !errors.Is(err, syscall.EIO) {
		t.Errorf("with a disk that takes no writes: %v", err)
	}
	d.writeErr = nil
	s, _ = testSpool(t, dir, Config{})
	if got := drain(t, s, 100); !slices.Equal(got, upTo(3)) {
		t.Errorf("read %v", got)
	}
}

// TestPurgeOfAnotherUser leaves alone a directory that its agent could no
// longer write to afterwards.
func TestPurgeOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	dir := t.TempDir()
	must(t, os.Chown(dir, 12345, 12345))
	if _, _, err := Purge(background, dir); err == nil || !strings.Contains(err.Error(), "12345") {
		t.Errorf("of another user: %v", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("made %v (%v)", names, err)
	}
}

// TestReplayLetters has the spool append letters again, and discards others.
func TestReplayLetters(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 4, 100)
	for _, seq := range upTo(3) {
		refuse(t, s, rec(seq, 100), "refused")
	}
	in := inspectDir(t, dir, nil, ownerLives)
	var letters []string
	for _, f := range in.findings {
		if f.Found == FoundLetter {
			letters = append(letters, f.File)
		}
	}
	if len(letters) != 3 || in.LetterPoints != points(upTo(3)) || in.Dead != points(upTo(3)) {
		t.Fatalf("letters %v: %+v", letters, in.Summary)
	}
	if done, err := Discard(dir, letters[:1]); done != 1 || err != nil {
		t.Errorf("discarded %d: %v", done, err)
	}
	if done, err := Replay(dir, letters); done != 2 || err != nil {
		t.Errorf("marked %d to be sent again: %v", done, err)
	}
	if done, err := Replay(dir, letters); done != 0 || err != nil {
		t.Errorf("again: %d, %v", done, err)
	}
	for _, name := range files(t, filepath.Join(dir, deadDir), replaySuffix) {
		if done, err := Discard(dir, []string{deadDir + "/" + filepath.Base(name)}); done != 0 || err != nil {
			t.Errorf("discarded what is to be sent again: %v", err)
		}
	}
	if in := inspectDir(t, dir, nil, ownerLives); in.Replays != 2 {
		t.Errorf("%d to be sent again, want 2", in.Replays)
	}
	s.tick()
	if got := len(files(t, filepath.Join(dir, deadDir), "")); got != 0 {
		t.Errorf("%d letters left", got)
	}
	if st := checkBalance(t, s); st.Records != 3 || st.Dead != points(upTo(3)) {
		t.Errorf("afterwards %+v", st)
	}
}

// TestMendRefuses touches no file but letters and quarantine.
func TestMendRefuses(t *testing.T) {
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, 1, 10)
	must(t, s.Close(background))
	segment := filepath.Base(files(t, dir, segmentSuffix)[0])
	letter := letterID{1, 2, 3}.name()
	for _, name := range []string{segment, ledgerName, "../" + letter, "dead/../" + segment, letter, "dead/x.dead", "quarantine/" + letter, "dead/" + segment} {
		if _, err := Discard(dir, []string{name}); err == nil {
			t.Errorf("Discard took %s", name)
		}
	}
	if done, err := Replay(dir, []string{letter}); done != 0 || err == nil {
		t.Errorf("Replay took %s", letter)
	}
	if _, err := os.Stat(filepath.Join(dir, segment)); err != nil {
		t.Error(err)
	}
}
