package main

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
)

// untilReaderLeaves returns a context that ends when the reader of stdout has
// gone, as in `heka-insights-agent | head`. Otherwise the console exporter
// would retry forever. A stdout that is not a pipe is returned unchanged, so
// that a terminal is still recognised.
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
