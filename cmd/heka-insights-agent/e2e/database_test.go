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

// database is what an ingest has stored of its one agent.
type database struct {
	batches            map[string]bool     // by id
	seqs               map[uint64][]uint64 // of each epoch, ascending
	loss               map[string]int64    // points by reason
	epochs, duplicates int64
	times              []int64 // of all ticks, ascending
	repeated           int     // ticks with the time of another one
}

// readDatabase reads the file of an ingest that has ended.
func readDatabase(t *testing.T, data string) database {
	t.Helper()
	handle, err := sql.Open("sqlite", "file:"+filepath.Join(data, "ingest.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	db := database{batches: make(map[string]bool), seqs: make(map[uint64][]uint64)}
	var loss string
	if err := handle.QueryRow(`SELECT epochs, duplicates, loss FROM hosts`).Scan(&db.epochs, &db.duplicates, &loss); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(loss), &db.loss); err != nil {
		t.Fatal(err)
	}
	rows, err := handle.Query(`SELECT epoch, seq, part, times FROM batches ORDER BY epoch, seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var epoch, seq int64
		var part string
		var blob []byte
		if err := rows.Scan(&epoch, &seq, &part, &blob); err != nil {
			t.Fatal(err)
		}
		db.batches[metric.BatchID(uint64(epoch), uint64(seq))+part] = true
		db.seqs[uint64(epoch)] = append(db.seqs[uint64(epoch)], uint64(seq))
		db.times = append(db.times, unpackTimes(t, blob)...)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(db.times)
	for i := 1; i < len(db.times); i++ {
		if db.times[i] == db.times[i-1] {
			db.repeated++
		}
	}
	return db
}

// tickBetween reports whether there is a tick in [from, to].
func (db database) tickBetween(from, to time.Time) bool {
	i, _ := slices.BinarySearch(db.times, from.UnixMilli())
	return i < len(db.times) && db.times[i] <= to.UnixMilli()
}

// unpackTimes reads the ticks of a batch as the ingest packs them: how many,
// the first, and the steps from one to the next.
func unpackTimes(t *testing.T, blob []byte) (times []int64) {
	t.Helper()
	next := func() int64 {
		v, n := binary.Uvarint(blob)
		if n <= 0 {
			t.Fatalf("damaged times: %x", blob)
		}
		blob = blob[n:]
		return int64(v)
	}
	at := int64(0)
	for range next() {
		at += next()
		times = append(times, at)
	}
	if len(blob) != 0 {
		t.Fatalf("damaged times: %x left", blob)
	}
	return times
}
