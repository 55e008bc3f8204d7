package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// writer adds batches within one transaction. It has no state between batches:
// only the transaction counts, so a rollback undoes everything.
type writer struct {
	ctx    context.Context // context of the call of transact that created the writer
	tx     *sql.Tx
	insert *statements
	nowMS  int64
	twins  zerolog.Logger
}

func (w *writer) exec(s *sql.Stmt, args ...any) (sql.Result, error) {
	return w.tx.StmtContext(w.ctx, s).ExecContext(w.ctx, args...)
}

func (w *writer) row(s *sql.Stmt, args ...any) *sql.Row {
	return w.tx.StmtContext(w.ctx, s).QueryRowContext(w.ctx, args...)
}

func (w *writer) add(b *wire.Batch) (wire.Ack, error) {
	ack := b.Ack(wire.Accepted)
	if b.IsProbe() {
		return ack, w.probeDisk()
	}
	parts, err := w.parts(b)
	if err != nil {
		return ack, err
	}
	for _, part := range parts {
		if wire.Covers(part, b.Part) {
			ack.Status = wire.Duplicate
			_, err := w.exec(w.insert.countDuplicate, w.nowMS, b.Agent.ID)
			return ack, err
		}
	}
	return ack, w.store(b, len(parts) == 0, ack.Points)
}

// probeDisk writes to the disk without changing data. A probe must not succeed
// while the disk does not accept writes.
func (w *writer) probeDisk() error {
	_, err := w.tx.ExecContext(w.ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
	return err
}

// parts returns the parts of the batch that are stored already.
func (w *writer) parts(b *wire.Batch) ([]string, error) {
	return scanAll[string](w.tx.StmtContext(w.ctx, w.insert.findParts).
		QueryContext(w.ctx, int64(b.Agent.Epoch), int64(b.Agent.Seq)))
}

func (w *writer) store(b *wire.Batch, firstPart bool, points int64) error {
	h, err := w.host(b)
	if err != nil {
		return err
	}
	before, known := h.epoch, false
	if firstPart {
		if known, err = w.countSeq(h, b); err != nil {
			return err
		}
	}
	if err := w.countTicks(h, b); err != nil {
		return err
	}
	if err := w.saveBatch(h, b); err != nil {
		return err
	}
	h.Batches++
	h.Points += points
	h.LastSeenMS = w.nowMS
	h.maxSpanMS = max(h.maxSpanMS, b.Times[len(b.Times)-1]-b.Times[0])
	h.describe(b, w.nowMS)
	if known && before != 0 && h.epoch != before {
		// A restart replaces an epoch permanently, and its backlog never has
		// the newest tick.
		w.twins.Warn().Str("agent_id", h.AgentID).Str("host", h.name).
			Str("epoch", wire.FormatEpoch(h.epoch)).Str("other_epoch", wire.FormatEpoch(before)).
			Msg("two agents may share one id, such as clones with one machine id: the newest ticks go back and forth between two epochs")
	}
	return w.saveHost(h)
}

// host returns the agent's row. It creates the row of a new agent.
func (w *writer) host(b *wire.Batch) (*host, error) {
	h := &host{}
	if found, err := h.scan(w.row(w.insert.findHost, b.Agent.ID)); found || err != nil {
		return h, err
	}
	h.AgentID, h.FirstSeenMS = b.Agent.ID, w.nowMS
	return h, w.saveHost(h)
}

func (w *writer) saveHost(h *host) error {
	values, err := h.values()
	if err != nil {
		return err
	}
	done, err := w.exec(w.insert.saveHost, values...)
	if err != nil {
		return err
	}
	h.id, err = done.LastInsertId()
	return err
}

// countSeq updates how many seqs of the epoch are missing. known reports
// whether the epoch had a batch before.
func (w *writer) countSeq(h *host, b *wire.Batch) (known bool, err error) {
	epoch, seq := int64(b.Agent.Epoch), int64(b.Agent.Seq)
	var maxSeq, seen int64
	err = w.row(w.insert.findEpoch, h.id, epoch).Scan(&maxSeq, &seen)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		h.Epochs++
	case err != nil:
		return false, err
	default:
		known = true
	}
	h.Gaps -= maxSeq - seen
	maxSeq, seen = max(maxSeq, seq), seen+1
	h.Gaps += maxSeq - seen
	_, err = w.exec(w.insert.saveEpoch, h.id, epoch, maxSeq, seen)
	return known, err
}

// countTicks updates how many ticks exist and how many are missing.
func (w *writer) countTicks(h *host, b *wire.Batch) error {
	first, last := b.Times[0], b.Times[len(b.Times)-1]
	blobs, err := scanAll[[]byte](w.tx.StmtContext(w.ctx, w.insert.ticksAround).
		QueryContext(w.ctx, h.id, int64(b.Agent.Epoch), first, last))
	if err != nil {
		return err
	}
	var around []int64
	for _, blob := range blobs {
		times, _, err := readTimes(blob)
		if err != nil {
			return err
		}
		around = append(around, times...)
	}
	change := added(around, b.Times, b.IntervalMS)
	h.Ticks += change.ticks
	h.MissingTicks += change.missing
	return nil
}

func (w *writer) saveBatch(h *host, b *wire.Batch) error {
	ticks := appendTimes(nil, b.Times)
	done, err := w.exec(w.insert.insertBatch, int64(b.Agent.Epoch), int64(b.Agent.Seq), b.Part,
		h.id, w.nowMS, b.Times[0], ticks)
	if err != nil {
		return err
	}
	batch, err := done.LastInsertId()
	if err != nil {
		return err
	}
	var data []byte
	for i := range b.Series {
		s := &b.Series[i]
		id, err := w.series(h.id, s)
		if err != nil {
			return err
		}
		data = appendValues(append(data[:0], ticks...), s.Values)
		start := sql.NullInt64{Int64: s.StartMS, Valid: s.StartMS != 0}
		if _, err := w.exec(w.insert.saveChunk, id, b.Times[0], batch, start, data); err != nil {
			return err
		}
	}
	return nil
}

// series returns the id of a series. It creates a new series.
func (w *writer) series(host int64, s *wire.Series) (id int64, err error) {
	identity := []any{host, s.Name, wire.LabelsKey(s.Labels), s.Unit, s.Kind}
	err = w.row(w.insert.findSeries, identity...).Scan(&id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	done, err := w.exec(w.insert.insertSeries, identity...)
	if err != nil {
		return 0, err
	}
	return done.LastInsertId()
}

// scanAll reads a result with one column.
func scanAll[T any](rows *sql.Rows, err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []T
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
