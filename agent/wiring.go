package agent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"slices"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/collect/naming"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// makeSender makes the sender of a configuration.
type makeSender func(cfg Config, id Identity, build Build) (ship.Sender, func(), error)

// newSender is the table of exporters.
func newSender(stdout io.Writer) makeSender {
	return func(cfg Config, id Identity, build Build) (ship.Sender, func(), error) {
		if cfg.Exporter == "console" {
			return newConsole(stdout, consoleFormat(cfg, stdout)), func() {}, nil
		}
		client, err := newClient(cfg.Exporter, cfg.HTTP, id, build)
		if err != nil {
			return nil, nil, err
		}
		return client, client.Close, nil
	}
}

// assemble makes the parts and joins them.
func assemble(ctx context.Context, cfg Config, id Identity, build Build, newSender makeSender, log zerolog.Logger) (*parts, error) {
	bootMS, err := collect.BootTimeMS(ctx)
	if err != nil {
		log.Warn().Err(err).Msg("cannot tell when the host booted: counters have no start time")
	}
	sender, closeSender, err := newSender(cfg, id, build)
	if err != nil {
		return nil, err
	}
	p := &parts{queue: ship.NewQueue(cfg.Ship.QueueMaxBytes), shutdown: cfg.ShutdownTimeout, close: closeSender, log: log}
	var store ship.Spool
	var ledger ship.Ledger = &ship.MemoryLedger{}
	if cfg.Exporter != "console" && cfg.Spool.Mode != string(ship.SpoolOff) {
		p.spool = openSpool(cfg.Spool, log)
		p.durable = newDurable(p.spool)
		store, ledger = p.durable, p.durable
	}
	shipping := shipConfig(cfg, id, build, bootMS)
	p.shipper, err = ship.New(shipping, p.queue, encode.Native{}, sender, store, ledger, log)
	if err != nil {
		return nil, err
	}
	self := newSelf(cfg.Collect.SelfMetrics == "full", p.shipper, p.spool, ledger)
	p.scheduler = collect.NewScheduler(collectConfig(cfg, id, ""), collectors(cfg, id, self), named(cfg, id, bootMS, p.queue, log), log)
	return p, nil
}

// named puts the chosen names between the collectors and the queue.
func named(cfg Config, id Identity, bootMS int64, queue *ship.Queue, log zerolog.Logger) collect.Sink {
	return naming.NewSink(naming.Config{
		Scheme: naming.Scheme(cfg.MetricNames), Prefix: cfg.MetricPrefix,
		Detailed: cfg.Collect.Detailed, PerCore: cfg.Collect.PerCore, RenamedOnly: cfg.PythonMetrics,
		Host: naming.Host{BootMS: bootMS, Uname: uname(id)},
		Conflict: func(name string) {
			log.Warn().Str("metric", name).Str("hint", "rename it in the text file").
				Msg("a text file and the agent have a series of the same name; the agent's is sent")
		},
	}, queue)
}

// uname is what the kernel says of itself, and of the node what the resource does:
// the agent may run in a container with a name of its own.
func uname(id Identity) []metric.Label {
	labels, err := collect.Uname()
	if err != nil {
		return nil // not on Linux: uname(2) has no other reason to fail
	}
	for i := range labels {
		if name := attribute(id.Attributes, "host.name").Value; labels[i].Key == "nodename" && name != "" {
			labels[i].Value = name
		}
	}
	return labels
}

// collectors picks the configured ones, in the order of the table.
func collectors(cfg Config, id Identity, self *self) []collect.Collector {
	var out []collect.Collector
	for _, builtin := range collect.Builtins() {
		if slices.Contains(cfg.Collect.Collectors, builtin.Name) {
			out = append(out, builtin.New(collectConfig(cfg, id, builtin.Name)))
		}
	}
	if sendsSelf(cfg.Collect) {
		out = append(out, self)
	}
	return out
}

