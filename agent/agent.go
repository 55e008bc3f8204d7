package agent

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// Build says which build of the agent is running.
type Build struct{ Version, Commit string }

// spoolCloseTimeout bounds what a slow disk may add to a shutdown.
const spoolCloseTimeout = 2 * time.Second

// parts are the long-lived parts, wired.
type parts struct {
	scheduler *collect.Scheduler
	queue     *ship.Queue
	shipper   *ship.Shipper
	spool     *spool.Spool // nil with HEKA_SPOOL_MODE=off and on the console
	close     func()
	log       zerolog.Logger
}

// Run runs the agent until ctx is done, and then shuts it down in order: last
// tick, flush, spool the rest. That takes HEKA_SHUTDOWN_TIMEOUT, and two
// seconds more if the disk is slow. stdout is where the exporter console
// writes. An error means that the agent could not start; nothing of the
// network or the disk is such an error.
func Run(ctx context.Context, cfg Config, build Build, stdout io.Writer, log zerolog.Logger) error {
	id, warnings := Identify(cfg, true)
	for _, w := range warnings {
		log.Warn().Msg(w)
	}
	p, err := assemble(ctx, cfg, id, build, newSender(stdout), log)
	if err != nil {
		return err
	}
	defer p.close()
	start := log.Info().Str("version", build.Version).Str("exporter", cfg.Exporter).
		Str("interval", cfg.Collect.Interval.String()).Strs("collectors", cfg.Collect.Collectors)
	if cfg.HTTP.Endpoint != nil {
		start = start.Str("endpoint", RedactURL(cfg.HTTP.Endpoint))
	}
	if p.spool != nil {
		start = start.Str("spool", cfg.Spool.Dir)
	}
	start.Msg("started")
	p.run(ctx)
	stats := p.shipper.Stats()
	log.Info().Int64("delivered_batches", stats.DeliveredBatches).
		Int64("batches_waiting", p.waiting()).Msg("stopped")
	return nil
}

// run joins every goroutine that it starts.
func (p *parts) run(ctx context.Context) {
	var collecting, spooling sync.WaitGroup
	detached := context.WithoutCancel(ctx) // the shipper ends with its queue
	disk, closeDisk := context.WithCancel(detached)
	defer closeDisk()
	collecting.Go(func() {
		defer p.queue.Close()
		if err := p.scheduler.Run(ctx); err != nil {
			p.log.Error().Err(err).Msg("collecting ended")
		}
	})
	if p.spool != nil {
		spooling.Go(func() {
			if err := p.spool.Run(disk); err != nil {
				p.log.Error().Err(err).Msg("the spool's upkeep ended")
			}
		})
	}
	if err := p.shipper.Run(detached); err != nil {
		p.log.Error().Err(err).Msg("shipping ended")
	}
	collecting.Wait()
	closeDisk()
	spooling.Wait()
	p.closeSpool(detached)
}

func (p *parts) closeSpool(ctx context.Context) {
	if p.spool == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, spoolCloseTimeout)
	defer cancel()
	if err := p.spool.Close(ctx); err != nil {
		p.log.Error().Err(err).Msg("close the spool: what it had not written is lost")
	}
}

func (p *parts) waiting() int64 {
	if p.spool == nil {
		return 0
	}
	return p.spool.Stats().Records
}
