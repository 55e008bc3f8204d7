package main

import (
	"context"
	"flag"
	"io"

	"github.com/heka-insights/heka-insights-agent/agent"
)

func setupOnce(flags *flag.FlagSet) action {
	format := flags.String("format", "", "`format` of the batch: json or prometheus (default: prometheus on a terminal, else json)")
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		if *format == "" {
			*format = agent.ConsoleFormat(stdout)
		}
		if err := oneOf("format", *format, []string{"json", "prometheus"}); err != nil {
			return err
		}
		cfg, warnings, err := agent.LoadConfig(envFile)
		printWarnings(stderr, warnings)
		if err != nil {
			return err
		}
		log, file, err := agent.NewLogger(cfg.Log, stderr)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		return agent.Once(ctx, cfg, build(), *format, stdout, log)
	}
}
