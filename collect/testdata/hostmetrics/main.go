// Command hostmetrics scrapes this machine once for each line on its standard
// input, with the OpenTelemetry Collector's hostmetrics receiver, and prints a
// JSON object a line for each data point and an empty line at the end. It is
// what TestTruth compares the agent with, and a module of its own: the agent
// needs none of its dependencies.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/hostmetricsreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
)

// point is one line of output.
type point struct {
	Name   string         `json:"name"`
	Labels map[string]any `json:"labels"`
	Value  float64        `json:"value"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	for lines.Scan() {
		if err := scrape(context.Background(), json.NewEncoder(out)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Fprintln(out)
		out.Flush()
	}
}

// scrapers is the receiver's configuration: all that its Linux scrapers have of
// what the agent sends too. It scrapes once at its start.
func scrapers() map[string]any {
	enabled := func(names ...string) map[string]any {
		metrics := map[string]any{}
		for _, name := range names {
			metrics[name] = map[string]any{"enabled": true}
		}
		return map[string]any{"metrics": metrics}
	}
	return map[string]any{
		"collection_interval": "1h", "initial_delay": "0s",
		"scrapers": map[string]any{
			"cpu":  enabled("system.cpu.logical.count", "system.cpu.physical.count"),
			"load": nil, "paging": nil, "disk": nil, "filesystem": nil, "processes": nil, "system": nil,
			"memory":  enabled("system.memory.limit", "system.linux.memory.available", "system.linux.memory.dirty", "system.memory.linux.shared", "system.memory.linux.hugepages.limit", "system.memory.linux.hugepages.page_size", "system.memory.linux.hugepages.reserved", "system.memory.linux.hugepages.surplus", "system.memory.linux.hugepages.usage"),
			"network": nil,
		},
	}
}

func scrape(ctx context.Context, out *json.Encoder) error {
	factory := hostmetricsreceiver.NewFactory()
	cfg := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(scrapers()).Unmarshal(cfg); err != nil {
		return err
	}
	scraped := make(chan pmetric.Metrics, 1)
	next, err := consumer.NewMetrics(func(_ context.Context, m pmetric.Metrics) error {
		copied := pmetric.NewMetrics()
		m.CopyTo(copied)
		scraped <- copied
		return nil
	})
	if err != nil {
		return err
	}
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	r, err := factory.CreateMetrics(ctx, settings, cfg, next)
	if err != nil {
		return err
	}
	if err := r.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	if err := write(out, <-scraped); err != nil {
		return err
	}
	return r.Shutdown(ctx)
}

func write(out *json.Encoder, m pmetric.Metrics) error {
	for _, resource := range m.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, metric := range scope.Metrics().All() {
				if err := writeMetric(out, metric); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func writeMetric(out *json.Encoder, m pmetric.Metric) error {
	points := pmetric.NewNumberDataPointSlice()
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		points = m.Gauge().DataPoints()
	case pmetric.MetricTypeSum:
		points = m.Sum().DataPoints()
	}
	for _, p := range points.All() {
		value := p.DoubleValue()
		if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
			value = float64(p.IntValue())
		}
		if err := out.Encode(point{m.Name(), labels(p.Attributes()), value}); err != nil {
			return err
		}
	}
	return nil
}

func labels(attributes pcommon.Map) map[string]any { return attributes.AsRaw() }
