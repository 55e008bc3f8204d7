package e2e_test

import (
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// database holds what an ingest has stored of its only agent.
type database struct {
	batches            map[string]bool     // by id, including those of parts
	points             map[string]int64    // by batch, including its parts
	seqs               map[uint64][]uint64 // of each epoch, ascending
	loss               map[string]int64    // points by reason
	epochs, duplicates int64
	times              []int64 // of all ticks, ascending
	repeated           int     // points with the same series and time as another point
}

// readDatabase reads the file of an ingest that has ended.
func readDatabase(t *testing.T, data string) database {
	t.Helper()
	handle, err := sql.Open("sqlite", "file:"+filepath.Join(data, "ingest.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	db := database{batches: make(map[string]bool), points: make(map[string]int64), seqs: make(map[uint64][]uint64)}
	var loss string
	if err := handle.QueryRow(`SELECT epochs, duplicates, loss FROM hosts`).Scan(&db.epochs, &db.duplicates, &loss); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(loss), &db.loss); err != nil {
		t.Fatal(err)
	}
	rows, err := handle.Query(`SELECT epoch, seq, part, series, data FROM batches JOIN chunks ON chunks.batch = batches.id ORDER BY epoch, seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	type point struct{ series, time int64 }
	seen := make(map[point]bool)
	for rows.Next() {
		var epoch, seq, series int64
		var part string
		var chunk []byte
		if err := rows.Scan(&epoch, &seq, &part, &series, &chunk); err != nil {
			t.Fatal(err)
		}
		id := metric.BatchID(uint64(epoch), uint64(seq))
		db.batches[id+part] = true
		db.seqs[uint64(epoch)] = append(db.seqs[uint64(epoch)], uint64(seq))
		times := unpackTimes(t, chunk)
		db.points[id] += int64(len(times))
		db.times = append(db.times, times...)
		for _, ms := range times {
			if seen[point{series, ms}] {
				db.repeated++
			}
			seen[point{series, ms}] = true
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for epoch := range db.seqs {
		db.seqs[epoch] = slices.Compact(db.seqs[epoch])
	}
	slices.Sort(db.times)
	db.times = slices.Compact(db.times)
	return db
}

// tickBetween reports whether there is a tick in [from, to].
func (db database) tickBetween(from, to time.Time) bool {
	i, _ := slices.BinarySearch(db.times, from.UnixMilli())
	return i < len(db.times) && db.times[i] <= to.UnixMilli()
}

// unpackTimes returns the ticks with a value in a chunk of the ingest. A chunk
// begins with the number of ticks, the first tick, and the steps between them.
// A value is 0 for null, 1 followed by an integer, or 2 followed by 8 bytes.
func unpackTimes(t *testing.T, chunk []byte) (times []int64) {
	t.Helper()
	next := func() int64 {
		v, n := binary.Uvarint(chunk)
		if n <= 0 {
			t.Fatalf("damaged chunk: %x", chunk)
		}
		chunk = chunk[n:]
		return int64(v)
	}
	at, all := int64(0), make([]int64, next())
	for i := range all {
		at += next()
		all[i] = at
	}
	for _, ms := range all {
		tag := next()
		switch {
		case tag == 1:
			next()
		case tag == 2 && len(chunk) >= 8:
			chunk = chunk[8:]
		case tag != 0:
			t.Fatalf("damaged chunk: %x", chunk)
		}
		if tag != 0 {
			times = append(times, ms)
		}
	}
	return times
}
