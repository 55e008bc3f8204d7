package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"path"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// letterLine is a dead letter.
type letterLine struct {
	BatchID string `json:"batch_id"`
	Points  int64  `json:"points"`
	Bytes   int64  `json:"bytes"`
	TimeMS  int64  `json:"time_ms"`
	Time    string `json:"time"`
	Reason  string `json:"reason"`
	State   string `json:"state"`
	File    string `json:"file"`
}

func letterColumns() []column {
	return []column{{"BATCH", 32}, {"TIME", 24}, {"POINTS", -7}, {"BYTES", -8}, {"STATE", 7}, {"REASON", 0}}
}

func (l *look) letter(f *spool.Finding) error {
	line := letterLine{
		BatchID: keyOf(f).String(), Points: f.Record.Items, Bytes: f.PayloadBytes, TimeMS: f.Record.TimeMS,
		Time: timeText(f.Record.TimeMS), Reason: f.Reason, State: f.State.String(), File: f.File,
	}
	return l.rows.row(line, line.BatchID, line.Time, line.Points, line.Bytes, line.State, line.Reason)
}

func setupSpoolDead(flags *flag.FlagSet) action {
	common := declareSpoolFlags(flags)
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		l, err := common.open(envFile, stdout, stderr, letterColumns()...)
		if err != nil {
			return err
		}
		_, err = l.letters(ctx, nil)
		return err
	}
}

// letters lists dead letters, those of keys or all, and returns the files of
// those that are not to be sent again yet. What is damaged or not found is
// said, and an error beside what was found.
func (l *look) letters(ctx context.Context, keys map[batchKey]bool) (files []string, err error) {
	l.query.Letters = true
	var missed error
	_, err = l.inspect(ctx, func(f spool.Finding) error {
		_, asked := keys[keyOf(&f)]
		switch {
		case f.Found == spool.FoundLedger || len(keys) > 0 && !asked:
			return nil
		case f.Severity == spool.Damage:
			l.say("skipped: %s", describe(&f))
			missed = errors.New("damage found among the dead batches")
			return nil
		case asked:
			keys[keyOf(&f)] = true
		}
		if f.State == spool.StateDead {
			files = append(files, f.File)
		}
		return l.letter(&f)
	})
	for key, found := range keys {
		if !found {
			l.say("batch %s is not among the dead ones", key)
			missed = errors.New("not all of these batches can be had")
		}
	}
	if err == nil {
		err = missed
	}
	return files, err
}

func setupSpoolReplay(flags *flag.FlagSet) action {
	common := declareSpoolFlags(flags)
	all := flags.Bool("all", false, "every dead batch")
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		if *all == (flags.NArg() > 0) {
			return usageErrorf("name batches, or use --all")
		}
		l, err := common.open(envFile, stdout, stderr, letterColumns()...)
		if err != nil {
			return err
		}
		keys, err := parseKeys(flags.Args())
		if err != nil {
			return err
		}
		l.rows.unheard(stdout)
		files, listErr := l.letters(ctx, keys)
		done, err := spool.Replay(l.query.Dir, files)
		l.say("%d batches will be sent again: within seconds, or at the agent's next start", done)
		return errors.Join(listErr, l.explain(err))
	}
}

// removalLine is what purge removes, or would remove.
type removalLine struct {
	What    string `json:"what"`
	File    string `json:"file,omitempty"`
	Batches int64  `json:"batches"`
	Points  int64  `json:"points"`
	Bytes   int64  `json:"bytes,omitempty"`
	Removed bool   `json:"removed"`
}

func setupSpoolPurge(flags *flag.FlagSet) action {
	common := declareSpoolFlags(flags)
	dead := flags.Bool("dead", false, "remove the dead batches that are not to be sent again")
	quarantine := flags.Bool("quarantine", false, "remove the damaged segments that were set aside")
	waiting := flags.Bool("waiting", false, "give up all that waits, counted as spool_evicted; the agent must not run")
	yes := flags.Bool("yes", false, "do it; without this it is only shown, and the exit code is 2")
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		if !*dead && !*quarantine && !*waiting {
			return usageErrorf("say what to remove: --dead, --quarantine, --waiting")
		}
		l, err := common.open(envFile, stdout, stderr,
			column{"WHAT", 10}, column{"BATCHES", -8}, column{"POINTS", -9}, column{"BYTES", -11}, column{"REMOVED", 7}, column{"FILE", 0})
		if err != nil {
			return err
		}
		l.rows.unheard(stdout)
		l.query.Letters, l.query.Quarantine, l.query.Segments = *dead, *quarantine, *waiting
		found, sum, err := l.removable(ctx)
		if err != nil {
			return err
		}
		if *yes {
			err = l.remove(ctx, found, *waiting)
		} else {
			err = l.show(found, *waiting, &sum)
		}
		if err = errors.Join(err, l.rows.flush()); err != nil || *yes {
			return l.explain(err)
		}
		return usageErrorf("nothing is removed yet: add --yes")
	}
}

// removable finds the files of letters and of quarantine.
func (l *look) removable(ctx context.Context) (found []removalLine, sum spool.Summary, err error) {
	sum, err = l.inspect(ctx, func(f spool.Finding) error {
		line := removalLine{What: path.Dir(f.File), File: f.File, Points: f.Record.Items, Bytes: f.Length}
		switch f.Found {
		case spool.FoundLetter:
			line.Batches = 1
			fallthrough
		case spool.FoundSegment, spool.FoundFile:
			if line.What != "." && f.State != spool.StateReplay {
				found = append(found, line)
			}
		case spool.FoundRecord, spool.FoundGap, spool.FoundTorn, spool.FoundForeign, spool.FoundSidecar, spool.FoundLedger:
		}
		return nil
	})
	return found, sum, err
}

// remove does it, and says so.
func (l *look) remove(ctx context.Context, found []removalLine, waiting bool) error {
	for _, line := range found {
		done, err := spool.Discard(l.query.Dir, []string{line.File})
		if line.Removed = done == 1; err == nil {
			err = l.removal(line)
		}
		if err != nil {
			return err
		}
	}
	if !waiting {
		return nil
	}
	records, points, err := spool.Purge(ctx, l.query.Dir)
	if err != nil {
		return err
	}
	return l.removal(removalLine{What: "waiting", Batches: records, Points: points, Removed: true})
}

// show says what would be removed.
func (l *look) show(found []removalLine, waiting bool, sum *spool.Summary) error {
	if waiting {
		found = append(found, removalLine{What: "waiting", Batches: sum.Records, Points: sum.Points, Bytes: sum.Bytes})
	}
	for _, line := range found {
		if err := l.removal(line); err != nil {
			return err
		}
	}
	return nil
}

func (l *look) removal(line removalLine) error {
	return l.rows.row(line, line.What, line.Batches, line.Points, line.Bytes, line.Removed, line.File)
}
