package spool

import (
	"os"
	"path/filepath"
)

// What tests in package spool_test have to see beyond what is exported.

// Waiting returns the seq of each record that waits.
func (s *Spool) Waiting() (seqs []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segs {
		for _, e := range seg.entries {
			if e.fate == pending {
				seqs = append(seqs, e.seq)
			}
		}
	}
	return seqs
}

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
