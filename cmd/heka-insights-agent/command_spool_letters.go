package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// letterLine describes an entry of a dead letter.
type letterLine struct {
	BatchID string `json:"batch_id"` // the batch that the points belong to
	// LetterID is the id under which the entry is sent again.
	LetterID string `json:"letter_id"`
	Points   int64  `json:"points"`
	Bytes    int64  `json:"bytes"`
	TimeMS   int64  `json:"time_ms"`
	Time     string `json:"time"`
	Reason   string `json:"reason"`
	State    string `json:"state"`
	File     string `json:"file"`
}

func letterColumns() []column {
	return []column{{"BATCH", 32}, {"TIME", 24}, {"POINTS", -7}, {"BYTES", -8}, {"STATE", 7}, {"FILE", 52}, {"REASON", 0}}
}

func (l *inspection) letter(f *spool.Finding) error {
	line := letterLine{
		BatchID: batchKey(f.Of).String(), LetterID: keyOf(f).String(), Points: f.Record.Items, Bytes: f.PayloadBytes, TimeMS: f.Record.TimeMS,
		Time: timeText(f.Record.TimeMS), Reason: f.Reason, State: f.State.String(), File: f.File,
	}
	return l.rows.row(line, line.BatchID, line.Time, line.Points, line.Bytes, line.State, line.File, line.Reason)
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

// letterPick selects dead letters by the name of their file, without its
// suffix, or by a batch of which they hold points. The zero letterPick selects
// all.
type letterPick struct {
	files map[string]bool // true once found, like keys
	keys  map[batchKey]bool
}

func parseLetters(args []string) (p letterPick, err error) {
	p.files = map[string]bool{}
	var ids []string
	for _, arg := range args {
		name := letterStem(arg)
		if len(name) == len("0123456789abcdef-0123456789abcdef-01234567") && strings.Count(name, "-") == 2 {
			p.files[name] = false
		} else {
			ids = append(ids, arg)
		}
	}
	p.keys, err = parseKeys(ids)
	if err != nil {
		err = usageErrorf("%w; name a letter by its file, as spool dead prints it", err)
	}
	return p, err
}

func letterStem(file string) string {
	name := path.Base(file)
	return strings.TrimSuffix(strings.TrimSuffix(name, ".dead"), ".replay")
}

// asked reports whether the letter of a finding is selected, and marks what
// selected it as found.
func (p letterPick) asked(f *spool.Finding) bool {
	all := len(p.files)+len(p.keys) == 0
	name := letterStem(f.File)
	_, byName := p.files[name]
	if byName {
		p.files[name] = true
	}
	byKey := f.Severity == spool.Sound && markFound(f, p.keys)
	return all || byName || byKey
}

// letters lists the dead letters that pick selects, or all. It returns the
// files of those that are not yet marked for replay. It reports what is damaged
// or not found, and then also returns an error.
func (l *inspection) letters(ctx context.Context, pick *letterPick) (files []string, err error) {
	if pick == nil {
		pick = &letterPick{}
	}
	findings, missed, err := l.lettersOf(ctx, pick)
	for i := range findings {
		f := &findings[i]
		if f.Severity == spool.Damage {
			l.say("skipped: %s", describe(f))
			missed = errors.New("damage found among the dead letters")
			continue
		}
		if n := len(files); f.State == spool.StateDead && (n == 0 || files[n-1] != f.File) {
			files = append(files, f.File)
		}
		if err := l.letter(f); err != nil {
			return files, err
		}
	}
	if flushErr := l.rows.flush(); err == nil {
		err = flushErr
	}
	if err == nil {
		err = missed
	}
	return files, err
}

// lettersOf returns the findings in letters that are selected at least in part,
// because letters are sent again and removed as a whole. It drops the payloads,
// so the result is small.
func (l *inspection) lettersOf(ctx context.Context, pick *letterPick) (findings []spool.Finding, missed, err error) {
	l.query.Letters = true
	picked := map[string]bool{}
	_, err = l.inspect(ctx, func(f spool.Finding) error {
		if f.Found == spool.FoundLedger {
			return nil
		}
		if pick.asked(&f) {
			picked[f.File] = true
		}
		f.Record.Payload = nil
		findings = append(findings, f)
		return nil
	})
	findings = slices.DeleteFunc(findings, func(f spool.Finding) bool { return !picked[f.File] })
	for name, done := range pick.files {
		if !done {
			l.say("there is no letter %s", name)
			missed = errors.New("some of these letters were not found")
		}
	}
	for key, done := range pick.keys {
		if !done {
			l.say("no letter holds points of batch %s", key)
			missed = errors.New("some of these letters were not found")
		}
	}
	return findings, missed, err
}

func setupSpoolReplay(flags *flag.FlagSet) action {
	common := declareSpoolFlags(flags)
	all := flags.Bool("all", false, "every dead letter")
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		if *all == (flags.NArg() > 0) {
			return usageErrorf("name letters or batches, or use --all")
		}
		l, err := common.open(envFile, stdout, stderr, letterColumns()...)
		if err != nil {
			return err
		}
		pick, err := parseLetters(flags.Args())
		if err != nil {
			return err
		}
		l.rows.ignoreReader(stdout)
		files, listErr := l.letters(ctx, &pick)
		done, err := spool.Replay(l.query.Dir, files)
		l.say("%d letters will be sent again: within seconds, or at the agent's next start", done)
		return errors.Join(listErr, l.explain(err))
	}
}

