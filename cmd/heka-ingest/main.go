// Command heka-ingest is the single-machine ingest for heka-insights-agent. It
// receives batches over HTTPS, stores them in one SQLite file and shows them.
// It is meant for first runs, small fleets and tests (docs/ingest.md).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
)

// Set by the linker.
var (
	version = "dev"
	commit  = "unknown"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }

func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, stdio stdio) error
}

// stdio holds the standard streams of a command.
type stdio struct {
	in       *os.File
	out, err io.Writer
}

func commands() []command {
	return []command{
		{"serve", "take batches in over HTTPS and store them", serve},
		{"watch", "show the hosts of a running ingest, updating", watchHosts},
		{"demo", "run an ingest and an agent on this machine and watch them", runDemo},
		{"version", "print version, commit and Go version", printVersion},
	}
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, std stdio) int {
	if len(args) == 0 {
		printUsage(std.err)
		return exitUsage
	}
	switch args[0] {
	case "help", "--help", "-help", "-h":
		if len(args) == 1 {
			printUsage(std.out)
			return exitOK
		}
		args = []string{args[1], "--help"}
	case "--version", "-version", "-v":
		args = append([]string{"version"}, args[1:]...)
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return exitCode(c.run(ctx, args[1:], std), c.name, std.err)
		}
	}
	fmt.Fprintf(std.err, "heka-ingest: unknown command %q\n\n", args[0])
	printUsage(std.err)
	return exitUsage
}

func exitCode(err error, name string, stderr io.Writer) int {
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "heka-ingest %s: %v\n", name, err)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "heka-ingest %s: %v\n", name, err)
		return exitFailure
	}
}

func printUsage(w io.Writer) {
	fmt.Fprint(w, "heka-ingest is the single-machine ingest for heka-insights-agent.\n\nusage: heka-ingest COMMAND [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-9s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nheka-ingest COMMAND --help lists the flags.\n")
}

// parse parses flags and refuses positional arguments.
func parse(flags *flag.FlagSet, args []string, std stdio) error {
	flags.SetOutput(io.Discard) // run prints the error, once
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(std.out, "usage: heka-ingest %s [flags]\n\n", flags.Name())
		flags.SetOutput(std.out)
		flags.PrintDefaults()
		return err
	case err != nil:
		return usageError{err}
	case flags.NArg() > 0:
		return usagef("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

func printVersion(_ context.Context, args []string, std stdio) error {
	if err := parse(flag.NewFlagSet("version", flag.ContinueOnError), args, std); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "heka-ingest %s (commit %s, %s)\n", version, commit, runtime.Version())
	return nil
}
