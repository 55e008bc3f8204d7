// Command metricsdoc prints docs/metrics.md from the descriptions that the
// collectors declare beside their code.
package main

import (
	"fmt"
	"os"

	"github.com/heka-insights/heka-insights-agent/agent"
)

func main() {
	if err := agent.DescribeMetrics(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
