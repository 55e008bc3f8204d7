package metric

import (
	"math"
	"slices"
	"strings"
)

// Point is one value of one series in one tick.
type Point struct {
	Series *Series
	Value  Value
}

// sweepEvery is the number of ticks between two sweeps of unused series.
// idleTicks is the number of ticks without a value after which a series is
// swept: an hour at the default interval, so that a mount that comes and goes
// stays one series.
const (
	sweepEvery = 120
	idleTicks  = 720
)

// Snapshot collects the points of one tick and is reused for the next. It
// interns series, so that a series keeps its address from tick to tick and a
// steady tick allocates nothing, and it limits their number. A Snapshot is not
// safe for concurrent use; the series that it returns are.
type Snapshot struct {
	// TimeMS is the tick's wall-clock time in Unix ms.
	TimeMS int64
	// Points holds the tick's readings. The slice is valid until
	// [Snapshot.Reset].
	Points []Point

	max        int
	series     map[string]*interned
	key        []byte
	tick       uint64
	startMS    int64
	overLimit  int64
	refused    *Series
	duplicates int64
}

type interned struct {
	series   *Series
	lastTick uint64
}

// NewSnapshot returns an empty snapshot that holds at most maxSeries live
// series; 0 means no limit.
func NewSnapshot(maxSeries int) *Snapshot {
	return &Snapshot{max: maxSeries, series: make(map[string]*interned)}
}

// Reset empties the snapshot for a tick at timeMS, in Unix ms. It keeps the
// series.
func (s *Snapshot) Reset(timeMS int64) {
	s.TimeMS = timeMS
	s.Points = s.Points[:0]
	s.tick++
	s.startMS = 0
	s.refused = nil
	if s.tick%sweepEvery == 0 {
		s.sweep()
	}
}

// Since sets the start time, in Unix ms, of the counters that are added after
// it. 0 means the host's boot and is the default after [Snapshot.Reset].
func (s *Snapshot) Since(startMS int64) { s.startMS = startMS }

// OverLimit returns how many points were dropped because of the limit on
// series, since the snapshot was created.
func (s *Snapshot) OverLimit() int64 { return s.overLimit }

// Refused returns the first series that was dropped because of the limit since
// [Snapshot.Reset], or nil.
func (s *Snapshot) Refused() *Series { return s.refused }

// Drop adds n to the count that [Snapshot.OverLimit] returns. It is for points
// that another snapshot dropped; refused is the first series among them, or
// nil.
func (s *Snapshot) Drop(n int64, refused *Series) {
	s.overLimit += n
	if s.refused == nil {
		s.refused = refused
	}
}

// Duplicates returns how many points were dropped because their series already
// had a value in the same tick, since the snapshot was created.
func (s *Snapshot) Duplicates() int64 { return s.duplicates }

// Int adds an integer reading. It does not retain labels.
func (s *Snapshot) Int(d *Desc, v int64, labels ...Label) { s.add(d, Int(v), labels) }

// Uint adds an unsigned reading. It drops values above 2^63-1. No kernel
// counter reaches them, but "unlimited" sentinels do.
func (s *Snapshot) Uint(d *Desc, v uint64, labels ...Label) {
	if v <= math.MaxInt64 {
		s.add(d, Int(int64(v)), labels)
	}
}

// Float adds a floating-point reading. It drops NaN and infinities.
func (s *Snapshot) Float(d *Desc, v float64, labels ...Label) {
	if value := Float(v); !value.IsNull() {
		s.add(d, value, labels)
	}
}

func (s *Snapshot) add(d *Desc, v Value, labels []Label) {
	e := s.intern(d, labels)
	switch {
	case e == nil:
		s.overLimit++
		if s.refused == nil {
			s.refused = &Series{Desc: d, Labels: cloneLabels(labels)}
		}
	case e.lastTick == s.tick:
		s.duplicates++
	default:
		e.lastTick = s.tick
		s.Points = append(s.Points, Point{Series: e.series, Value: v})
	}
}

// intern finds or creates the series. It returns nil if that would exceed the
// limit.
func (s *Snapshot) intern(d *Desc, labels []Label) *interned {
	key := append(s.key[:0], d.Name...)
	for _, l := range labels {
		key = append(key, 0)
		key = append(key, l.Key...)
		key = append(key, 0)
		key = append(key, l.Value...)
	}
	s.key = key
	e := s.series[string(key)]
	switch {
	case e == nil && s.max > 0 && len(s.series) >= s.max:
		return nil
	case e == nil:
		e = &interned{}
		s.series[string(key)] = e
	case e.lastTick == s.tick, e.series.StartMS == s.startMS && e.series.Desc == d:
		return e // the first value of a tick determines the series
	}
	// The series is new, or a counter restarted, or a file now declares the
	// metric differently. A series is immutable, so replace it.
	e.series = &Series{Desc: d, Labels: cloneLabels(labels), StartMS: s.startMS}
	return e
}

// sweep removes series that have had no value for idleTicks.
func (s *Snapshot) sweep() {
	for key, e := range s.series {
		if e.lastTick+idleTicks < s.tick {
			delete(s.series, key)
		}
	}
}

// cloneLabels also copies the text. A reading is often a slice of a whole /proc
// file, which a retained label would keep alive.
func cloneLabels(labels []Label) []Label {
	out := slices.Clone(labels)
	for i := range out {
		out[i].Key = strings.Clone(out[i].Key)
		out[i].Value = strings.Clone(out[i].Value)
	}
	return out
}
