//go:build !linux

package agent

import "github.com/heka-insights/heka-insights-agent/collect/metric"

// collectProcess adds nothing on this system.
func collectProcess(*metric.Snapshot) error { return nil }

// autoMinFree is HEKA_SPOOL_MIN_FREE's default.
func autoMinFree(string) int64 { return 256 << 20 }
