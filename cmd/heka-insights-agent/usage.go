package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
)

const exitCodes = "Exit code: 0 done, 1 failed or damage found, 2 bad usage or configuration"

func find(table []command, name string) *command {
	i := slices.IndexFunc(table, func(c command) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return &table[i]
}

func names(table []command) []string {
	list := make([]string, len(table))
	for i, c := range table {
		list[i] = c.name
	}
	return list
}

// usage describes the program, or a group of its commands.
func usage(w io.Writer, within string, table []command) {
	word := "[command]"
	if within != "" {
		word = within + "COMMAND"
	}
	fmt.Fprintf(w, "usage: %s %s [--env-file PATH] [flags]\n\n", program, word)
	for _, c := range table {
		fmt.Fprintf(w, "  %-8s %-31s %s\n", c.name, c.args, c.summary)
	}
	if within == "" {
		fmt.Fprintf(w, "\nIt is configured by environment variables: %s config\n", program)
	}
	fmt.Fprintf(w, "\nFlags of a command: %s %sCOMMAND --help\n%s\n", program, within, exitCodes)
}

// commandUsage describes one command with its flags.
func commandUsage(w io.Writer, cmd *command, flags *flag.FlagSet) {
	args := ""
	if cmd.operands {
		args = cmd.args + " "
	}
	fmt.Fprintf(w, "usage: %s %s %s[flags]\n%s\n\n", program, cmd.name, args, cmd.summary)
	flags.SetOutput(w)
	flags.PrintDefaults()
	fmt.Fprintf(w, "\n%s\n", exitCodes)
}

// oneOf returns an error if text, the value of a flag, is not in allowed.
func oneOf(name, text string, allowed []string) error {
	if slices.Contains(allowed, text) {
		return nil
	}
	return usageErrorf("invalid value %q for flag --%s: use one of %q", text, name, allowed)
}
