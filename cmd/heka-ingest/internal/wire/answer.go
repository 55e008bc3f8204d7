package wire

// The statuses of an Ack.
const (
	// Accepted says that the batch is on disk now.
	Accepted = "accepted"
	// Duplicate says that it already was.
	Duplicate = "duplicate"
)

// Ack is the answer to a batch that is safely stored. It echoes the batch id:
// without that a 200 is no acknowledgement.
type Ack struct {
	BatchID string `json:"batch_id"`
	Status  string `json:"status"`
	// Points counts the batch's values that are stored, nulls left out.
	Points int64 `json:"points"`
	// Rejected is never nil. It lists the first maxListed series, so that the
	// answer stays within the 64 KiB that an agent reads of it.
	Rejected []Rejected `json:"rejected"`
	// RejectedSeries is how many there are, if Rejected does not list them all.
	RejectedSeries int `json:"rejected_series,omitempty"`
}

const maxListed = 100

// Ack returns the answer to a batch of which every accepted series is stored.
func (b *Batch) Ack(status string) Ack {
	ack := Ack{BatchID: b.ID, Status: status, Points: b.Points(), Rejected: b.Rejected}
	if n := len(b.Rejected); n > maxListed {
		ack.Rejected, ack.RejectedSeries = b.Rejected[:maxListed], n
	}
	return ack
}

// Rejected names a series that was left out of a stored batch, and why.
// Sending it again will not help.
type Rejected struct {
	Series int    `json:"series"`
	Reason string `json:"reason"`
}

// Error is the body of every answer that is not a success.
type Error struct {
	Error string `json:"error"`
}

// Host is one agent as GET /api/hosts shows it. Counts are over all that the
// ingest ever stored of it, retention does not lower them.
type Host struct {
	AgentID string `json:"agent_id"`
	// Host is the resource attribute host.name, or the agent id.
	Host     string     `json:"host"`
	Version  string     `json:"version"`
	Resource Attributes `json:"resource"`
	// FirstSeenMS and LastSeenMS are by the ingest's clock, LastTickMS by the
	// host's. All are Unix ms.
	FirstSeenMS int64 `json:"first_seen_ms"`
	LastSeenMS  int64 `json:"last_seen_ms"`
	LastTickMS  int64 `json:"last_tick_ms"`
	IntervalMS  int64 `json:"interval_ms"`
	// Epoch and Seq are those of the batch with the newest tick.
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
	// Epochs counts the agent's starts.
	Epochs     int64 `json:"epochs"`
	Batches    int64 `json:"batches"`
	Points     int64 `json:"points"`
	Duplicates int64 `json:"duplicates"`
	// Gaps counts batches that were made but are not here (yet): holes in seq.
	Gaps int64 `json:"gaps"`
	// Ticks counts ticks, and MissingTicks the ones that holes of more than 1.5
	// intervals between two stored ticks of one epoch leave room for.
	Ticks        int64 `json:"ticks"`
	MissingTicks int64 `json:"missing_ticks"`
	// Loss is what the agent says it gave up, by reason, in points.
	Loss   map[string]int64 `json:"loss"`
	Latest Latest           `json:"latest"`
}

// Latest is a host's newest readings. A nil field was not among them.
type Latest struct {
	// CPU is the share of all CPUs in use, 0 to 1.
	CPU *float64 `json:"cpu_utilization,omitempty"`
	// MemoryUsed and MemoryLimit are in bytes.
	MemoryUsed  *float64 `json:"memory_used_bytes,omitempty"`
	MemoryLimit *float64 `json:"memory_limit_bytes,omitempty"`
	// DiskRead and DiskWrite are in bytes a second over all devices, computed
	// from the last two values of their counters.
	DiskRead  *float64 `json:"disk_read_bytes_per_second,omitempty"`
	DiskWrite *float64 `json:"disk_write_bytes_per_second,omitempty"`
	// Filesystems is sorted by mount point.
	Filesystems []Filesystem `json:"filesystems,omitempty"`
}

// Filesystem is how full one mount is.
type Filesystem struct {
	Mountpoint string `json:"mountpoint"`
	Device     string `json:"device"`
	// Used and Size are in bytes; Size is used + free + reserved.
	Used float64 `json:"used_bytes"`
	Size float64 `json:"size_bytes"`
}

// SeriesPage is the answer of GET /api/series.
type SeriesPage struct {
	Series []SeriesData `json:"series"`
	// Truncated says that a bound left something out: ask for less at a time.
	Truncated bool `json:"truncated"`
}

// SeriesData is one series with its points, oldest first.
type SeriesData struct {
	AgentID string     `json:"agent_id"`
	Name    string     `json:"name"`
	Unit    string     `json:"unit"`
	Kind    string     `json:"kind"`
	Labels  Attributes `json:"labels"`
	// StartMS is when a counter with a start of its own began, as of its
	// newest point; 0 means the host's boot.
	StartMS int64   `json:"start_ms,omitempty"`
	Times   []int64 `json:"times"`
	Values  []Value `json:"values"`
}
