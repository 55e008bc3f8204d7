package agent

import (
	"context"
	"runtime"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/spool"
)

var (
	selfQueuePoints = metric.Desc{
		Name: "heka.agent.queue.points", Unit: "{points}", Kind: metric.UpDown, Detailed: true,
		Help: "Points collected and not yet in a batch.", Source: "the queue",
	}
	selfQueueBytes = metric.Desc{
		Name: "heka.agent.queue.bytes", Unit: "By", Kind: metric.UpDown, Detailed: true,
		Help: "Memory held by points and batches; at most HEKA_QUEUE_MAX_BYTES.", Source: "the queue",
	}
	selfWaiting = metric.Desc{
		Name: "heka.agent.batches.waiting", Unit: "{batches}", Kind: metric.UpDown,
		Help: "Batches cut and not acknowledged, in memory or on disk.", Source: "the shipper",
	}
	selfSpoolRecords = metric.Desc{
		Name: "heka.agent.spool.records", Unit: "{records}", Kind: metric.UpDown, Detailed: true,
		Help: "Batches in the spool that wait for delivery.", Source: "the spool",
	}
	selfSpoolBytes = metric.Desc{
		Name: "heka.agent.spool.bytes", Unit: "By", Kind: metric.UpDown,
		Help: "Disk space that the spool occupies.", Source: "the spool",
	}
	selfSpoolPoints = metric.Desc{
		Name: "heka.agent.spool.points", Unit: "{points}", Kind: metric.UpDown, Detailed: true, Labels: []string{"state"},
		Help:   "Points over the spool directory's life: appended = delivered + evicted + expired + corrupt + dead + pending.",
		Source: "the spool",
	}
	selfSpoolUsable = metric.Desc{
		Name: "heka.agent.spool.usable", Unit: "1", Kind: metric.Gauge,
		Help: "1 while the spool can be written, 0 while the agent runs from memory alone.", Source: "the spool",
	}
	selfBatchesDelivered = metric.Desc{
		Name: "heka.agent.batches.delivered", Unit: "{batches}", Kind: metric.Counter, Detailed: true,
		Help: "Batches that the backend acknowledged.", Source: "the shipper",
	}
	selfPointsDelivered = metric.Desc{
		Name: "heka.agent.points.delivered", Unit: "{points}", Kind: metric.Counter, Detailed: true,
		Help: "Points in these batches.", Source: "the shipper",
	}
	selfFailures = metric.Desc{
		Name: "heka.agent.requests.failed", Unit: "{requests}", Kind: metric.Counter,
		Help: "Requests that were not acknowledged; their batches are tried again.", Source: "the shipper",
	}
	selfSeriesRefused = metric.Desc{
		Name: "heka.agent.series.refused", Unit: "{series}", Kind: metric.UpDown,
		Help: "Series that the backend refuses for good, and that batches leave out until it accepts them again.", Source: "the shipper",
	}
	selfLost = metric.Desc{
		Name: "heka.agent.points.lost", Unit: "{points}", Kind: metric.Counter, Labels: []string{"reason"},
		Help: "Points given up, by reason. A batch's own loss counts over the agent's life on the host, this since the process started.", Source: "the loss ledger",
	}
	selfLag = metric.Desc{
		Name: "heka.agent.delivery.lag", Unit: "s", Kind: metric.Gauge,
		Help: "Age of the newest point of the last acknowledged batch when it was acknowledged.", Source: "the shipper",
	}
	selfRSS = metric.Desc{
		Name: "heka.agent.memory.rss", Unit: "By", Kind: metric.UpDown,
		Help: "Resident memory of the agent.", Source: "/proc/self/statm",
	}
	selfCPU = metric.Desc{
		Name: "heka.agent.cpu.time", Unit: "s", Kind: metric.Counter,
		Help: "CPU time of the agent, user and system.", Source: "getrusage(2)",
	}
	selfGoroutines = metric.Desc{
		Name: "heka.agent.goroutines", Unit: "{goroutines}", Kind: metric.UpDown, Detailed: true,
		Help: "Goroutines of the agent.", Source: "the Go runtime",
	}
)

func selfDescs() []*metric.Desc {
	return []*metric.Desc{
		&selfQueuePoints, &selfQueueBytes, &selfWaiting, &selfSpoolRecords, &selfSpoolBytes, &selfSpoolPoints, &selfSpoolUsable,
		&selfBatchesDelivered, &selfPointsDelivered, &selfFailures, &selfSeriesRefused, &selfLost, &selfLag, &selfRSS, &selfCPU, &selfGoroutines,
	}
}

// self is the collector "agent": how the agent itself does.
type self struct {
	full    bool // HEKA_SELF_METRICS=full
	shipper *ship.Shipper
	disk    *lastSeen
	startMS int64
	before  map[string]int64 // losses of earlier processes, by reason
}

func newSelf(full bool, shipper *ship.Shipper, spool *spool.Spool, ledger ship.Ledger) *self {
	c := &self{
		full:    full,
		shipper: shipper,
		disk:    &lastSeen{spool: spool, ledger: ledger},
		startMS: time.Now().UnixMilli(),
		before:  make(map[string]int64),
	}
	for _, l := range ledger.Losses() {
		c.before[l.Reason] = l.Points
	}
	return c
}

// selfName is the collector's name in HEKA_COLLECTORS.
const selfName = "agent"

// Name is the collector's name.
func (c *self) Name() string { return selfName }

// Collect adds the figures as of now. Those of a disk that hangs are as last
// seen, and it counts as unusable.
func (c *self) Collect(_ context.Context, s *metric.Snapshot) error {
	s.Since(c.startMS)
	stats := c.shipper.Stats()
	s.Int(&selfWaiting, stats.WaitingBatches)
	s.Int(&selfFailures, stats.Failures)
	s.Int(&selfSeriesRefused, stats.RefusedSeries)
	if !stats.LastDelivery.IsZero() {
		s.Float(&selfLag, stats.Lag.Round(time.Millisecond).Seconds())
	}
	disk := c.disk.look()
	for _, l := range disk.losses {
		s.Int(&selfLost, l.Points-c.before[l.Reason], metric.L("reason", l.Reason))
	}
	if c.disk.spool != nil {
		c.collectSpool(disk.stats, s)
	}
	if c.full {
		s.Int(&selfQueuePoints, stats.QueuePoints)
		s.Int(&selfQueueBytes, stats.MemoryBytes)
		s.Int(&selfBatchesDelivered, stats.DeliveredBatches)
		s.Int(&selfPointsDelivered, stats.DeliveredPoints)
		s.Int(&selfGoroutines, int64(runtime.NumGoroutine()))
	}
	return collectProcess(s)
}

func (c *self) collectSpool(stats spool.Stats, s *metric.Snapshot) {
	usable := int64(1)
	if stats.Cause != nil {
		usable = 0
	}
	s.Int(&selfSpoolBytes, stats.DiskBytes)
	s.Int(&selfSpoolUsable, usable)
	if !c.full {
		return
	}
	s.Int(&selfSpoolRecords, stats.Records)
	for _, state := range []struct {
		name   string
		points int64
	}{
		{"appended", stats.Appended},
		{"delivered", stats.Delivered},
		{"evicted", stats.Evicted},
		{"expired", stats.Expired},
		{"corrupt", stats.Corrupt},
		{"dead", stats.Dead},
		{"pending", stats.Points},
	} {
		s.Int(&selfSpoolPoints, state.points, metric.L("state", state.name))
	}
}
