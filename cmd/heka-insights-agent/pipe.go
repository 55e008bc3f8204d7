package main

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
)

// untilReaderLeaves returns a context that ends when a write to stdout finds
// nobody left to read it, as in `heka-insights-agent | head`; without that the
// console would be retried for ever. What is no pipe is returned as it is, so
// that a terminal is still known for one.
func untilReaderLeaves(parent context.Context, stdout io.Writer) (context.Context, context.CancelFunc, io.Writer) {
	ctx, cancel := context.WithCancel(parent)
	file, ok := stdout.(*os.File)
	if !ok {
		return ctx, cancel, stdout
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return ctx, cancel, stdout
	}
	return ctx, cancel, pipe{file, cancel}
}

type pipe struct {
	io.Writer
	left context.CancelFunc
}

func (p pipe) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		p.left()
	}
	return n, err
}
