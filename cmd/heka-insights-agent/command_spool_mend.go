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

// letterLine is an entry of a dead letter.
type letterLine struct {
	BatchID string `json:"batch_id"` // of the batch whose points these are
	// LetterID is that of the entry, under which it is sent again.
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

func (l *look) letter(f *spool.Finding) error {
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

// letterPick is which letters were asked for: files by name without their
// suffix, and whole files by a batch that they hold points of. Empty means all.
type letterPick struct {
	files map[string]bool // true once found, as are keys
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
		err = usageErrorf("%w; a letter is named as spool dead prints its file", err)
	}
	return p, err
}

func letterStem(file string) string {
	name := path.Base(file)
	return strings.TrimSuffix(strings.TrimSuffix(name, ".dead"), ".replay")
}

// asked says whether a finding is in a letter that was asked for by name, or is
// of a batch that was.
func (p letterPick) asked(f *spool.Finding) bool {
	all := len(p.files)+len(p.keys) == 0
	name := letterStem(f.File)
	_, byName := p.files[name]
	if byName {
		p.files[name] = true
	}
	byKey := f.Severity == spool.Sound && found(f, p.keys)
	return all || byName || byKey
}

// letters lists dead letters, those picked or all, and returns the files of
// those that are not to be sent again yet. What is damaged or not found is
// said, and an error beside what was found.
func (l *look) letters(ctx context.Context, pick *letterPick) (files []string, err error) {
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

// lettersOf returns the findings in letters of which anything was asked for:
// letters are sent again and removed whole. Without payloads that is little.
func (l *look) lettersOf(ctx context.Context, pick *letterPick) (findings []spool.Finding, missed, err error) {
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
			missed = errors.New("not all of these letters can be had")
		}
	}
	for key, done := range pick.keys {
		if !done {
			l.say("no letter holds points of batch %s", key)
			missed = errors.New("not all of these letters can be had")
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
		l.rows.unheard(stdout)
		files, listErr := l.letters(ctx, &pick)
		done, err := spool.Replay(l.query.Dir, files)
		l.say("%d letters will be sent again: within seconds, or at the agent's next start", done)
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
	dead := flags.Bool("dead", false, "remove the dead letters that are not to be sent again, or those named")
	quarantine := flags.Bool("quarantine", false, "remove the damaged segments that were set aside")
	waiting := flags.Bool("waiting", false, "give up all that waits, counted as spool_evicted; the agent must not run")
	yes := flags.Bool("yes", false, "do it; without this it is only shown, and the exit code is 2")
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
		l.rows.unheard(stdout)
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
		return usageErrorf("nothing is removed yet: add --yes")
	}
}

// removable finds the files of quarantine, and of the letters picked.
func (l *look) removable(ctx context.Context, pick *letterPick) (found []removalLine, sum spool.Summary, missed, err error) {
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
