package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/heka-insights/heka-insights-agent/agent"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// spoolCommands returns the commands of the group spool. All but the last two
// only read: they take no lock and change nothing.
func spoolCommands() []command {
	const ids, letters = "[BATCH_ID…]", "[LETTER|BATCH_ID…]"
	return []command{
		{name: "ls", args: "[--all|--summary]", summary: "list the batches that wait, a line each", setup: setupSpoolLs},
		{name: "verify", summary: "read every byte and say what is damaged", setup: setupSpoolVerify},
		{name: "cat", args: ids, operands: true, summary: "print batches as JSON, a line each, oldest first", setup: setupSpoolCat},
		{name: "export", args: "DIR " + ids, operands: true, summary: "write batches to files as they would be sent", setup: setupSpoolExport},
		{name: "dead", summary: "list the dead letters: points that the backend refused for good", setup: setupSpoolDead},
		{name: "replay", args: letters + "|--all", operands: true, summary: "have dead letters sent again", setup: setupSpoolReplay},
		{name: "purge", args: "--dead " + letters + "|--quarantine|--waiting", operands: true, summary: "remove what is not wanted any more", setup: setupSpoolPurge},
	}
}

// spoolFlags are those that every command of the group has.
type spoolFlags struct{ dir, format *string }

func declareSpoolFlags(flags *flag.FlagSet) spoolFlags {
	return spoolFlags{
		dir:    flags.String("dir", "", "the spool's `directory`, instead of HEKA_SPOOL_DIR"),
		format: flags.String("format", "auto", "`format` of the output: json (an object a line), table, or auto for a table on a terminal"),
	}
}

// look is one command's look into the spool.
type look struct {
	query  spool.Query
	rows   *rows
	stderr io.Writer
}

// open resolves the flags.
func (f spoolFlags) open(envFile string, stdout, stderr io.Writer, shape ...column) (*look, error) {
	if err := oneOf("format", *f.format, []string{"auto", "json", "table"}); err != nil {
		return nil, err
	}
	dir := *f.dir
	if dir == "" {
		var err error
		if dir, err = agent.SpoolDir(envFile); err != nil {
			return nil, err
		}
	}
	return &look{query: spool.Query{Dir: spool.Locate(dir)}, rows: newRows(stdout, *f.format, shape), stderr: stderr}, nil
}

// inspect shows what there is, and makes sure that all of it is written.
func (l *look) inspect(ctx context.Context, see func(spool.Finding) error) (spool.Summary, error) {
	sum, err := spool.Inspect(ctx, l.query, see)
	if flushErr := l.rows.flush(); err == nil {
		err = flushErr // else it is the same error, or a later one
	}
	return sum, l.explain(err)
}

// explain adds to an error what to do about it.
func (l *look) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no spool in %s: it is made with the agent's first start; if it is elsewhere, use --dir, or --env-file with the agent's environment", l.query.Dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run it as root or as the agent's user", err)
	}
	return err
}

// say prints one line for the operator.
func (l *look) say(format string, args ...any) {
	_ = l.rows.flush() // in order with what is on stdout; an error comes again
	fmt.Fprintf(l.stderr, format+"\n", args...)
}

// where says where a finding is.
func where(f *spool.Finding) string {
	if f.Length == 0 && f.Offset == 0 {
		return f.File
	}
	return fmt.Sprintf("%s, %d bytes at offset %d", f.File, f.Length, f.Offset)
}

// describe says in words what is wrong with what.
func describe(f *spool.Finding) string {
	what := f.Found.String()
	switch f.Found {
	case spool.FoundRecord, spool.FoundTorn:
		what = "batch " + keyOf(f).String() + " of " + cmp.Or(timeText(f.Record.TimeMS), "no time")
	case spool.FoundGap:
		what = "batches " + between(f)
	case spool.FoundForeign:
		what = "a record " + between(f)
	case spool.FoundLetter, spool.FoundSidecar, spool.FoundLedger, spool.FoundFile, spool.FoundSegment:
	}
	lost := ""
	switch {
	case f.Lost > 0:
		lost = fmt.Sprintf("; %d points", f.Lost)
	case !f.LostKnown:
		lost = "; nothing says how many points"
	}
	return fmt.Sprintf("%s: %s%s (%s)", what, f.Problem, lost, where(f))
}

// between names the neighbours of damage.
func between(f *spool.Finding) string {
	id := func(n *spool.Neighbour) string {
		return batchKey(n.ID).String() + " of " + cmp.Or(timeText(n.TimeMS), "no time")
	}
	switch {
	case f.After != nil && f.Before != nil:
		return "between " + id(f.After) + " and " + id(f.Before)
	case f.After != nil:
		return "after " + id(f.After)
	case f.Before != nil:
		return "before " + id(f.Before)
	}
	return "without a sound one beside them"
}

// batchKey is the id of a batch, as a spool has it.
type batchKey spool.ID

func (k batchKey) String() string { return metric.BatchID(k.Epoch, k.Seq) }

func keyOf(f *spool.Finding) batchKey { return batchKey(f.Record.ID) }

// parseKeys reads batch ids; false is the value of each until it was found.
func parseKeys(args []string) (map[batchKey]bool, error) {
	keys := map[batchKey]bool{}
	for _, arg := range args {
		key, ok := parseKey(strings.ToLower(arg))
		if !ok {
			return nil, usageErrorf("%q is no batch id: 32 hex digits, as spool ls prints them", arg)
		}
		keys[key] = false
	}
	return keys, nil
}

// parseKey reads what batchKey.String makes, and nothing else.
func parseKey(id string) (key batchKey, ok bool) {
	if len(id) != 32 {
		return key, false
	}
	var okEpoch, okSeq bool
	key.Epoch, okEpoch = metric.ParseEpoch(id[:16])
	key.Seq, okSeq = metric.ParseEpoch(id[16:])
	return key, okEpoch && okSeq && key.String() == id
}
