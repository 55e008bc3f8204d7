package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// faultFS is a real directory whose faults a test sets. Its fsyncs succeed at
// once, since no test here cuts the power.
type faultFS struct {
	osFS
	mu sync.Mutex // for tests in which Run runs

	writeErr, syncErr, dirErr, createErr, readErr, removeErr error

	room     int64 // bytes that may still be written; counts only if limited
	limited  bool
	free     int64 // what Free answers, if not 0
	syncHook func(name string)
	writes   []string // names written to, in order
}

// set changes faults while Run runs.
func (d *faultFS) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *faultFS) Free() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.free != 0 {
		return d.free, nil
	}
	return 1 << 40, nil
}

func (d *faultFS) SyncDir(string) error { return d.dirErr }

func (d *faultFS) Remove(name string) error {
	if d.removeErr != nil {
		return d.removeErr
	}
	return d.osFS.Remove(name)
}

func (d *faultFS) Open(name string) (file, error) {
	f, err := d.osFS.Open(name)
	return &faultFile{f, d, name}, err
}

func (d *faultFS) Create(name string) (file, error) {
	if d.createErr != nil {
		return nil, d.createErr
	}
	f, err := d.osFS.Create(name)
	return &faultFile{f, d, name}, err
}

type faultFile struct {
	file
	fs   *faultFS
	name string
}

func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.fs.writes = append(f.fs.writes, f.name)
	if f.fs.writeErr != nil {
		return 0, f.fs.writeErr
	}
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	grown := max(0, off+int64(len(b))-size)
	if f.fs.limited && grown > f.fs.room {
		// What fits is written, as a real disk does.
		n, _ := f.file.WriteAt(b[:max(0, int64(len(b))-grown+f.fs.room)], off)
		f.fs.room = 0
		return n, syscall.ENOSPC
	}
	f.fs.room -= grown
	return f.file.WriteAt(b, off)
}

func (f *faultFile) ReadAt(b []byte, off int64) (int, error) {
	if f.fs.readErr != nil && strings.HasSuffix(f.name, segmentSuffix) {
		return 0, f.fs.readErr
	}
	return f.file.ReadAt(b, off)
}

func (f *faultFile) Sync() error {
	if f.fs.syncHook != nil {
		f.fs.syncHook(f.name)
	}
	return f.fs.syncErr
}

// testSpool opens dir over a faultFS.
func testSpool(t testing.TB, dir string, cfg Config) (*Spool, *faultFS) {
	t.Helper()
	d := &faultFS{osFS: osFS(dir)}
	cfg.Dir = dir
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 64 << 20
	}
	s := open(cfg, d)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s, d
}

// named is the whole record of that name.
func named(epoch, seq uint64) ID { return ID{Epoch: epoch, Seq: seq} }

// rec makes record seq of epoch 7, with a payload that tells it from others.
func rec(seq uint64, size int) Record {
	p := bytes.Repeat([]byte{byte(seq)}, max(size, 8))
	binary.LittleEndian.PutUint64(p, seq)
	return Record{ID: named(7, seq), Items: int64(seq%97) + 1, TimeMS: int64(1e12) + int64(seq), Payload: p}
}

func sameRecord(a, b Record) error {
	if a.ID != b.ID || a.Items != b.Items || a.TimeMS != b.TimeMS || !bytes.Equal(a.Payload, b.Payload) {
		return fmt.Errorf("record %d/%d (%d points, %d bytes) is not %d/%d (%d points, %d bytes)",
			a.Epoch, a.Seq, a.Items, len(a.Payload), b.Epoch, b.Seq, b.Items, len(b.Payload))
	}
	return nil
}

// refuse has all points of a record that waits refused, and writes the letter.
func refuse(t fataler, s *Spool, r Record, reason string) {
	t.Helper()
	if !s.Ack(r.ID, r.Items) {
		t.Fatal(fmt.Errorf("record %v does not wait", r.ID))
	}
	s.SetAside(Letter{Of: r.ID, Reason: reason, Record: r})
	must(t, s.bury(true))
}

// letterPath is where the only letter in dir is.
func letterPath(t testing.TB, dir string) string {
	t.Helper()
	found := files(t, filepath.Join(dir, deadDir), "")
	if len(found) != 1 {
		t.Fatalf("letters are %v, want one", found)
	}
	return found[0]
}

// markReplay renames letters, as somebody does who wants them sent again.
func markReplay(t testing.TB, paths ...string) {
	t.Helper()
	for _, path := range paths {
		must(t, os.Rename(path, strings.TrimSuffix(path, letterSuffix)+replaySuffix))
	}
}

// fataler is a testing.TB or a *rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func appendAll(t testing.TB, s *Spool, from, to uint64, size int) {
	t.Helper()
	for seq := from; seq <= to; seq++ {
		must(t, s.Append(rec(seq, size)))
	}
}

// drain acks everything and returns the seqs in order; each record must be
// what rec made of that size.
func drain(t testing.TB, s *Spool, size int) []uint64 {
	t.Helper()
	var seqs []uint64
	for {
		r, err := s.Oldest(0, nil)
		if errors.Is(err, ErrEmpty) {
			return seqs
		}
		must(t, err)
		must(t, sameRecord(r, rec(r.Seq, size)))
		seqs = append(seqs, r.Seq)
		s.Ack(r.ID, 0)
	}
}

func upTo(n uint64) []uint64 {
	seqs := make([]uint64, n)
	for i := range seqs {
		seqs[i] = uint64(i) + 1
	}
	return seqs
}

func points(seqs []uint64) (n int64) {
	for _, seq := range seqs {
		n += rec(seq, 0).Items
	}
	return n
}

// losses returns the losses that are not zero.
func losses(s *Spool) []Loss {
	return slices.DeleteFunc(s.Losses(), func(l Loss) bool { return l.Points == 0 })
}

// balance checks the invariant.
func balance(st Stats) error {
	if sum := st.Delivered + st.Evicted + st.Expired + st.Corrupt + st.Dead + st.Points; sum != st.Appended {
		return fmt.Errorf("appended %d is not %d: %+v", st.Appended, sum, st)
	}
	return nil
}

func checkBalance(t testing.TB, s *Spool) Stats {
	t.Helper()
	st := s.Stats()
	must(t, balance(st))
	return st
}

// files returns the names in dir that end in suffix.
func files(t testing.TB, dir, suffix string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	must(t, err)
	return found
}

// image makes a directory with one segment that holds n records, and returns
// the segment's name and bytes.
func image(t testing.TB, n uint64, size int, closed bool) (string, []byte) {
	t.Helper()
	dir := t.TempDir()
	s, _ := testSpool(t, dir, Config{})
	appendAll(t, s, 1, n, size)
	if closed {
		must(t, s.Close(context.Background()))
	}
	name := files(t, dir, segmentSuffix)[0]
	b, err := os.ReadFile(name)
	must(t, err)
	return filepath.Base(name), b
}

// reopen opens a fresh directory that holds just this segment.
func reopen(t testing.TB, dir, name string, b []byte) *Spool {
	t.Helper()
	for _, old := range files(t, dir, "") {
		must(t, os.RemoveAll(old))
	}
	must(t, os.WriteFile(filepath.Join(dir, name), b, fileMode))
	s, _ := testSpool(t, dir, Config{})
	return s
}
