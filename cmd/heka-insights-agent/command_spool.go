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

// spoolCommands returns the commands of the group spool. All except replay and
// purge only read: they take no lock and change nothing.
func spoolCommands() []command {
	const ids, letters = "[BATCH_ID…]", "[LETTER|BATCH_ID…]"
	return []command{
		{name: "ls", args: "[--all|--summary]", summary: "list the waiting batches, one per line", setup: setupSpoolLs},
		{name: "verify", summary: "read every byte and report damage", setup: setupSpoolVerify},
		{name: "cat", args: ids, operands: true, summary: "print batches as JSON, one per line, oldest first", setup: setupSpoolCat},
		{name: "export", args: "DIR " + ids, operands: true, summary: "write batches to files as they would be sent", setup: setupSpoolExport},
		{name: "dead", summary: "list the dead letters: points that the backend permanently refused", setup: setupSpoolDead},
		{name: "replay", args: letters + "|--all", operands: true, summary: "send dead letters again", setup: setupSpoolReplay},
		{name: "purge", args: "--dead " + letters + "|--quarantine|--waiting", operands: true, summary: "remove dead letters, quarantined segments or the backlog", setup: setupSpoolPurge},
	}
}

// spoolFlags holds the flags that all commands of the group have.
type spoolFlags struct{ dir, format *string }

func declareSpoolFlags(flags *flag.FlagSet) spoolFlags {
	return spoolFlags{
		dir:    flags.String("dir", "", "the spool's `directory`, instead of HEKA_SPOOL_DIR"),
		format: flags.String("format", "auto", "`format` of the output: json (one object per line), table, or auto for a table on a terminal"),
	}
}

// inspection is the state of one command that inspects the spool.
type inspection struct {
	query  spool.Query
	rows   *rows
	stderr io.Writer
}

// open evaluates the flags.
func (f spoolFlags) open(envFile string, stdout, stderr io.Writer, shape ...column) (*inspection, error) {
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
	return &inspection{query: spool.Query{Dir: spool.Locate(dir)}, rows: newRows(stdout, *f.format, shape), stderr: stderr}, nil
}

// inspect reports what the spool holds to see, and flushes the output.
func (l *inspection) inspect(ctx context.Context, see func(spool.Finding) error) (spool.Summary, error) {
	sum, err := spool.Inspect(ctx, l.query, see)
	if flushErr := l.rows.flush(); err == nil {
		err = flushErr // if err is set, flushErr is the same error or a later one
	}
	return sum, l.explain(err)
}

// explain adds advice to an error.
func (l *inspection) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no spool in %s: the agent creates it at its first start; if it is elsewhere, use --dir, or --env-file with the agent's environment", l.query.Dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run it as root or as the agent's user", err)
	}
	return err
}

// say prints one line to the operator on stderr.
func (l *inspection) say(format string, args ...any) {
	_ = l.rows.flush() // keeps the order of stdout and stderr; the next flush returns the error too
	fmt.Fprintf(l.stderr, format+"\n", args...)
}

// where returns the location of a finding.
func where(f *spool.Finding) string {
	if f.Length == 0 && f.Offset == 0 {
		return f.File
	}
	return fmt.Sprintf("%s, %d bytes at offset %d", f.File, f.Length, f.Offset)
}

// describe returns a sentence about a finding.
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
		lost = "; unknown number of points"
	}
	return fmt.Sprintf("%s: %s%s (%s)", what, f.Problem, lost, where(f))
}

// between names the batches next to the damage.
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
	return "without an intact neighbour"
}

// batchKey identifies a batch in a spool.
type batchKey spool.ID

func (k batchKey) String() string { return metric.BatchID(k.Epoch, k.Seq) }

func keyOf(f *spool.Finding) batchKey { return batchKey(f.Record.ID) }

// parseKeys parses batch ids. The value of each key is false until the batch is
// found.
func parseKeys(args []string) (map[batchKey]bool, error) {
	keys := map[batchKey]bool{}
	for _, arg := range args {
		key, ok := parseKey(strings.ToLower(arg))
		if !ok {
			return nil, usageErrorf("%q is no batch id: want 32 hex digits, as spool ls prints them", arg)
		}
		keys[key] = false
	}
	return keys, nil
}

// parseKey accepts exactly what batchKey.String returns.
func parseKey(id string) (key batchKey, ok bool) {
	if len(id) != 32 {
		return key, false
	}
	var okEpoch, okSeq bool
	key.Epoch, okEpoch = metric.ParseEpoch(id[:16])
	key.Seq, okSeq = metric.ParseEpoch(id[16:])
	return key, okEpoch && okSeq && key.String() == id
}