// removalLine describes what purge removes or would remove.
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
	dead := flags.Bool("dead", false, "remove the dead letters that are not marked for replay, or those named")
	quarantine := flags.Bool("quarantine", false, "remove the damaged segments in quarantine")
	waiting := flags.Bool("waiting", false, "drop all waiting batches, counted as spool_evicted; the agent must not run")
	yes := flags.Bool("yes", false, "remove; without this the command only shows what it would remove, and exits with 2")
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		if !*dead && !*quarantine && !*waiting {
			return usageErrorf("say what to remove: --dead, --quarantine, --waiting")
		}
		if flags.NArg() > 0 && !*dead {
			return usageErrorf("only dead letters are removed by name: use --dead")
		}
		pick, err := parseLetters(flags.Args())
		if err != nil {
			return err
		}
		l, err := common.open(envFile, stdout, stderr,
			column{"WHAT", 10}, column{"BATCHES", -8}, column{"POINTS", -9}, column{"BYTES", -11}, column{"REMOVED", 7}, column{"FILE", 0})
		if err != nil {
			return err
		}
		l.rows.ignoreReader(stdout)
		l.query.Letters, l.query.Quarantine, l.query.Segments = *dead, *quarantine, *waiting
		found, sum, missed, err := l.removable(ctx, &pick)
		if err != nil {
			return err
		}
		if *yes {
			err = l.remove(ctx, found, *waiting)
		} else {
			err = l.show(found, *waiting, &sum)
		}
		if err = errors.Join(missed, err, l.rows.flush()); err != nil || *yes {
			return l.explain(err)
		}
		return usageErrorf("nothing was removed: add --yes")
	}
}

// removable returns the files in quarantine and the selected letters.
func (l *inspection) removable(ctx context.Context, pick *letterPick) (found []removalLine, sum spool.Summary, missed, err error) {
	dead := l.query.Letters
	l.query.Letters = false
	sum, err = l.inspect(ctx, func(f spool.Finding) error {
		line := removalLine{What: path.Dir(f.File), File: f.File, Bytes: f.Length}
		if (f.Found == spool.FoundSegment || f.Found == spool.FoundFile) && line.What != "." {
			found = append(found, line)
		}
		return nil
	})
	if err != nil || !dead {
		return found, sum, nil, err
	}
	l.query.Segments, l.query.Quarantine = false, false
	findings, missed, err := l.lettersOf(ctx, pick)
	var letters []removalLine
	for _, f := range findings {
		if f.State == spool.StateReplay || path.Dir(f.File) == "." {
			continue
		}
		if n := len(letters); n == 0 || letters[n-1].File != f.File {
			letters = append(letters, removalLine{What: path.Dir(f.File), File: f.File})
		}
		line := &letters[len(letters)-1]
		line.Points += f.Record.Items
		line.Bytes += f.Length
		if f.Found == spool.FoundLetter && f.Severity == spool.Sound {
			line.Batches++
		}
	}
	return append(letters, found...), sum, missed, err
}

// remove removes what was found, and prints it.
func (l *inspection) remove(ctx context.Context, found []removalLine, waiting bool) error {
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

// show prints what would be removed.
func (l *inspection) show(found []removalLine, waiting bool, sum *spool.Summary) error {
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

func (l *inspection) removal(line removalLine) error {
	return l.rows.row(line, line.What, line.Batches, line.Points, line.Bytes, line.Removed, line.File)
}
