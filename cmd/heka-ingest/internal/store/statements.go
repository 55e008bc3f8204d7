package store

import (
	"context"
	"database/sql"
)

// statements are prepared once, because they run for every series of every
// batch.
type statements struct {
	findParts, insertBatch, ticksAround  *sql.Stmt
	findHost, saveHost                   *sql.Stmt
	countDuplicate, findEpoch, saveEpoch *sql.Stmt
	findSeries, insertSeries, saveChunk  *sql.Stmt
}

func (st *statements) all() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&st.findParts:   `SELECT part FROM batches WHERE epoch = ? AND seq = ?`,
		&st.insertBatch: `INSERT INTO batches(epoch, seq, part, host, received_ms, first_ms, times) VALUES(?, ?, ?, ?, ?, ?, ?)`,
		// From the last batch before ?3 to the first one after ?4.
		&st.ticksAround: `SELECT times FROM batches WHERE host = ?1 AND epoch = ?2 AND first_ms BETWEEN
			coalesce((SELECT max(first_ms) FROM batches WHERE host = ?1 AND epoch = ?2 AND first_ms < ?3), ?3) AND
			coalesce((SELECT min(first_ms) FROM batches WHERE host = ?1 AND epoch = ?2 AND first_ms > ?4), ?4)`,
		&st.findHost:       `SELECT ` + hostColumns + ` FROM hosts WHERE agent_id = ?`,
		&st.saveHost:       `REPLACE INTO hosts(` + hostColumns + `) VALUES(` + hostMarks + `)`,
		&st.countDuplicate: `UPDATE hosts SET duplicates = duplicates + 1, last_seen_ms = ? WHERE agent_id = ?`,
		&st.findEpoch:      `SELECT max_seq, seen FROM epochs WHERE host = ? AND epoch = ?`,
		&st.saveEpoch:      `REPLACE INTO epochs(host, epoch, max_seq, seen) VALUES(?, ?, ?, ?)`,
		&st.findSeries:     `SELECT id FROM series WHERE host = ? AND name = ? AND labels = ? AND unit = ? AND kind = ?`,
		&st.insertSeries:   `INSERT INTO series(host, name, labels, unit, kind) VALUES(?, ?, ?, ?, ?)`,
		&st.saveChunk:      `INSERT INTO chunks(series, first_ms, batch, start_ms, data) VALUES(?, ?, ?, ?, ?)`,
	}
}

func (st *statements) prepare(ctx context.Context, db *sql.DB) error {
	for target, text := range st.all() {
		var err error
		if *target, err = db.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (st *statements) close() {
	for target := range st.all() {
		if *target != nil {
			_ = (*target).Close()
		}
	}
}
