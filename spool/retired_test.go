package spool

import (
	"syscall"
	"testing"
)

// TestARetiredSegmentHoldsNoMemory drains a disk that takes neither a sidecar
// nor a removal: what is only to be removed keeps nothing for its sidecar.
func TestARetiredSegmentHoldsNoMemory(t *testing.T) {
	s, d := testSpool(t, t.TempDir(), Config{})
	for seq := range uint64(100) {
		must(t, s.Append(rec(seq, 10)))
	}
	must(t, s.Sync(background))
	s.mu.Lock()
	s.seal()
	s.mu.Unlock()
	d.createErr, d.removeErr = syscall.EROFS, syscall.EROFS
	for seq := range uint64(100) {
		s.Ack(named(7, seq), 0)
	}
	if n := len(s.retired); n != 1 {
		t.Fatalf("%d segments are retired, want 1", n)
	}
	if seg := s.retired[0]; cap(seg.unmarked)+cap(seg.entries)+cap(seg.copies) != 0 {
		t.Errorf("a retired segment keeps %d bytes for its sidecar, %d entries and %d copies",
			cap(seg.unmarked), cap(seg.entries), cap(seg.copies))
	}
}
