package store

import (
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// host is one row of hosts.
type host struct {
	id   int64
	name string
	wire.Host
	epoch     uint64
	maxSpanMS int64
	latest    latest
}

// hostColumns lists the columns in the order of (*host).fields.
const (
	hostColumns = `id, agent_id, name, version, resource, first_seen_ms, last_seen_ms, last_tick_ms, interval_ms,
		epoch, seq, max_span_ms, epochs, batches, points, duplicates, gaps, ticks, missing_ticks, loss, latest`
	hostMarks = `?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?`
)

// scanner is implemented by *sql.Row and *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

// scan reads a row. found is false if there is none.
func (h *host) scan(row scanner) (found bool, err error) {
	var epoch, seq int64
	var resource, loss, latest []byte
	err = row.Scan(&h.id, &h.AgentID, &h.name, &h.Version, &resource, &h.FirstSeenMS, &h.LastSeenMS, &h.LastTickMS,
		&h.IntervalMS, &epoch, &seq, &h.maxSpanMS, &h.Epochs, &h.Batches, &h.Points, &h.Duplicates, &h.Gaps,
		&h.Ticks, &h.MissingTicks, &loss, &latest)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	h.epoch, h.Seq = uint64(epoch), uint64(seq)
	return true, errors.Join(
		json.Unmarshal(resource, &h.Resource), json.Unmarshal(loss, &h.Loss), json.Unmarshal(latest, &h.latest))
}

// values returns the values to write. A zero id is replaced by a new one.
func (h *host) values() ([]any, error) {
	resource, err1 := json.Marshal(h.Resource)
	loss, err2 := json.Marshal(h.Loss)
	latest, err3 := json.Marshal(h.latest)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	id := sql.NullInt64{Int64: h.id, Valid: h.id != 0}
	return []any{
		id, h.AgentID, h.name, h.Version, string(resource), h.FirstSeenMS, h.LastSeenMS, h.LastTickMS,
		h.IntervalMS, int64(h.epoch), int64(h.Seq), h.maxSpanMS, h.Epochs, h.Batches, h.Points, h.Duplicates, h.Gaps,
		h.Ticks, h.MissingTicks, string(loss), string(latest),
	}, nil
}

// futureMS is how far the clock of a host may be ahead of the ingest's clock. A
// tick further ahead does not count as the newest one.
const futureMS = 60_000

// describe copies what b says about the host if b has the newest tick. Batches
// of a backlog arrive late and must not overwrite newer values.
func (h *host) describe(b *wire.Batch, nowMS int64) {
	newest := b.Times[len(b.Times)-1]
	later := newest >= h.LastTickMS || h.LastTickMS > nowMS+futureMS
	if b.Agent.Epoch == h.epoch {
		later = b.Agent.Seq >= h.Seq
	}
	if !later {
		return
	}
	h.LastTickMS, h.IntervalMS = newest, b.IntervalMS
	h.Version, h.Resource = b.Agent.Version, b.Resource
	h.epoch, h.Seq = b.Agent.Epoch, b.Agent.Seq
	h.name = b.Resource["host.name"]
	if h.name == "" {
		h.name = b.Agent.ID
	}
	h.Loss = make(map[string]int64, len(b.Loss))
	for reason, loss := range b.Loss {
		h.Loss[reason] = loss.Points
	}
	h.latest = h.latest.after(b)
}

// document returns the row as the API shows it.
func (h *host) document() wire.Host {
	out := h.Host
	out.Host, out.Epoch, out.Latest = h.name, wire.FormatEpoch(h.epoch), h.latest.Latest
	return out
}
