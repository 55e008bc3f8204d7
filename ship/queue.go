package ship

import (
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// tick is one collected snapshot, copied.
type tick struct {
	timeMS int64
	points []metric.Point
}

// sizeBytes is what the tick takes in memory. Series are shared by all ticks
// and bounded by HEKA_MAX_SERIES, so they are not counted.
func (t tick) sizeBytes() int64 {
	return int64(unsafe.Sizeof(t)) + int64(len(t.points))*int64(unsafe.Sizeof(metric.Point{}))
}

// Queue holds ticks between the collectors and the shipper. Its bound covers
// these and the batches that the shipper holds in memory. It is safe for
// concurrent use by one producer and one shipper.
type Queue struct {
	maxBytes int64
	ready    chan struct{}

	mu        sync.Mutex
	ticks     []tick           // guarded by mu, like all below
	gone      int64            // ticks that were here before these
	bytes     int64            // of ticks
	points    int64            // of ticks
	held      int64            // bytes of batches held by the shipper
	next      int64            // bytes that the next tick is expected to take
	lost      map[string]int64 // points by reason, since the last takeLost
	overLimit int64            // the snapshot's count at the last Put
	closed    bool
	closedAt  time.Time
}

// NewQueue returns a queue bounded to maxBytes.
func NewQueue(maxBytes int64) *Queue {
	return &Queue{maxBytes: maxBytes, ready: make(chan struct{}, 1), lost: make(map[string]int64)}
}

// Put copies the snapshot's points into the queue. It never blocks on
// delivery: at the bound the oldest ticks are dropped and counted as
// "queue_full". After Close it does nothing.
func (q *Queue) Put(s *metric.Snapshot) {
	t := tick{timeMS: s.TimeMS, points: slices.Clone(s.Points)}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	if over := s.OverLimit(); over > q.overLimit {
		q.lost[LostSeriesLimit] += over - q.overLimit
		q.overLimit = over
	}
	q.ticks = append(q.ticks, t)
	q.next = t.sizeBytes()
	q.bytes += q.next
	q.points += int64(len(t.points))
	for len(q.ticks) > 0 && q.bytes+q.held > q.maxBytes {
		q.dropOldest()
	}
	q.wake()
}

// Close marks the end of the ticks. The shipper flushes what is left.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.closedAt = true, time.Now()
	q.wake()
}

func (q *Queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// dropOldest wants mu held and a tick in the queue.
func (q *Queue) dropOldest() {
	t := q.ticks[0]
	q.ticks = slices.Delete(q.ticks, 0, 1)
	q.gone++
	q.bytes -= t.sizeBytes()
	q.points -= int64(len(t.points))
	q.lost[LostQueueFull] += int64(len(t.points))
}

// queued says how much waits in the queue.
type queued struct {
	ticks  int
	points int64
	bytes  int64
	held   int64
	next   int64
	closed bool
	// closedAt is zero until then.
	closedAt time.Time
}

func (q *Queue) state() queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	return queued{
		ticks: len(q.ticks), points: q.points, bytes: q.bytes, held: q.held, next: q.next,
		closed: q.closed, closedAt: q.closedAt,
	}
}

// take empties the queue.
func (q *Queue) take() []tick {
	q.mu.Lock()
	defer q.mu.Unlock()
	ticks := q.ticks
	q.gone += int64(len(ticks))
	q.ticks, q.bytes, q.points = nil, 0, 0
	return ticks
}

// since returns the ticks from number n on, counted from the first one ever, and
// the number of the next to come. They stay in the queue.
func (q *Queue) since(n int64) (ticks []tick, end int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	end = q.gone + int64(len(q.ticks))
	return slices.Clone(q.ticks[min(max(n-q.gone, 0), int64(len(q.ticks))):]), end
}

// takeLost hands over the losses since the last call; nil when there are none.
func (q *Queue) takeLost() map[string]int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lost) == 0 {
		return nil
	}
	lost := q.lost
	q.lost = make(map[string]int64)
	return lost
}

// hold tells the queue how many bytes of batches the shipper holds.
func (q *Queue) hold(bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = bytes
}
