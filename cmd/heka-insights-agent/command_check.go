package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/heka-insights/heka-insights-agent/agent"
)

func setupCheck(flags *flag.FlagSet) action {
	connect := flags.Bool("connect", false, "try the endpoint too: with an empty batch, or with one real tick where the exporter has no empty one")
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		cfg, warnings, err := agent.LoadConfig(envFile)
		printWarnings(stderr, warnings)
		if err != nil {
			return err
		}
		id, warnings := agent.Identify(cfg, build(), false)
		printWarnings(stderr, warnings)
		if err := agent.Report(stdout, cfg, id); err != nil || !*connect {
			return err
		}
		report, err := agent.Connect(ctx, cfg, build())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(stdout, "\n%s\n", report)
		return err
	}
}
