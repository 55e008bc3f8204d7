package spool

import (
	"slices"
	"testing"
)

// TestARecordThatIsThereTwice settles parts of the one that Oldest returned,
// whether they are delivered or dead: a crash can leave a record in two segments.
func TestARecordThatIsThereTwice(t *testing.T) {
	s, _ := testSpool(t, t.TempDir(), Config{})
	r := batchOf(1, 8)
	for range 2 {
		must(t, s.Append(r))
		s.mu.Lock()
		s.seal()
		s.mu.Unlock()
	}
	for range 2 {
		s.Mark(r.ID, Mark{2, PartDelivered})
		must(t, s.SetAsidePart(r.ID, Piece{6, []byte("bad")}, "400"))
		got, err := s.Oldest()
		must(t, err)
		if want := []Mark{{2, PartDelivered}, {6, PartDead}}; !slices.Equal(got.Marks, want) {
			t.Errorf("the oldest has the marks %v, want %v", got.Marks, want)
		}
		s.Ack(r.ID)
	}
	wantFigures(t, s, "acked both", "0 wait in 0: 12 delivered, 4 dead, 0 evicted, 0 expired, 0 corrupt of 16")
}
