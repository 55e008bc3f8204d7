package spool

import (
	"fmt"
	"slices"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// simName names a batch.
type simName struct{ epoch, seq uint64 }

// simPoint is a point; its value is the number by which it was produced.
type simPoint struct {
	value  int64
	series string
	timeMS int64
}

// simBatch is a batch that was made, and what became of it. All that is of
// points is by their number in the batch.
type simBatch struct {
	simName
	number int // as it was made
	points []simPoint
	// letter says that this is one, and of the batch whose points it has, once it
	// was set aside.
	letter bool
	of     *simBatch

	made      time.Time
	sent      time.Time // the first request; zero if there was none
	sentIn    uint64    // the process that last sent anything of it
	failed    time.Time // its first answer that was no ack
	forgotten time.Time // when Ack last found it waiting
	flying    int       // requests that may still arrive
	acked     []uint64  // by the process that was told of it; 0 if none was

	kept    bool // the spool has, or had, it
	ofDraft bool // a tick that a kill left
	keptAt  time.Time
	waits   view
	lost    int     // how many entries the spool counts as lost
	settled []int64 // how many points of each entry that was acknowledged are dead
	dead    []bool  // settled as refused for good
	gone    bool    // a power cut took it
	dropped bool    // it was in memory alone when its process ended
	// excused points may be stored and count as lost: when they were counted, the
	// server had them, a request was under way, or the shipper could have the
	// batch in memory too, having sent it.
	excused []bool
	lostAt  time.Time
	// note is the last one that the spool was given. A batch is unsure when a
	// crash may have forgotten it, and so what was sent under which id.
	note   string
	unsure bool
}

// view is what the spool has of a batch.
type view struct {
	entries int
	notes   []string
	durable bool // a power cut does not take it
	timeMS  int64
}

func newBatch(m *metric.Batch) *simBatch {
	points := simPoints(m)
	n := len(points)
	return &simBatch{
		simName: simName{m.Agent.Epoch, m.Agent.Seq}, points: points, made: time.Now(),
		acked: make([]uint64, n), dead: make([]bool, n), excused: make([]bool, n),
	}
}

func (b *simBatch) String() string { return metric.BatchID(b.epoch, b.seq) }

func (b *simBatch) items() int64 { return int64(len(b.points)) }

// point says what became of a point.
func (b *simBatch) point(i int) string {
	return fmt.Sprintf("point %d (series %s) of %v (kept %t, acked by %x, waits %d, lost %d, dead %t, gone %t, dropped %t, excused %t)",
		b.points[i].value, b.points[i].series, b, b.kept, b.acked[i], b.waits.entries, b.lost, b.dead[i], b.gone, b.dropped, b.excused[i])
}

// simPoints lists the points of a batch, series by series, tick by tick within
// each.
func simPoints(b *metric.Batch) (points []simPoint) {
	for _, column := range b.Series {
		for tick, v := range column.Values {
			if !v.IsNull() {
				points = append(points, simPoint{v.Int64(), column.Labels[0].Value, b.Times[tick]})
			}
		}
	}
	return points
}

// excuse marks what is lost now and may be stored: all, or what the server has.
func (b *simBatch) excuse(server *simServer, all bool) {
	for i, p := range b.points {
		if (b.lost > 0 || b.dead[i]) && (all || server.has(p) || server.rejected[simPlace{b.simName, p.value}]) {
			b.excused[i] = true
		}
	}
}

// places returns where points are in the batch; ok is false if not all are.
func (b *simBatch) places(points []simPoint) (at []int, ok bool) {
	for _, p := range points {
		i := slices.Index(b.points, p)
		if i < 0 {
			return at, false
		}
		at = append(at, i)
	}
	return at, true
}
