package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/spool"
)

func setupSpoolCat(flags *flag.FlagSet) action {
	common := declareSpoolFlags(flags)
	dead := flags.Bool("dead", false, "print dead letters instead of waiting batches")
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		if *common.format == "table" {
			return usageErrorf("cat prints bodies, which are JSON: ls and dead print tables")
		}
		l, err := common.open(envFile, stdout, stderr)
		if err != nil {
			return err
		}
		keys, err := parseKeys(flags.Args())
		if err != nil {
			return err
		}
		return l.each(ctx, keys, *dead, func(f *spool.Finding) error {
			body, err := plainBody(f.Record.Payload)
			if err != nil {
				return &skipped{err}
			}
			_, err = l.rows.out.Write(append(body, '\n'))
			return err
		})
	}
}

// plainBody returns a batch as one line of JSON.
func plainBody(payload []byte) ([]byte, error) {
	body, err := ship.Decompress(payload)
	if err != nil {
		return nil, err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, body); err != nil {
		return nil, fmt.Errorf("not a JSON body: %w", err)
	}
	return line.Bytes(), nil
}

// skipped is the reason why one batch cannot be read. Other batches may be
// readable.
type skipped struct{ cause error }

func (e *skipped) Error() string { return e.cause.Error() }

// each calls do for each intact batch that was requested. With keys these are
// the batches with these ids, once each and wherever they are, and all their
// letters. Without keys they are all waiting batches, or all dead letters if
// dead is set. each reports what is damaged or not found, and then returns an
// error.
func (l *inspection) each(ctx context.Context, keys map[batchKey]bool, dead bool, do func(*spool.Finding) error) error {
	l.query.Payloads = true
	l.query.Letters = dead || len(keys) > 0
	l.query.Segments = !dead || len(keys) > 0
	l.query.Quarantine = len(keys) > 0
	missed := 0
	miss := func(format string, args ...any) {
		missed++
		l.say(format, args...)
	}
	_, err := l.inspect(ctx, func(f spool.Finding) error {
		if len(keys) == 0 && f.Severity == spool.Damage && costsBatches(&f) {
			miss("skipped: %s", describe(&f))
			return nil
		}
		if !wanted(&f, keys) {
			return nil
		}
		err := do(&f)
		if why := (*skipped)(nil); errors.As(err, &why) {
			miss("skipped: batch %s: %v", keyOf(&f), why)
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	for key, done := range keys {
		if !done {
			miss("batch %s is not in the spool, or is damaged: run spool verify", key)
		}
	}
	if missed > 0 {
		return fmt.Errorf("could not read everything: see the %d lines above", missed)
	}
	return nil
}

// wanted reports whether a finding is a readable batch that was requested, and
// marks it as found.
func wanted(f *spool.Finding, keys map[batchKey]bool) bool {
	if f.Record.Payload == nil {
		return false
	}
	if len(keys) == 0 {
		return f.Found == spool.FoundLetter || f.State == spool.StateWaiting
	}
	if f.Found == spool.FoundLetter {
		return markFound(f, keys)
	}
	done, asked := keys[keyOf(f)]
	if asked {
		keys[keyOf(f)] = true
	}
	return asked && !done
}

// markFound reports whether a letter was requested, by the id of its batch or by
// its own id, and marks the ids as found.
func markFound(f *spool.Finding, keys map[batchKey]bool) (asked bool) {
	for _, key := range []batchKey{batchKey(f.Of), keyOf(f)} {
		if _, ok := keys[key]; ok {
			keys[key], asked = true, true
		}
	}
	return asked
}

// costsBatches reports whether a damage may affect batches that were to be
// delivered.
func costsBatches(f *spool.Finding) bool {
	if f.Found == spool.FoundRecord {
		return f.State == spool.StateCorrupt
	}
	return f.Found != spool.FoundLedger && f.Found != spool.FoundSidecar
}
