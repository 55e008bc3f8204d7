package spool

import (
	"bytes"
	"errors"
	"io"
)

// windowBytes is how much of a file is read at once, or more if more is asked for. Several of the longest
// headers fit, so that a search through nothing but claims of long headers
// reads no byte much more often than once.
const windowBytes = 4 << 10

// window reads a file front to back through one small buffer.
type window struct {
	f   file
	off int64 // of b in the file
	b   []byte
	end bool   // of the file, is that of b
	buf []byte // of windowBytes, or what was asked for
}

// peek returns what is at hand from off on, n bytes at least and valid until
// the next call. A file that ends before is errDamaged.
func (w *window) peek(off int64, n int) ([]byte, error) {
	at := off - w.off
	if at < 0 || at+int64(n) > int64(len(w.b)) && !w.end {
		buf, kept := w.buf, 0
		if len(buf) < max(n, windowBytes) {
			buf = make([]byte, max(n, 2*len(buf), windowBytes))
		}
		if at >= 0 && at < int64(len(w.b)) {
			kept = copy(buf, w.b[at:])
		}
		got, err := w.f.ReadAt(buf[kept:], off+int64(kept))
		got += kept
		at, w.off, w.buf, w.b, w.end = 0, off, buf, buf[:got], errors.Is(err, io.EOF)
		if got < n && !w.end {
			return nil, err
		}
	}
	if at+int64(n) > int64(len(w.b)) {
		return nil, errDamaged
	}
	return w.b[at:], nil
}

// header reads and checks the header at off. It returns errDamaged for bytes
// that are none, and other errors when the disk cannot be read.
func (w *window) header(off int64, salt uint32) (header, error) {
	b, err := w.peek(off, headerBytes)
	if err != nil {
		return header{}, err
	}
	if n := headerLen(b); n > len(b) && n <= maxHeaderBytes {
		if b, err = w.peek(off, n); err != nil {
			return header{}, err
		}
	}
	return parseHeader(b, salt)
}

// search returns where the next sound header of the segment starts at or after
// off, or size.
func (w *window) search(off, size int64, salt uint32) (int64, error) {
	for off < size {
		b, err := w.peek(off, len(magic))
		if err == nil {
			i := bytes.Index(b, magic[:])
			if i < 0 {
				// The magic may straddle two reads.
				off += int64(len(b) - len(magic) + 1)
				continue
			}
			off += int64(i)
			if _, err = w.header(off, salt); err == nil {
				return off, nil
			}
		}
		if !errors.Is(err, errDamaged) {
			return off, err
		}
		off++
	}
	return size, nil
}