// sendsSelf reports whether the agent sends metrics of its own.
func sendsSelf(cfg CollectConfig) bool {
	return cfg.SelfMetrics != "off" && slices.Contains(cfg.Collectors, selfName)
}

// collectConfig is the configuration of a collector, or of the scheduler, which
// has no name.
func collectConfig(all Config, id Identity, collector string) collect.Config {
	cfg := all.Collect
	detailed, perCore := naming.Scheme(all.MetricNames).Needs(collector)
	return collect.Config{
		Interval:               cfg.Interval,
		Timeout:                cfg.Timeout,
		PhaseKey:               id.AgentID,
		MaxSeries:              cfg.MaxSeries,
		OmitSelf:               !sendsSelf(cfg),
		DetailedSelf:           cfg.SelfMetrics == "full",
		Detailed:               cfg.Detailed || detailed,
		PerCore:                cfg.PerCore || perCore,
		Disk:                   collect.Filter(cfg.Disk),
		Filesystem:             collect.Filter(cfg.Filesystem),
		FilesystemTypesExclude: cfg.FilesystemTypesExclude,
		Network:                collect.Filter(cfg.Network),
		Process:                collect.Filter(cfg.Process),
		ProcessTop:             cfg.ProcessTop,
		TextfileDir:            cfg.TextfileDir,
		TextfileMaxAge:         cfg.TextfileMaxAge,
	}
}

func shipConfig(cfg Config, id Identity, build Build, bootMS int64) ship.Config {
	compression := ship.Compression(cfg.HTTP.Compression)
	if cfg.Exporter == "console" {
		compression = ship.CompressionNone
	}
	return ship.Config{
		Agent:           metric.Agent{ID: id.AgentID, Version: build.Version, Epoch: newEpoch()},
		Resource:        id.Resource(),
		StartMS:         bootMS,
		Interval:        cfg.Collect.Interval,
		BatchMaxPoints:  cfg.Ship.BatchMaxPoints,
		BatchMaxBytes:   cfg.Ship.BatchMaxBytes,
		Compression:     compression,
		Mode:            ship.SpoolMode(cfg.Spool.Mode),
		FIFO:            cfg.Ship.DrainFIFO,
		MaxSeries:       cfg.Collect.MaxSeries,
		ShutdownTimeout: cfg.ShutdownTimeout,
		Rules: ship.Rules{
			RetryInitial:    cfg.Ship.RetryInitial,
			RetryMax:        cfg.Ship.RetryMax,
			RetryAfterMax:   cfg.Ship.RetryAfterMax,
			BatchInterval:   cfg.Ship.BatchInterval,
			DrainMultiplier: cfg.Ship.DrainMultiplier,
		},
	}
}

// newEpoch draws a process's random epoch; 0 is kept for "none".
func newEpoch() uint64 {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read does not fail
	return max(binary.LittleEndian.Uint64(raw[:]), 1)
}

// openSpool never fails: an unusable directory is the spool's own to report.
func openSpool(cfg SpoolConfig, log zerolog.Logger) *spool.Spool {
	config := spool.Config{
		Dir:      cfg.Dir,
		MaxBytes: cfg.MaxBytes,
		MaxAge:   cfg.MaxAge,
		MinFree:  cfg.MinFreeBytes,
		Notify: func(cause error) {
			if cause == nil {
				log.Info().Str("dir", cfg.Dir).Msg("the spool is usable")
				return
			}
			log.Warn().Str("dir", cfg.Dir).Err(cause).Str("hint", "check HEKA_SPOOL_DIR").
				Msg("the spool is not usable; un-sent batches stay in memory, within HEKA_QUEUE_MAX_BYTES")
		},
	}
	if cfg.MinFreeBytes == SpoolMinFreeAuto {
		config.MinFree = autoMinFree(cfg.Dir)
	}
	_ = config.Fsync.UnmarshalText([]byte(cfg.Fsync)) // LoadConfig has checked it
	return spool.Open(config)
}
