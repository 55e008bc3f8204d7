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
	dead := flags.Bool("dead", false, "print dead letters instead of the batches that wait")
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

// skipped is why one batch cannot be had; the next one may.
type skipped struct{ cause error }

func (e *skipped) Error() string { return e.cause.Error() }

// each calls do for each sound batch that was asked for: those of keys wherever
// they are, once each, and all letters of theirs, or, without keys, all that
// wait, or all dead letters. What is damaged or not found is said, and an error
// in the end.
func (l *look) each(ctx context.Context, keys map[batchKey]bool, dead bool, do func(*spool.Finding) error) error {
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
			miss("batch %s is not in the spool, or not sound: spool verify says more", key)
		}
	}
	if missed > 0 {
		return fmt.Errorf("not all could be had: the %d lines above say what", missed)
	}
	return nil
}

// wanted says whether a finding is a batch that can be had and was asked for,
// and notes that it was found.
func wanted(f *spool.Finding, keys map[batchKey]bool) bool {
	if f.Record.Payload == nil {
		return false
	}
	if len(keys) == 0 {
		return f.Found == spool.FoundLetter || f.State == spool.StateWaiting
	}
	if f.Found == spool.FoundLetter {
		return found(f, keys)
	}
	done, asked := keys[keyOf(f)]
	if asked {
		keys[keyOf(f)] = true
	}
	return asked && !done
}

// found notes that a letter was found by the batch that it is of, or by its own
// id.
func found(f *spool.Finding, keys map[batchKey]bool) (asked bool) {
	for _, key := range []batchKey{batchKey(f.Of), keyOf(f)} {
		if _, ok := keys[key]; ok {
			keys[key], asked = true, true
		}
	}
	return asked
}

// costsBatches says whether damage may be to what was to be delivered.
func costsBatches(f *spool.Finding) bool {
	if f.Found == spool.FoundRecord {
		return f.State == spool.StateCorrupt
	}
	return f.Found != spool.FoundLedger && f.Found != spool.FoundSidecar
}
