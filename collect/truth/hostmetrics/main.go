// Command hostmetrics runs only the hostmetrics receiver of the OpenTelemetry
// Collector. For each line on standard input it scrapes the host once, prints
// one JSON line for each point, and then an empty line. The truth test reads
// its output.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/hostmetricsreceiver"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// point is one value of the receiver.
type point struct {
	Name   string         `json:"name"`
	Unit   string         `json:"unit"`
	Kind   string         `json:"kind"`
	Labels map[string]any `json:"labels"`
	Value  float64        `json:"value"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "hostmetrics:", err)
		os.Exit(1)
	}
}

func run() error {
	lines := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		metrics, err := scrape(context.Background())
		if err != nil {
			return err
		}
		for _, p := range pointsOf(metrics) {
			if err := out.Encode(p); err != nil {
				return err
			}
		}
		fmt.Println()
	}
	return lines.Err()
}

// config also enables the metrics that are off by default.
func config() map[string]any {
	on := func(names ...string) map[string]any {
		metrics := map[string]any{}
		for _, name := range names {
			metrics[name] = map[string]any{"enabled": true}
		}
		return map[string]any{"metrics": metrics}
	}
	return map[string]any{
		"collection_interval": "1h", // the first scrape is immediate
		"initial_delay":       "0s",
		"scrapers": map[string]any{
			"cpu":  on("system.cpu.logical.count", "system.cpu.physical.count"),
			"load": on(),
			"memory": on("system.memory.limit", "system.linux.memory.available", "system.linux.memory.dirty", "system.memory.linux.shared",
				"system.memory.linux.hugepages.limit", "system.memory.linux.hugepages.page_size", "system.memory.linux.hugepages.reserved",
				"system.memory.linux.hugepages.surplus", "system.memory.linux.hugepages.usage"),
			"paging":     on(),
			"disk":       on(),
			"filesystem": on(),
			"network":    on(),
			"processes":  on(),
			"system":     on(),
		},
	}
}

func scrape(ctx context.Context) (pmetric.Metrics, error) {
	factory := hostmetricsreceiver.NewFactory()
	cfg := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(config()).Unmarshal(cfg); err != nil {
		return pmetric.Metrics{}, err
	}
	scraped := make(chan pmetric.Metrics, 1)
	sink, err := consumer.NewMetrics(func(_ context.Context, m pmetric.Metrics) error {
		scraped <- m
		return nil
	})
	if err != nil {
		return pmetric.Metrics{}, err
	}
	receiver, err := factory.CreateMetrics(ctx, receivertest.NewNopSettings(factory.Type()), cfg, sink)
	if err != nil {
		return pmetric.Metrics{}, err
	}
	if err := receiver.Start(ctx, componenttest.NewNopHost()); err != nil {
		return pmetric.Metrics{}, err
	}
	defer func() { _ = receiver.Shutdown(ctx) }()
	select {
	case m := <-scraped:
		return m, nil
	case <-time.After(10 * time.Second):
		return pmetric.Metrics{}, fmt.Errorf("nothing scraped in 10 s")
	}
}

func pointsOf(all pmetric.Metrics) (points []point) {
	for _, resource := range all.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, m := range scope.Metrics().All() {
				points = append(points, pointsOfOne(m)...)
			}
		}
	}
	return points
}

func pointsOfOne(m pmetric.Metric) (points []point) {
	kind, values := "gauge", pmetric.NewNumberDataPointSlice()
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		values = m.Gauge().DataPoints()
	case pmetric.MetricTypeSum:
		kind, values = "updown", m.Sum().DataPoints()
		if m.Sum().IsMonotonic() {
			kind = "counter"
		}
	default:
		kind = m.Type().String()
	}
	for _, v := range values.All() {
		p := point{Name: m.Name(), Unit: m.Unit(), Kind: kind, Labels: v.Attributes().AsRaw(), Value: v.DoubleValue()}
		if v.ValueType() == pmetric.NumberDataPointValueTypeInt {
			p.Value = float64(v.IntValue())
		}
		points = append(points, p)
	}
	return points
}
