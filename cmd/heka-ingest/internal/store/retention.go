package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Retention works in small steps between commits, so that deleting a lot never
// keeps a batch waiting for long.
const (
	sweepInterval = time.Minute
	sweepPause    = 50 * time.Millisecond
	sweepRows     = 5_000
	sweepSeries   = 200
)

// sweeper remembers where the pass over all series stands. It may be lost.
type sweeper struct {
	afterSeries int64
}

// sweep does one step and returns when the next one is due.
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
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
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

// deleteChunks deletes points whose ticks are before cutoffMS from the next few
// series, and series that are left with none.
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
			return true, true, nil // this series again, first thing next time
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

// forget deletes batch ids that arrived before cutoffMS, and agents of which
// nothing has been heard since then and nothing is left.
func forget(ctx context.Context, tx *sql.Tx, cutoffMS int64) (more bool, err error) {
	// By id, which is the order of arrival: no index by time is needed.
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

// vacuum gives free pages back to the file system. Each (empty) row that is
// asked for frees one page, so an Exec would free a single one.
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
