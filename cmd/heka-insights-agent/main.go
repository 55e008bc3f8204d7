// The program heka-insights-agent reads its host's metrics and ships them. This
// package is the process edge: commands, flags, signals and exit codes. All
// else is in package agent.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/heka-insights/heka-insights-agent/agent"
)

const program = "heka-insights-agent"

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// command is one row of the table of commands.
type command struct {
	name, args, summary string
	// setup declares the command's flags and returns what it does.
	setup func(flags *flag.FlagSet) action
}

// action does a command's work. envFile is "" unless --env-file was given.
type action func(ctx context.Context, envFile string, stdout, stderr io.Writer) error

// commands returns the table; the first row is what runs without a name.
func commands() []command {
	return []command{
		{"run", "", "run the agent until SIGINT or SIGTERM (the default)", setupRun},
		{"once", "[--format json|prometheus]", "print one batch to stdout, ship nothing", setupOnce},
		{"check", "[--connect]", "validate the configuration and print it resolved", setupCheck},
		{"config", "[--format env|markdown]", "list every variable, its type, default and meaning", setupConfig},
		{"version", "", "print version, commit and Go version", setupVersion},
	}
}

func main() {
	// A reader that goes away is an error of one write, not the end of the agent.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := untilSignal(context.Background())
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process: it picks the command and turns its outcome
// into an exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	table := commands()
	cmd := &table[0]
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		if cmd = find(table, args[0]); cmd == nil {
			fmt.Fprintf(stderr, "%s: unknown command %q; did you mean %q?\n\n", program, args[0], agent.Nearest(args[0], names(table)))
			usage(stderr, table)
			return exitUsage
		}
		args = args[1:]
	} else if len(args) == 1 && (args[0] == "--help" || args[0] == "-help" || args[0] == "-h") {
		usage(stdout, table)
		return exitOK
	}
	return execute(ctx, cmd, args, stdout, stderr)
}

func execute(ctx context.Context, cmd *command, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	envFile := flags.String("env-file", "", "dotenv `file` to read; real environment variables win over it")
	do := cmd.setup(flags)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		commandUsage(stdout, cmd, flags)
		return exitOK
	case err == nil && flags.NArg() > 0:
		err = usageErrorf("unexpected argument %q; a command comes first, its flags after it", flags.Arg(0))
	case err != nil:
		err = usageErrorf("%w", err)
	default:
		err = do(ctx, *envFile, stdout, stderr)
	}
	return exitCode(err, cmd, flags, stderr)
}

// exitCode reports err, if there is one, and says how the process ends.
func exitCode(err error, cmd *command, flags *flag.FlagSet, stderr io.Writer) int {
	var bad *usageError
	var config *agent.ConfigError
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE):
		// Whoever read stdout has seen enough.
		return exitOK
	case errors.As(err, &bad):
		fmt.Fprintf(stderr, "%s %s: %v\n\n", program, cmd.name, bad)
		commandUsage(stderr, cmd, flags)
		return exitUsage
	case errors.As(err, &config):
		fmt.Fprintln(stderr, config)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return exitFailure
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

func usageErrorf(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}
