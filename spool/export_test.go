package spool

import (
	"os"
	"path/filepath"
)

// What tests in package spool_test have to see beyond what is exported.

// Waiting returns the seq of each record that waits.
func (s *Spool) Waiting() (seqs []uint64) {
	s.WaitingNotes(func(seq uint64, _ []byte) { seqs = append(seqs, seq) })
	return seqs
}

// WaitingNotes calls see with the seq of each record that waits, and its note.
func (s *Spool) WaitingNotes(see func(seq uint64, note []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segs {
		for _, e := range seg.entries {
			if e.fate == pending {
				see(e.seq, seg.notes[e.off])
			}
		}
	}
}

// Bury writes what letters have gathered.
func (s *Spool) Bury() error { return s.bury(true) }

// LetterEntries returns the entries of the letters in a directory.
func LetterEntries(dir string) (letters []Letter, err error) {
	names, _ := osFS(dir).List(deadDir)
	for _, path := range letterPaths(names) {
		_, err := readLetter(osFS(dir), path, func(e letterEntry) error {
			letters = append(letters, e.Letter)
			return nil
		})
		if err != nil {
			return letters, err
		}
	}
	return letters, nil
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
