// The program heka-insights-agent reads its host's metrics and ships them. This
// package holds the commands, flags, signals and exit codes. Everything else is
// in package agent.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
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
	// setup declares the command's flags and returns its action. flags.Args()
	// holds the positional arguments, if operands says that the command takes
	// any.
	setup    func(flags *flag.FlagSet) action
	operands bool
	// group holds the subcommands, if the command is only their common name.
	group []command
}

// action runs a command. envFile is "" unless --env-file was given.
type action func(ctx context.Context, envFile string, stdout, stderr io.Writer) error

// commands returns the table of commands. The first one is the default.
func commands() []command {
	return []command{
		{name: "run", summary: "run the agent until SIGINT or SIGTERM (the default)", setup: setupRun},
		{name: "once", args: "[--format json|prometheus]", summary: "print one batch to stdout, ship nothing", setup: setupOnce},
		{name: "check", args: "[--connect] [--all]", summary: "validate the configuration and print it resolved", setup: setupCheck},
		{name: "config", args: "[--format env|markdown]", summary: "list every variable, its type, default and meaning", setup: setupConfig},
		{name: "spool", args: "ls|verify|cat|export|…", summary: "inspect and repair the spool, also while the agent runs", group: spoolCommands()},
		{name: "version", summary: "print version, commit and Go version", setup: setupVersion},
	}
}

func main() {
	// If the reader of a pipe goes away, only that write fails; the agent goes
	// on.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := untilSignal(context.Background())
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs the program without exiting the process. It selects the command and
// returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	table := commands()
	switch {
	case len(args) > 0 && slices.Contains([]string{"--version", "-version", "-v"}, args[0]):
		args = append([]string{"version"}, args[1:]...)
	case len(args) > 0 && args[0] == "help":
		args = append(slices.Clone(args[1:]), "--help") // help check: check --help
	}
	if len(args) == 0 || !isWord(args[0]) && (len(args) > 1 || !isHelp(args[0])) {
		return execute(ctx, &table[0], args, stdout, stderr)
	}
	return pick(ctx, "", table, args, stdout, stderr)
}

// pick runs the command of table that args begin with. within is the name of
// the group that the table belongs to, followed by a space.
func pick(ctx context.Context, within string, table []command, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || !isWord(args[0]) {
		if len(args) > 0 && isHelp(args[0]) {
			usage(stdout, within, table)
			return exitOK
		}
		fmt.Fprintf(stderr, "%s %s: which command?\n\n", program, strings.TrimSpace(within))
		usage(stderr, within, table)
		return exitUsage
	}
	cmd := find(table, args[0])
	switch {
	case cmd == nil:
		hint := ""
		if nearest := agent.Nearest(args[0], names(table)); nearest != "" {
			hint = fmt.Sprintf("; did you mean %q?", within+nearest)
		}
		fmt.Fprintf(stderr, "%s: unknown command %q%s\n\n", program, within+args[0], hint)
		usage(stderr, within, table)
		return exitUsage
	case cmd.group != nil:
		return pick(ctx, within+cmd.name+" ", cmd.group, args[1:], stdout, stderr)
	}
	cmd.name = within + cmd.name
	return execute(ctx, cmd, args[1:], stdout, stderr)
}

func isWord(arg string) bool { return arg != "" && arg[0] != '-' }

func isHelp(arg string) bool { return arg == "--help" || arg == "-help" || arg == "-h" }

func execute(ctx context.Context, cmd *command, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	envFile := flags.String("env-file", "", "dotenv `file` to read; real environment variables win over it")
	do := cmd.setup(flags)
	err := parse(flags, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		commandUsage(stdout, cmd, flags)
		return exitOK
	case err == nil && flags.NArg() > 0 && !cmd.operands:
		err = usageErrorf("unexpected argument %q; a command comes first, its flags after it", flags.Arg(0))
	case err != nil:
		err = usageErrorf("%w", err)
	default:
		err = do(ctx, *envFile, stdout, stderr)
	}
	return exitCode(err, cmd, flags, stderr)
}

// parse parses flags in any position. flags.Args() then holds the positional
// arguments.
func parse(flags *flag.FlagSet, args []string) error {
	operands := []string{"--"}
	for {
		if err := flags.Parse(args); err != nil {
			return err
		}
		if flags.NArg() == 0 {
			return flags.Parse(operands)
		}
		operands = append(operands, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// exitCode reports err, if any, and returns the exit code.
func exitCode(err error, cmd *command, flags *flag.FlagSet, stderr io.Writer) int {
	var bad *usageError
	var config *agent.ConfigError
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE):
		// The reader of stdout has seen enough.
		return exitOK
	case errors.As(err, &bad):
		fmt.Fprintf(stderr, "%s %s: %v\n\n", program, cmd.name, bad)
		commandUsage(stderr, cmd, flags)
		return exitUsage
	case errors.As(err, &config):
		for _, p := range config.Problems {
			if strings.HasPrefix(p.Variable, "--") {
				fmt.Fprintf(stderr, "%s: ", program)
			}
			fmt.Fprintln(stderr, p)
		}
		verdict(stderr, cmd, len(config.Problems))
		return exitUsage
	default:
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		verdict(stderr, cmd, 1)
		return exitFailure
	}
}

// verdict prints the last line of check after a failure.
func verdict(stderr io.Writer, cmd *command, problems int) {
	switch {
	case cmd.name != "check":
	case problems == 1:
		fmt.Fprintln(stderr, "1 problem")
	default:
		fmt.Fprintf(stderr, "%d problems\n", problems)
	}
}

// usageError is an invalid command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

func usageErrorf(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}
