package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// batchLine describes a batch in a segment.
type batchLine struct {
	BatchID string `json:"batch_id"`
	Epoch   string `json:"epoch"`
	Seq     uint64 `json:"seq"`
	Points  int64  `json:"points"`
	Bytes   int64  `json:"bytes"`
	TimeMS  int64  `json:"time_ms"`
	Time    string `json:"time"`
	Segment string `json:"segment"`
	Offset  int64  `json:"offset"`
	State   string `json:"state"`
	// Dead is how many points of a settled batch the backend permanently
	// refused.
	Dead int64 `json:"dead,omitempty"`
}

func setupSpoolLs(flags *flag.FlagSet) action {
	common := declareSpoolFlags(flags)
	all := flags.Bool("all", false, "also list settled batches whose segment still exists")
	summary := flags.Bool("summary", false, "print only the totals")
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		l, err := common.open(envFile, stdout, stderr,
			column{"BATCH", 32}, column{"TIME", 24}, column{"POINTS", -7}, column{"BYTES", -8}, column{"STATE", 9}, column{"SEGMENT", 0})
		if err != nil {
			return err
		}
		l.query.Segments, l.query.Letters, l.query.Quarantine = true, true, true
		sum, err := l.inspect(ctx, func(f spool.Finding) error {
			if *summary || f.Found != spool.FoundRecord || f.State == spool.StateQuarantined || f.State != spool.StateWaiting && !*all {
				return nil
			}
			return l.batch(&f)
		})
		if err != nil {
			return err
		}
		if *summary {
			return l.printSummary(&sum)
		}
		l.printTotals(&sum)
		return damageFound(&sum)
	}
}

func (l *inspection) batch(f *spool.Finding) error {
	line := batchLine{
		BatchID: keyOf(f).String(), Epoch: metric.EpochString(f.Record.Epoch), Seq: f.Record.Seq,
		Points: f.Record.Items, Bytes: f.PayloadBytes, TimeMS: f.Record.TimeMS, Time: timeText(f.Record.TimeMS),
		Segment: f.File, Offset: f.Offset, State: f.State.String(), Dead: f.Dead,
	}
	return l.rows.row(line, line.BatchID, line.Time, line.Points, line.Bytes, line.State, line.Segment)
}

// printTotals prints the totals to the operator.
func (l *inspection) printTotals(s *spool.Summary) {
	l.say("%d batches wait: %d points, %d bytes%s", s.Records, s.Points, s.Bytes, span(s))
	l.say("appended %d points = delivered %d + evicted %d + expired %d + corrupt %d + dead %d + waiting %d",
		s.Appended, s.Delivered, s.Evicted, s.Expired, s.Corrupt, s.Dead, s.Points)
	if s.Letters > 0 {
		l.say("%d dead letters: %d points, %d letters marked for replay: see spool dead", s.Letters, s.LetterPoints, s.Replays)
	}
	if s.LettersLost > 0 {
		l.say("the letters of %d refused points are gone", s.LettersLost)
	}
	if s.Quarantined > 0 {
		l.say("%d damaged segments are in quarantine: %d bytes", s.Quarantined, s.QuarantinedBytes)
	}
	if s.Moved {
		l.say("the agent was running: the numbers may be slightly out of date")
	}
}

func span(s *spool.Summary) string {
	if s.Records == 0 {
		return ""
	}
	return fmt.Sprintf(", %s to %s", timeText(s.OldestMS), timeText(s.NewestMS))
}

// damageFound returns an error if the spool is damaged. The inspection itself
// succeeded.
func damageFound(s *spool.Summary) error {
	if s.Damages == 0 {
		return nil
	}
	return fmt.Errorf("damage found in %d places, %d points are lost: run spool verify to see where", s.Damages, s.Lost)
}

// summaryLine holds a whole summary.
type summaryLine struct {
	Waiting     batchTotals      `json:"waiting"`
	Oldest      string           `json:"oldest,omitempty"`
	Newest      string           `json:"newest,omitempty"`
	Segments    fileTotals       `json:"segments"`
	Quarantine  fileTotals       `json:"quarantine"`
	DeadLetters batchTotals      `json:"dead_letters"`
	LettersLost int64            `json:"letters_lost"`
	Replays     int64            `json:"replays"`
	Foreign     int64            `json:"foreign"`
	Totals      map[string]int64 `json:"totals"`
	Losses      map[string]int64 `json:"losses"`
	Damages     int64            `json:"damages"`
	Running     bool             `json:"agent_running"`
	Moved       bool             `json:"moved"`
}

type batchTotals struct {
	Batches int64 `json:"batches"`
	Points  int64 `json:"points"`
	Bytes   int64 `json:"bytes"`
}

type fileTotals struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

// printSummary prints only the summary: a JSON object, or the lines that follow a
// table.
func (l *inspection) printSummary(s *spool.Summary) error {
	if l.rows.json == nil {
		l.stderr = l.rows.out
		l.printTotals(s)
	} else if err := l.rows.row(summaryOf(s)); err != nil {
		return err
	}
	if err := l.rows.flush(); err != nil {
		return err
	}
	return damageFound(s)
}

func summaryOf(s *spool.Summary) summaryLine {
	line := summaryLine{
		Waiting:  batchTotals{s.Records, s.Points, s.Bytes},
		Oldest:   timeText(s.OldestMS),
		Newest:   timeText(s.NewestMS),
		Segments: fileTotals{s.Segments, s.SegmentBytes}, Quarantine: fileTotals{s.Quarantined, s.QuarantinedBytes},
		DeadLetters: batchTotals{s.LetterEntries, s.LetterPoints, s.LetterBytes}, LettersLost: s.LettersLost, Replays: s.Replays, Foreign: s.Foreign,
		Totals: map[string]int64{
			"appended": s.Appended, "delivered": s.Delivered, "evicted": s.Evicted, "expired": s.Expired,
			"corrupt": s.Corrupt, "dead": s.Dead, "waiting": s.Points,
		},
		Losses: map[string]int64{}, Damages: s.Damages, Running: s.Owned, Moved: s.Moved,
	}
	for _, loss := range s.Losses {
		line.Losses[loss.Reason] = loss.Points
	}
	return line
}
