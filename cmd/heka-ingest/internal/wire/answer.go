package wire

// The statuses of an Ack.
const (
	// Accepted means that the batch is on disk now.
	Accepted = "accepted"
	// Duplicate means that the batch was on disk before.
	Duplicate = "duplicate"
)

// Ack is the answer to a batch that is safely stored. It echoes the batch id;
// without the id a 200 is not an acknowledgement.
type Ack struct {
	BatchID string `json:"batch_id"`
	Status  string `json:"status"`
	// Points is how many values of the batch are stored, not counting nulls.
	Points int64 `json:"points"`
	// Rejected lists the first maxListed rejected series, so that the answer
	// stays within the 64 KiB that an agent reads. It is never nil.
	Rejected []Rejected `json:"rejected"`
	// RejectedSeries is the number of rejected series if Rejected does not list
	// all of them.
	RejectedSeries int `json:"rejected_series,omitempty"`
}

const maxListed = 100

// Ack returns the answer to a batch whose accepted series are all stored.
func (b *Batch) Ack(status string) Ack {
	ack := Ack{BatchID: b.ID, Status: status, Points: b.Points(), Rejected: b.Rejected}
	if n := len(b.Rejected); n > maxListed {
		ack.Rejected, ack.RejectedSeries = b.Rejected[:maxListed], n
	}
	return ack
}

// Rejected names a series that was not stored with its batch, and the reason.
// Sending it again does not help.
type Rejected struct {
	Series int    `json:"series"`
	Reason string `json:"reason"`
}

// Error is the body of every unsuccessful answer.
type Error struct {
	Error string `json:"error"`
}

// Host describes one agent in GET /api/hosts. Its counts cover everything that
// the ingest ever stored for the agent; retention does not lower them.
type Host struct {
	AgentID string `json:"agent_id"`
	// Host is the resource attribute host.name, or the agent id.
	Host     string     `json:"host"`
	Version  string     `json:"version"`
	Resource Attributes `json:"resource"`
	// FirstSeenMS and LastSeenMS are on the ingest's clock, LastTickMS is on
	// the host's clock. All are in Unix ms.
	FirstSeenMS int64 `json:"first_seen_ms"`
	LastSeenMS  int64 `json:"last_seen_ms"`
	LastTickMS  int64 `json:"last_tick_ms"`
	IntervalMS  int64 `json:"interval_ms"`
	// Epoch and Seq belong to the batch with the newest tick.
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
	// Epochs counts the starts of the agent.
	Epochs     int64 `json:"epochs"`
	Batches    int64 `json:"batches"`
	Points     int64 `json:"points"`
	Duplicates int64 `json:"duplicates"`
	// Gaps counts batches that were made but have not arrived (yet): gaps in
	// seq.
	Gaps int64 `json:"gaps"`
	// Ticks counts ticks. MissingTicks counts the ticks that would fit into the
	// gaps between stored ticks of the same epoch, where a gap is longer than
	// 1.5 intervals.
	Ticks        int64 `json:"ticks"`
	MissingTicks int64 `json:"missing_ticks"`
	// Loss is what the agent reports as lost, in points by reason.
	Loss   map[string]int64 `json:"loss"`
	Latest Latest           `json:"latest"`
}

// Latest holds a host's newest readings. A field is nil if there is no such
// reading.
type Latest struct {
	// CPU is the share of all CPUs in use, 0 to 1.
	CPU *float64 `json:"cpu_utilization,omitempty"`
	// MemoryUsed and MemoryLimit are in bytes.
	MemoryUsed  *float64 `json:"memory_used_bytes,omitempty"`
	MemoryLimit *float64 `json:"memory_limit_bytes,omitempty"`
	// DiskRead and DiskWrite are in bytes per second over all devices, computed
	// from the last two values of their counters.
	DiskRead  *float64 `json:"disk_read_bytes_per_second,omitempty"`
	DiskWrite *float64 `json:"disk_write_bytes_per_second,omitempty"`
	// Filesystems is sorted by mount point.
	Filesystems []Filesystem `json:"filesystems,omitempty"`
}

// Filesystem says how full one mount is.
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
	// Truncated means that the answer is incomplete because of a limit. Request
	// less at a time.
	Truncated bool `json:"truncated"`
}

// SeriesData is one series with its points, oldest first.
type SeriesData struct {
	AgentID string     `json:"agent_id"`
	Name    string     `json:"name"`
	Unit    string     `json:"unit"`
	Kind    string     `json:"kind"`
	Labels  Attributes `json:"labels"`
	// StartMS is the start of a counter with a start of its own, as of its
	// newest point; 0 means the host's boot.
	StartMS int64   `json:"start_ms,omitempty"`
	Times   []int64 `json:"times"`
	Values  []Value `json:"values"`
}
