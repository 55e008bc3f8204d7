package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// The limits of one answer.
const (
	maxHosts      = 10_000
	maxPageSeries = 1_000
	maxPagePoints = 200_000
)

// Query selects series.
type Query struct {
	// Host is an agent id or a host name.
	Host string
	// Name is a metric's name; "" selects all.
	Name string
	// FromMS and ToMS are the range of the ticks in Unix ms, inclusive.
	FromMS, ToMS int64
	// Limit is the maximum number of points per series; the newest are
	// returned. It must be positive.
	Limit int
}

// Hosts returns all hosts by name.
func (s *Store) Hosts(ctx context.Context) ([]wire.Host, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT `+hostColumns+` FROM hosts ORDER BY name, agent_id LIMIT ?`, maxHosts)
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	defer func() { _ = rows.Close() }()
	hosts := []wire.Host{}
	for rows.Next() {
		var h host
		if _, err := h.scan(rows); err != nil {
			return nil, fmt.Errorf("list hosts: %w", err)
		}
		hosts = append(hosts, h.document())
	}
	return hosts, rows.Err()
}

// Series returns the series that q selects and that have points in its range.
func (s *Store) Series(ctx context.Context, q Query) (wire.SeriesPage, error) {
	page := wire.SeriesPage{Series: []wire.SeriesData{}}
	found, err := s.find(ctx, q)
	if err != nil {
		return page, fmt.Errorf("find series: %w", err)
	}
	if len(found) > maxPageSeries {
		found, page.Truncated = found[:maxPageSeries], true
	}
	room := maxPagePoints
	for i := range found {
		more, err := s.read(ctx, &found[i], q, min(q.Limit, room))
		if err != nil {
			return page, fmt.Errorf("read series %d: %w", found[i].id, err)
		}
		page.Truncated = page.Truncated || more
		if n := len(found[i].Times); n > 0 {
			room -= n
			page.Series = append(page.Series, found[i].SeriesData)
		}
		if room == 0 {
			page.Truncated = page.Truncated || i < len(found)-1
			break
		}
	}
	return page, nil
}

// foundSeries is a series, and how far before a range its chunks may begin.
type foundSeries struct {
	wire.SeriesData
	id, maxSpanMS int64
}

func (s *Store) find(ctx context.Context, q Query) ([]foundSeries, error) {
	rows, err := s.reader.QueryContext(ctx, `
		SELECT s.id, h.max_span_ms, h.agent_id, s.name, s.unit, s.kind, s.labels FROM hosts h JOIN series s ON s.host = h.id
		WHERE (h.agent_id = ?1 OR h.name = ?1) AND (?2 = '' OR s.name = ?2)
		ORDER BY s.name, s.labels, h.agent_id LIMIT ?3`, q.Host, q.Name, maxPageSeries+1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found []foundSeries
	for rows.Next() {
		var f foundSeries
		var labels []byte
		if err := rows.Scan(&f.id, &f.maxSpanMS, &f.AgentID, &f.Name, &f.Unit, &f.Kind, &labels); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(labels, &f.Labels); err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	return found, rows.Err()
}

type point struct {
	timeMS int64
	value  wire.Value
}

// read adds the newest points of f, at most limit. It reports whether there are
// more.
func (s *Store) read(ctx context.Context, f *foundSeries, q Query, limit int) (more bool, err error) {
	// Newest first, so that it reads no more than the limit.
	rows, err := s.reader.QueryContext(ctx, `SELECT start_ms, data FROM chunks
		WHERE series = ? AND first_ms BETWEEN ? AND ? ORDER BY first_ms DESC, batch DESC`, f.id, q.FromMS-f.maxSpanMS, q.ToMS)
	if err != nil {
		return false, err
	}
	defer func() { _ = rows.Close() }()
	var points []point
	for len(points) <= limit && rows.Next() {
		var start sql.NullInt64
		var data sql.RawBytes
		if err := rows.Scan(&start, &data); err != nil {
			return false, err
		}
		n := len(points)
		if points, err = appendPoints(points, data, q); err != nil {
			return false, err
		}
		if n == 0 && len(points) > 0 {
			f.StartMS = start.Int64
		}
		if len(points) > limit {
			points = distinct(points)
		}
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	points = distinct(points)
	more = len(points) > limit
	f.setPoints(points[max(0, len(points)-limit):])
	return more, nil
}

// distinct sorts points by time and keeps the first of several points with the
// same time. Parts of a batch may overlap, and a clock may have been set back.
func distinct(points []point) []point {
	slices.SortStableFunc(points, func(a, b point) int { return cmp.Compare(a.timeMS, b.timeMS) })
	return slices.CompactFunc(points, func(a, b point) bool { return a.timeMS == b.timeMS })
}

func appendPoints(points []point, data []byte, q Query) ([]point, error) {
	times, rest, err := readTimes(data)
	if err != nil {
		return nil, err
	}
	values, err := readValues(rest, len(times))
	if err != nil {
		return nil, err
	}
	for i, t := range times {
		if q.FromMS <= t && t <= q.ToMS && !values[i].IsNull() {
			points = append(points, point{t, values[i]})
		}
	}
	return points, nil
}

func (f *foundSeries) setPoints(points []point) {
	f.Times = make([]int64, len(points))
	f.Values = make([]wire.Value, len(points))
	for i, p := range points {
		f.Times[i], f.Values[i] = p.timeMS, p.value
	}
}
