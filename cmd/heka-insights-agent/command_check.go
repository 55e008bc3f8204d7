package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/heka-insights/heka-insights-agent/agent"
)

func setupCheck(flags *flag.FlagSet) action {
	connect := flags.Bool("connect", false, "also try the endpoint: with an empty batch, or with one real tick if an empty batch would prove nothing")
	all := flags.Bool("all", false, "also print the variables that are not set, with their defaults")
	return func(ctx context.Context, envFile string, stdout, stderr io.Writer) error {
		cfg, warnings, err := agent.LoadConfig(envFile)
		printWarnings(stderr, warnings)
		if err != nil {
			return err
		}
		id, more := agent.Identify(cfg, build(), false)
		printWarnings(stderr, more)
		if err := agent.Report(stdout, cfg, id, *all); err != nil {
			return err
		}
		if *connect {
			report, err := agent.Connect(ctx, cfg, build())
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(stdout, "\n%s\n", report); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintln(stdout, good(len(warnings)+len(more)))
		return err
	}
}

// good returns the last line of a report without problems. It is a comment, so
// that the report can be read as an env file.
func good(warnings int) string {
	switch warnings {
	case 0:
		return "# good"
	case 1:
		return "# good, with 1 warning"
	default:
		return fmt.Sprintf("# good, with %d warnings", warnings)
	}
}
