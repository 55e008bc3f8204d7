package spool

import (
	"fmt"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// simName names a batch.
type simName struct{ epoch, seq uint64 }

// simBatch is a batch that was made, and what became of it. All that is of
// points is by their number in the batch.
type simBatch struct {
	simName
	number int // as it was made
	points []int64
	// leftOut batches hold points that the server rejected of others.
	leftOut bool

	made      time.Time
	sent      time.Time // the first request; zero if there was none
	failed    time.Time // its first answer that was no ack
	forgotten time.Time // when Ack last found it waiting
	flying    int       // requests that may still arrive
	acked     []bool    // and the shipper knows it
	ackedAs   []string  // by which id

	kept    bool // the spool has, or had, it
	keptAt  time.Time
	waits   view
	lost    []uint8 // how often the spool counts it as lost
	dead    []bool  // it is, or was, in a letter, as one of those
	gone    []bool  // a power cut took it
	dropped []bool  // it was in memory alone when its process ended
	// excused points may be stored and count as lost: when they were counted, the
	// server had them, a request was under way, or the shipper could have the
	// batch in memory too, being of this life.
	excused []bool
	lostAt  time.Time
	// unsure says that it was sent in parts, and that a crash may have forgotten
	// which.
	inParts, unsure bool
}

// view is what the spool has of a batch.
type view struct {
	entries int
	left    []uint8 // how many of them have the point
	durable bool    // a power cut does not take it
	timeMS  int64
}

func newBatch(m *metric.Batch) *simBatch {
	points := simPoints(m)
	n := len(points)
	return &simBatch{
		simName: simName{m.Agent.Epoch, m.Agent.Seq}, points: points, made: time.Now(),
		acked: make([]bool, n), ackedAs: make([]string, n), lost: make([]uint8, n), dead: make([]bool, n), gone: make([]bool, n), dropped: make([]bool, n), excused: make([]bool, n),
		waits: view{left: make([]uint8, n)},
	}
}

func (b *simBatch) String() string { return metric.BatchID(b.epoch, b.seq) }

// point says what became of a point.
func (b *simBatch) point(i int) string {
	return fmt.Sprintf("point %d of %v (kept %t, acked %t, waits %d, lost %d, gone %t, dropped %t)",
		b.points[i], b, b.kept, b.acked[i], b.waits.left[i], b.lost[i], b.gone[i], b.dropped[i])
}

// simPoints lists the values of a batch, tick by tick, in order of series within
// each.
func simPoints(b *metric.Batch) (points []int64) {
	for tick := range b.Times {
		for _, column := range b.Series {
			if v := column.Values[tick]; !v.IsNull() {
				points = append(points, v.Int64())
			}
		}
	}
	return points
}

// partRange returns which of n points a path such as "/0/1" names: the first
// half of an odd number is the larger one.
func partRange(path string, n int) (from, to int) {
	to = n
	for _, step := range strings.Split(path, "/")[1:] {
		middle := from + (to-from+1)/2
		if step == "0" {
			to = middle
		} else {
			from = middle
		}
	}
	return from, to
}

// pathOf is the path that a part's number stands for.
func pathOf(part uint16) (path string) {
	for ; part > 1; part /= 2 {
		path = fmt.Sprintf("/%d%s", part%2, path)
	}
	return path
}

// excuse marks what is lost now and may be stored: all, or what the server has.
func (b *simBatch) excuse(server *simServer, all bool) {
	for i, point := range b.points {
		if b.lost[i] > 0 && (all || server.points[point] || server.rejected[point]) {
			b.excused[i] = true
		}
	}
}
