package spool

import (
	"os"
	"path/filepath"
)

// What tests in package spool_test have to see beyond what is exported.

// Waiting returns the seq of each record that waits.
func (s *Spool) Waiting() (seqs []uint64) {
	s.WaitingParts(func(seq uint64, _ []PartFate) { seqs = append(seqs, seq) })
	return seqs
}

// WaitingParts calls see with the seq of each record that waits, and what became
// of each of its points.
func (s *Spool) WaitingParts(see func(seq uint64, points []PartFate)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segs {
		for i, e := range seg.entries {
			if e.fate == pending {
				see(e.seq, fatesOf(Record{Items: int64(e.items), Marks: seg.marks(i)}))
			}
		}
	}
}

// Settle gives those points of a part a fate that have none.
func Settle(points []PartFate, m Mark) { settle(points, m) }

// ReadSegments returns the seqs in each segment of a directory.
func ReadSegments(dir string) (all [][]uint64, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	for _, name := range names {
		id, _, _ := parseName(filepath.Base(name))
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		seg := &segment{segmentID: id}
		err = seg.load(osFile{f})
		_ = f.Close()
		if err != nil {
			return nil, err
		}
		var seqs []uint64
		for _, e := range seg.entries {
			seqs = append(seqs, e.seq)
		}
		all = append(all, seqs)
	}
	return all, err
}
