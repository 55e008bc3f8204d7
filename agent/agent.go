package agent

import (
	"context"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// Build says which build of the agent is running.
type Build struct{ Version, Commit string }

// diskTimeout bounds what a slow disk may add to a shutdown.
const diskTimeout = 2 * time.Second

// parts are the long-lived parts, wired.
type parts struct {
	scheduler *collect.Scheduler
	queue     *ship.Queue
	shipper   *ship.Shipper
	spool     *spool.Spool  // nil with HEKA_SPOOL_MODE=off and on the console
	durable   *durable      // spool, as the shipper sees it
	shutdown  time.Duration // HEKA_SHUTDOWN_TIMEOUT
	close     func()
	log       zerolog.Logger
}

// Run runs the agent until ctx is done, and then shuts it down in order: last
// tick, flush, spool the rest. That takes HEKA_SHUTDOWN_TIMEOUT, and two
// seconds more if the disk is slow. stdout is where the exporter console
// writes. An error means that the agent could not start; nothing of the
// network or the disk is such an error.
func Run(ctx context.Context, cfg Config, build Build, stdout io.Writer, log zerolog.Logger) error {
	id, warnings := Identify(cfg, build, true)
	for _, w := range warnings {
		log.Warn().Msg(w)
	}
	var limit string
	cfg.Collect, limit = resolveContainer(cfg.Collect)
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
		start = start.Str("spool", spool.Locate(cfg.Spool.Dir))
	}
	if limit != "" {
		start = start.Str("limited_by", limit)
	}
	start.Msg("started")
	debug.FreeOSMemory() // what starting took is not needed again
	p.run(ctx)
	return nil
}

// run joins every goroutine that it starts, except that it leaves a disk that
// does not answer alone when it is late.
func (p *parts) run(ctx context.Context) {
	detached := context.WithoutCancel(ctx) // the shipper ends with its queue
	disk, closeDisk := context.WithCancel(detached)
	defer closeDisk()
	upkeep := make(chan error, 1)
	late, giveUp := context.WithCancel(detached)
	defer giveUp()
	if p.spool != nil {
		p.durable.late = late.Done()
		go func() { upkeep <- p.spool.Run(disk) }()
	}
	var collecting sync.WaitGroup
	collecting.Go(func() {
		defer p.queue.Close()
		p.logError("collecting ended", p.scheduler.Run(ctx))
		time.AfterFunc(p.shutdown+diskTimeout, giveUp)
	})
	p.logError("shipping ended", p.shipper.Run(detached))
	collecting.Wait()
	closeDisk()
	p.stopped()
	if p.spool != nil {
		p.closeSpool(late, upkeep)
	}
}

func (p *parts) logError(what string, err error) {
	if err != nil {
		p.log.Error().Err(err).Msg(what)
	}
}

func (p *parts) stopped() {
	stopped := p.log.Info().Int64("delivered_batches", p.shipper.Stats().DeliveredBatches)
	if p.spool != nil {
		stopped = stopped.Int64("batches_spooled", p.durable.Pending())
	}
	stopped.Msg("stopped")
}

func (p *parts) closeSpool(ctx context.Context, upkeep <-chan error) {
	if err := p.spool.Close(ctx); err != nil {
		p.logError("close the spool: what it had not written is lost", err)
		return
	}
	select {
	case err := <-upkeep:
		p.logError("the spool's upkeep ended", err)
	case <-ctx.Done():
	}
}
