package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameRequest is how long after the first signal further ones are the same
// request: a supervisor signals the process and then its group, a terminal that
// closes signals through the shell and by itself.
const sameRequest = 2 * time.Second

// untilSignal returns a context that ends with the first SIGINT or SIGTERM, or
// SIGHUP where [hangupEnds]. One that comes sameRequest or more after it ends the
// process at once with exit code 1, whatever is still going on. stop gives the
// signals back and ends the goroutine that waits for them.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	hangup := hangupEnds()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go obey(signals, hangup, cancel, func() { os.Exit(exitFailure) })
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel()
	}
}

// obey calls end at the first signal, and abort at one that comes later than the
// same request would. It returns when signals is closed.
func obey(signals <-chan os.Signal, hangup bool, end, abort func()) {
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

// hangupEnds reports whether SIGHUP says that a person has gone: there is a
// controlling terminal, and nohup did not ask to survive it. Call it before
// anything takes the signal, and early: a terminal that has hung up is none.
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

// onHangup calls do at each SIGHUP, until stop has returned.
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
