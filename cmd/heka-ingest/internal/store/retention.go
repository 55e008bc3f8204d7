package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Retention deletes in small steps between commits, so that a batch never waits
// long.
const (
	sweepInterval = time.Minute
	sweepPause    = 50 * time.Millisecond
	sweepRows     = 5_000
	sweepSeries   = 200
)

// sweeper remembers the position of the pass over all series. Losing it does no
// harm.
type sweeper struct {
	afterSeries int64
}

// sweep does one step and returns the time until the next one.
func (s *Store) sweep(ctx context.Context) time.Duration {
	more, err := s.sweepStep(ctx, time.Now())
	switch {
	case err != nil:
		s.cfg.Log.Error().Err(err).Msg("deleting old points: trying again in a minute")
		return sweepInterval
	case more:
		return sweepPause
	default:
		return sweepInterval
	}
}

func (s *Store) sweepStep(ctx context.Context, now time.Time) (more bool, err error) {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // has no effect after a commit
	chunks, deleted, err := s.sweeper.deleteChunks(ctx, tx, now.Add(-s.cfg.Retention).UnixMilli())
	if err != nil {
		return false, fmt.Errorf("delete points: %w", err)
	}
	remember := max(s.cfg.Retention, MinDedupe)
	ids, err := forget(ctx, tx, now.Add(-remember).UnixMilli())
	if err != nil {
		return false, fmt.Errorf("delete batch ids: %w", err)
	}
	if deleted || ids {
		if err := vacuum(ctx, tx); err != nil {
			return false, fmt.Errorf("return space: %w", err)
		}
	}
	return chunks || ids, tx.Commit()
}

// deleteChunks deletes the points before cutoffMS of the next few series, and
// series without points.
func (sw *sweeper) deleteChunks(ctx context.Context, tx *sql.Tx, cutoffMS int64) (more, deleted bool, err error) {
	series, err := scanAll[int64](tx.QueryContext(ctx,
		"SELECT id FROM series WHERE id > ? ORDER BY id LIMIT ?", sw.afterSeries, sweepSeries))
	if err != nil {
		return false, false, err
	}
	room := int64(sweepRows)
	for _, id := range series {
		n, err := affected(tx.ExecContext(ctx, `DELETE FROM chunks WHERE series = ?1 AND (first_ms, batch) IN
			(SELECT first_ms, batch FROM chunks WHERE series = ?1 AND first_ms < ?2 ORDER BY first_ms LIMIT ?3)`, id, cutoffMS, room))
		if err != nil {
			return false, false, err
		}
		deleted = deleted || n > 0
		if room -= n; room <= 0 {
			return true, true, nil // continue with this series
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM series WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM chunks WHERE series = ?1)", id)
		if err != nil {
			return false, false, err
		}
		sw.afterSeries = id
	}
	if len(series) < sweepSeries {
		sw.afterSeries = 0
		return false, deleted, nil
	}
	return true, deleted, nil
}

// forget deletes batch ids that arrived before cutoffMS. It also deletes agents
// that have been silent since then and have no data left.
func forget(ctx context.Context, tx *sql.Tx, cutoffMS int64) (more bool, err error) {
	// Ids are in the order of arrival, so no index by time is needed.
	n, err := affected(tx.ExecContext(ctx, `DELETE FROM batches WHERE received_ms < ? AND id IN
		(SELECT id FROM batches ORDER BY id LIMIT ?)`, cutoffMS, sweepRows))
	if err != nil {
		return false, err
	}
	const gone = `(SELECT id FROM hosts WHERE last_seen_ms < ?
		AND NOT EXISTS (SELECT 1 FROM series WHERE series.host = hosts.id))`
	for _, statement := range []string{
		"DELETE FROM epochs WHERE host IN " + gone,
		"DELETE FROM hosts WHERE id IN " + gone,
	} {
		if _, err := tx.ExecContext(ctx, statement, cutoffMS); err != nil {
			return false, err
		}
	}
	return n == sweepRows, nil
}

// vacuum returns free pages to the file system. The pragma frees one page for
// each (empty) row that is read, so an Exec would free only one page.
func vacuum(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, "PRAGMA incremental_vacuum(1000)")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		continue
	}
	return rows.Err()
}

func affected(done sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}
