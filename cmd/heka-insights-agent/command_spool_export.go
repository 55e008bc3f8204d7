package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// exportLine describes a file that was written or that already existed.
type exportLine struct {
	BatchID         string `json:"batch_id"`
	Points          int64  `json:"points"`
	Bytes           int64  `json:"bytes"`
	TimeMS          int64  `json:"time_ms"`
	Time            string `json:"time"`
	File            string `json:"file"`
	ContentEncoding string `json:"content_encoding"`
	Status          string `json:"status"`
}

func setupSpoolExport(flags *flag.FlagSet) action {
	common := declareSpoolFlags(flags)
	dead := flags.Bool("dead", false, "export dead letters instead of waiting batches")
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		if flags.NArg() == 0 {
			return usageErrorf("name the directory to write to")
		}
		l, err := common.open(envFile, stdout, stderr,
			column{"BATCH", 32}, column{"TIME", 24}, column{"POINTS", -7}, column{"BYTES", -8}, column{"STATUS", 7}, column{"FILE", 0})
		if err != nil {
			return err
		}
		keys, err := parseKeys(flags.Args()[1:])
		if err != nil {
			return err
		}
		l.rows.ignoreReader(stdout)
		to := flags.Arg(0)
		source, err := os.Stat(l.query.Dir)
		if err != nil {
			return l.explain(err)
		}
		if within(to, source) {
			return usageErrorf("%s is the spool itself: name another directory to write to", to)
		}
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		ticks := 0
		err = l.each(ctx, keys, *dead, func(f *spool.Finding) error {
			if f.Draft { // if sent by hand, it would pass for the batch that is being built
				ticks++
				return nil
			}
			return l.export(f, to)
		})
		if ticks > 0 {
			l.say("left out: %d ticks of a batch that a running agent may be building: stop the agent to export them", ticks)
		}
		if err != nil {
			return errors.Join(err, syncDirectory(to))
		}
		return syncDirectory(to)
	}
}

// within reports whether dir is the directory that, or a directory below it.
func within(dir string, that os.FileInfo) bool {
	dir, _ = filepath.Abs(dir)
	for {
		if info, err := os.Stat(dir); err == nil && os.SameFile(info, that) {
			return true
		}
		up := filepath.Dir(dir)
		if up == dir {
			return false
		}
		dir = up
	}
}

// extension returns the extension of a file by the compression of its content.
func extension(kind ship.Compression) string {
	switch kind {
	case ship.CompressionGzip:
		return ".json.gz"
	case ship.CompressionZstd:
		return ".json.zst"
	default:
		return ".json"
	}
}

func (l *inspection) export(f *spool.Finding, to string) error {
	id, kind := keyOf(f).String(), ship.CompressionOf(f.Record.Payload)
	line := exportLine{
		BatchID: id, Points: f.Record.Items, Bytes: f.PayloadBytes, TimeMS: f.Record.TimeMS, Time: timeText(f.Record.TimeMS),
		File: filepath.Join(to, id+extension(kind)), Status: "written",
	}
	if kind != ship.CompressionNone {
		line.ContentEncoding = string(kind)
	}
	there, err := os.ReadFile(line.File)
	switch {
	case err == nil && bytes.Equal(there, f.Record.Payload):
		line.Status = "present"
	case err == nil:
		return &skipped{fmt.Errorf("%s holds something else and is not overwritten", line.File)}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		if err := writeDurably(line.File, f.Record.Payload); err != nil {
			return err
		}
	}
	return l.rows.row(line, line.BatchID, line.Time, line.Points, line.Bytes, line.Status, line.File)
}

// writeDurably writes a file atomically. The caller has to sync its directory.
func writeDurably(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".export-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func syncDirectory(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
