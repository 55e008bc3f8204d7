package agent

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// onceSpacing is the most that Once waits between its two ticks.
const onceSpacing = time.Second

// Once takes two ticks, an interval but at most a second apart, and prints
// them to stdout as one batch, in the format "json" or "prometheus". It sends
// nothing, and neither reads nor writes the spool.
func Once(ctx context.Context, cfg Config, build Build, format string, stdout io.Writer, log zerolog.Logger) error {
	cfg.Exporter = "console"
	// One batch, whatever its size.
	cfg.Ship.QueueMaxBytes, cfg.Ship.BatchMaxBytes, cfg.Ship.BatchMaxPoints = math.MaxInt64, math.MaxInt64, math.MaxInt
	cfg.Collect, _ = resolveContainer(cfg.Collect)
	printer := newConsole(stdout, format)
	id, _ := Identify(cfg, build, false)
	p, err := assemble(ctx, cfg, id, build, func(Config, Identity, Build) (ship.Sender, func(), error) {
		return printer, func() {}, nil
	}, log)
	if err != nil {
		return err
	}
	if err := p.scheduler.Take(ctx, 2, min(cfg.Collect.Interval, onceSpacing)); err != nil {
		return err
	}
	p.queue.Close()
	return errors.Join(p.shipper.Run(ctx), printer.err)
}
