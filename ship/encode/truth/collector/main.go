// Command collector is two receivers of the OpenTelemetry Collector, without the
// rest of it: otlp over HTTP, and splunk_hec. It prints a JSON line with their
// addresses when they listen. For each line on standard input it prints a JSON
// line for each point received since, then an empty line; it ends with its input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/splunkhecreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// attempts bounds how often a port that was free is found taken.
const attempts = 5

// addresses is the first line that is printed.
type addresses struct {
	OTLP   string `json:"otlp"`
	Splunk string `json:"splunk"`
}

func main() {
	maxBody := flag.Int("max-body", 0, "the receivers' max_request_body_size in `bytes`; 0 is their default")
	flag.Parse()
	if err := run(context.Background(), *maxBody); err != nil {
		fmt.Fprintln(os.Stderr, "collector:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, maxBody int) error {
	kept := &store{}
	server := func(addr string) map[string]any {
		config := map[string]any{"endpoint": addr}
		if maxBody > 0 {
			config["max_request_body_size"] = maxBody
		}
		return config
	}
	otlp, stopOTLP, err := start(ctx, otlpreceiver.NewFactory(), kept.from("otlp"), func(addr string) map[string]any {
		return map[string]any{"protocols": map[string]any{"http": server(addr)}}
	})
	if err != nil {
		return fmt.Errorf("otlp: %w", err)
	}
	defer stopOTLP()
	splunk, stopSplunk, err := start(ctx, splunkhecreceiver.NewFactory(), kept.from("splunk"), func(addr string) map[string]any {
		config := server(addr)
		config["access_token_passthrough"] = true
		return config
	})
	if err != nil {
		return fmt.Errorf("splunk_hec: %w", err)
	}
	defer stopSplunk()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(addresses{OTLP: otlp, Splunk: splunk}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); fmt.Println() {
		for _, p := range kept.take() {
			if err := out.Encode(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// start starts a receiver on a free port of the loopback interface.
func start(ctx context.Context, factory receiver.Factory, sink consumer.Metrics, config func(addr string) map[string]any) (addr string, stop func(), err error) {
	for range attempts {
		if addr, err = freeAddress(); err != nil {
			return "", nil, err
		}
		var r component.Component
		if r, err = create(ctx, factory, sink, config(addr)); err != nil {
			return "", nil, err
		}
		if err = r.Start(ctx, componenttest.NewNopHost()); err == nil {
			return addr, func() { _ = r.Shutdown(ctx) }, nil
		}
		_ = r.Shutdown(ctx)
		if !strings.Contains(err.Error(), "in use") {
			return "", nil, err
		}
	}
	return "", nil, err
}

func create(ctx context.Context, factory receiver.Factory, sink consumer.Metrics, values map[string]any) (receiver.Metrics, error) {
	cfg := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(values).Unmarshal(cfg); err != nil {
		return nil, err
	}
	return factory.CreateMetrics(ctx, receivertest.NewNopSettings(factory.Type()), cfg, sink)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
