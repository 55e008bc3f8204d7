package demo

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// pollReader reads a terminal without blocking for long, so that its reader can
// be joined.
type pollReader struct {
	ctx context.Context // an io.Reader has no other way to receive it
	fd  int
}

// pollMS is the longest time, in ms, until the end of ctx is noticed.
const pollMS = 200

func (r *pollReader) Read(p []byte) (int, error) {
	for r.ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, pollMS)
		switch {
		case errors.Is(err, unix.EINTR), err == nil && n == 0:
			continue
		case err != nil:
			return 0, err
		}
		n, err = unix.Read(r.fd, p)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
	return 0, r.ctx.Err()
}
