package main

import (
	"context"
	"flag"
	"io"

	"github.com/heka-insights/heka-insights-agent/agent"
)

// setupConfig ignores the env file, because the list does not depend on it.
func setupConfig(flags *flag.FlagSet) action {
	format := flags.String("format", "env", "`format` of the list: env or markdown")
	return func(_ context.Context, _ string, stdout, _ io.Writer) error {
		if err := oneOf("format", *format, agent.ConfigFormats()); err != nil {
			return err
		}
		return agent.DescribeConfig(stdout, *format)
	}
}
