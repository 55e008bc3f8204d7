package agent

import (
	"slices"

	"github.com/heka-insights/heka-insights-agent/collect"
)

// containerName is the name of the collector that runs by itself.
const containerName = "container"

// withContainer returns cfg with the collector container added if something
// limits this process's CPUs or memory and nobody has chosen the collectors,
// and the file that limits; "" if it was not added. limit is
// collect.ContainerLimit.
func (c CollectConfig) withContainer(limit func() string) (CollectConfig, string) {
	if !c.AutoContainer || slices.Contains(c.Collectors, containerName) {
		return c, ""
	}
	file := limit()
	if file != "" {
		c.Collectors = append(slices.Clone(c.Collectors), containerName)
	}
	return c, file
}

// resolveContainer is withContainer for this process.
func resolveContainer(c CollectConfig) (CollectConfig, string) {
	return c.withContainer(collect.ContainerLimit)
}
