package spool

import (
	"errors"
	"fmt"
	"io"
)

// salvageBlock is how much is given up where the disk gives nothing.
const salvageBlock = 4 << 10

// salvage reads a file as it was when it was opened, around what the disk does
// not give: such blocks read as zeros, which no checksum takes for data. Each
// is tried once.
type salvage struct {
	file
	stop func() error // ends a read that is not worth its time any more
	size int64
	bad  map[int64]error // by number of the block
}

func newSalvage(f file, stop func() error) (*salvage, error) {
	size, err := f.Size()
	return &salvage{file: f, stop: stop, size: size, bad: map[int64]error{}}, err
}

// Size returns the size that the file had.
func (s *salvage) Size() (int64, error) { return s.size, nil }

// ReadAt fails only at the end of the file, or when the context ends.
func (s *salvage) ReadAt(b []byte, off int64) (int, error) {
	want := len(b)
	b = b[:min(int64(want), max(s.size-off, 0))]
	n := 0
	for n < len(b) {
		if err := s.stop(); err != nil {
			return n, err
		}
		m, err := s.readSome(b[n:], off+int64(n))
		n += m
		if errors.Is(err, io.EOF) {
			return n, err // cut meanwhile
		}
	}
	if n < want {
		return n, io.EOF
	}
	return n, nil
}

// readSome reads all of b, or a block of it at most once anything went wrong.
func (s *salvage) readSome(b []byte, off int64) (int, error) {
	if len(s.bad) == 0 {
		if n, err := s.file.ReadAt(b, off); n == len(b) || errors.Is(err, io.EOF) {
			return n, err
		}
	}
	block := off / salvageBlock
	b = b[:min(int64(len(b)), (block+1)*salvageBlock-off)]
	err := s.bad[block]
	if err == nil {
		var n int
		if n, err = s.file.ReadAt(b, off); n == len(b) || errors.Is(err, io.EOF) {
			return n, err
		}
		s.bad[block] = err
	}
	clear(b)
	return len(b), nil
}

// fault returns the first error met within a stretch of the file.
func (s *salvage) fault(off, length int64) error {
	for block := off / salvageBlock; len(s.bad) > 0 && block*salvageBlock < off+length; block++ {
		if err := s.bad[block]; err != nil {
			return fmt.Errorf("cannot be read at offset %d: %w", max(off, block*salvageBlock), err)
		}
	}
	return nil
}

// explain says what is wrong with a stretch: what, unless the disk did not even
// give it.
func (s *salvage) explain(what string, off, length int64) string {
	if err := s.fault(off, length); err != nil {
		return err.Error()
	}
	return what
}
