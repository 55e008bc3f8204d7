package spool

import (
	"os"
	"path/filepath"
)

// Waiting returns the seq of each record that waits, for tests that see only
// what is exported.
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

// Writers returns the epochs of the records in each segment of a directory.
func Writers(dir string) (all [][]uint64, err error) {
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
		var epochs []uint64
		for _, e := range seg.entries {
			epochs = append(epochs, e.epoch)
		}
		all = append(all, epochs)
	}
	return all, err
}
