package collect_test

import (
	"errors"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/rs/zerolog"
)

type nopSink struct{}

func (nopSink) Put(*metric.Snapshot) {}

// BenchmarkTick runs a whole default tick on this machine. The budget is 0.35
// ms and 50 KB.
func BenchmarkTick(b *testing.B) {
	for _, detail := range []string{"basic", "detailed"} {
		b.Run(detail, func(b *testing.B) {
			cfg := collect.Config{Detailed: detail == "detailed"}
			s := collect.NewScheduler(cfg, defaultCollectors(cfg), nopSink{}, zerolog.Nop())
			b.ReportAllocs()
			if err := s.Take(b.Context(), b.N+1, time.Nanosecond); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkCollector(b *testing.B) {
	for _, builtin := range collect.Builtins() {
		b.Run(builtin.Name, func(b *testing.B) {
			c := builtin.New(collect.Config{})
			s := metric.NewSnapshot(0)
			b.ReportAllocs()
			for b.Loop() {
				s.Reset(1)
				if err := c.Collect(b.Context(), s); errors.Is(err, collect.ErrAbsent) {
					b.Skip(err)
				} else if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func collectors(cfg collect.Config) []collect.Collector {
	var list []collect.Collector
	for _, b := range collect.Builtins() {
		list = append(list, b.New(cfg))
	}
	return list
}

func defaultCollectors(cfg collect.Config) []collect.Collector {
	var list []collect.Collector
	for _, b := range collect.Builtins() {
		if !b.OptIn {
			list = append(list, b.New(cfg))
		}
	}
	return list
}
