package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// faultLine describes a damage or a notice.
type faultLine struct {
	Severity string `json:"severity"`
	What     string `json:"what"`
	Problem  string `json:"problem"`
	// BatchID, Epoch, Seq and Time identify the batch if the damage left its
	// name readable. Otherwise After and Before name the intact batches next to
	// it.
	BatchID string        `json:"batch_id,omitempty"`
	Epoch   string        `json:"epoch,omitempty"`
	Seq     uint64        `json:"seq,omitempty"`
	Time    string        `json:"time,omitempty"`
	After   *neighbourRef `json:"after,omitempty"`
	Before  *neighbourRef `json:"before,omitempty"`
	// Points is null if the number of points is unknown.
	Points *int64 `json:"points"`
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
}

type neighbourRef struct {
	BatchID string `json:"batch_id"`
	Epoch   string `json:"epoch"`
	Seq     uint64 `json:"seq"`
	Time    string `json:"time"`
}

// verdictLine is the last line of the report.
type verdictLine struct {
	Severity    string `json:"severity"`
	What        string `json:"what"`
	Damages     int64  `json:"damages"`
	Notices     int64  `json:"notices"`
	PointsLost  int64  `json:"points_lost"`
	Batches     int64  `json:"batches"`
	Segments    int64  `json:"segments"`
	Bytes       int64  `json:"bytes"`
	DeadLetters int64  `json:"dead_letters"`
	Quarantined int64  `json:"quarantined"`
	Running     bool   `json:"agent_running"`
}

func setupSpoolVerify(flags *flag.FlagSet) action {
	common := declareSpoolFlags(flags)
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		l, err := common.open(envFile, stdout, stderr, column{"SEVERITY", 8}, column{"FINDING", 0})
		if err != nil {
			return err
		}
		l.query = spool.Query{Dir: l.query.Dir, Segments: true, Letters: true, Quarantine: true, Payloads: true}
		sum, err := l.inspect(ctx, func(f spool.Finding) error {
			if f.Severity == spool.Sound {
				return nil
			}
			return l.fault(&f)
		})
		if err != nil {
			return err
		}
		if err := l.verdict(&sum); err != nil || sum.Damages == 0 {
			return err
		}
		return fmt.Errorf("damage found in %d places, %d points are lost", sum.Damages, sum.Lost)
	}
}

func (l *inspection) fault(f *spool.Finding) error {
	line := faultLine{
		Severity: severity(f.Severity), What: f.Found.String(), Problem: f.Problem,
		After: refTo(f.After), Before: refTo(f.Before), File: f.File, Offset: f.Offset, Length: f.Length,
	}
	if f.LostKnown {
		line.Points = &f.Lost
	}
	switch f.Found {
	case spool.FoundRecord, spool.FoundTorn:
		line.BatchID, line.Epoch, line.Seq = keyOf(f).String(), metric.EpochString(f.Record.Epoch), f.Record.Seq
		line.Time = timeText(f.Record.TimeMS)
	case spool.FoundLetter, spool.FoundGap, spool.FoundForeign, spool.FoundSidecar, spool.FoundLedger, spool.FoundFile, spool.FoundSegment:
	}
	return l.rows.row(line, line.Severity, describe(f))
}

func severity(s spool.Severity) string {
	if s == spool.Damage {
		return "damage"
	}
	return "notice"
}

func refTo(n *spool.Neighbour) *neighbourRef {
	if n == nil {
		return nil
	}
	return &neighbourRef{batchKey(n.ID).String(), metric.EpochString(n.Epoch), n.Seq, timeText(n.TimeMS)}
}

func (l *inspection) verdict(s *spool.Summary) error {
	line := verdictLine{
		Severity: "ok", What: "summary", Damages: s.Damages, Notices: s.Notices, PointsLost: s.Lost,
		Batches: s.Scanned, Segments: s.Segments, Bytes: s.SegmentBytes, DeadLetters: s.Letters,
		Quarantined: s.Quarantined, Running: s.Owned,
	}
	if s.Damages > 0 {
		line.Severity = "damage"
	}
	text := fmt.Sprintf("%d batches in %d segments (%d bytes), %d dead letters, %d segments in quarantine",
		s.Scanned, s.Segments, s.SegmentBytes, s.Letters, s.Quarantined)
	if err := l.rows.row(line, line.Severity, text); err != nil {
		return err
	}
	return l.rows.flush()
}
