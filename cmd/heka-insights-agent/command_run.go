package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/heka-insights/heka-insights-agent/agent"
	"github.com/rs/zerolog"
)

func setupRun(*flag.FlagSet) action {
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		agent.TuneRuntime()
		cfg, warnings, err := agent.LoadConfig(envFile)
		if err != nil {
			printWarnings(stderr, warnings)
			return err
		}
		log, file, err := agent.NewLogger(cfg.Log, stderr)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		defer onHangup(func() {
			if err := file.Reopen(); err != nil {
				log.Error().Err(err).Msg("reopen HEKA_LOG_FILE: going on with the file that is open")
			}
		})()
		logWarnings(log, warnings)
		ctx, cancel, stdout := untilReaderLeaves(ctx, stdout)
		defer cancel()
		return agent.Run(ctx, cfg, build(), stdout, log)
	}
}

func logWarnings(log zerolog.Logger, warnings []string) {
	for _, w := range warnings {
		log.Warn().Msg(w)
	}
}

func printWarnings(stderr io.Writer, warnings []string) {
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %s\n", w)
	}
}
