package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameRequest is the time after the first signal in which further signals count
// as the same request. A supervisor signals the process and then its group; a
// closing terminal signals through the shell and by itself.
const sameRequest = 2 * time.Second

// untilSignal returns a context that ends with the first SIGINT or SIGTERM, or
// with SIGHUP if [hangupEnds]. A signal that comes sameRequest or more after
// the first ends the process at once with exit code 1. stop stops the handling
// of signals and ends its goroutine.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	hangup := hangupEnds()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go handle(signals, hangup, cancel, func() { os.Exit(exitFailure) })
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel()
	}
}

// handle calls end at the first signal, and abort at a signal that comes
// sameRequest or more after it. It returns when signals is closed.
func handle(signals <-chan os.Signal, hangup bool, end, abort func()) {
	var first time.Time
	for sig := range signals {
		switch {
		case sig == syscall.SIGHUP && !hangup: // see onHangup
		case first.IsZero():
			first = time.Now()
			end()
		case time.Since(first) >= sameRequest:
			abort()
		}
	}
}

// hangupEnds reports whether SIGHUP means that the user has gone: the process
// has a controlling terminal, and was not started with nohup. Call it before
// anything handles SIGHUP, and early, because a terminal that has hung up
// cannot be opened.
func hangupEnds() bool {
	if signal.Ignored(syscall.SIGHUP) {
		return false
	}
	terminal, err := os.OpenFile("/dev/tty", os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	_ = terminal.Close()
	return true
}

// onHangup calls do at each SIGHUP until stop returns.
func onHangup(do func()) (stop func()) {
	signals, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		defer close(ended)
		for range signals {
			do()
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-ended
	}
}
