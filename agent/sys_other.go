//go:build !linux

package agent

import (
	"os"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// collectProcess adds nothing on this system.
func collectProcess(*metric.Snapshot) error { return nil }

// openNoFollow is not known here.
const openNoFollow = 0

// hardLinkedByOthers does not know here.
func hardLinkedByOthers(os.FileInfo, string) bool { return false }

// autoMinFree is HEKA_SPOOL_MIN_FREE's default.
func autoMinFree(string) int64 { return 256 << 20 }
