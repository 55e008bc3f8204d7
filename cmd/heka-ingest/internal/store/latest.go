package store

import (
	"cmp"
	"math"
	"slices"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// The series that the host list is computed from (docs/metrics.md).
const (
	cpuUtilization  = "system.cpu.utilization"
	memoryUsage     = "system.memory.usage"
	memoryLimit     = "system.memory.limit"
	diskIO          = "system.disk.io"
	filesystemUsage = "system.filesystem.usage"
)

// latest holds a host's newest readings, and the counters that are needed to
// compute rates if the next batch has only one tick.
type latest struct {
	wire.Latest
	Counters map[string]reading `json:"counters,omitempty"`
}

// reading is the value of a counter at a tick.
type reading struct {
	TimeMS int64   `json:"t"`
	Value  float64 `json:"v"`
}

// after returns the newest readings including those of b, which ends with a
// newer tick. A part of a batch, or a batch that leaves refused series out, may
// lack series. Their readings stay as they were.
func (l latest) after(b *wire.Batch) latest {
	next := latest{Latest: l.Latest, Counters: map[string]reading{}}
	var disks rates
	filesystems := map[[2]string]*wire.Filesystem{}
	for i := range b.Series {
		s := &b.Series[i]
		now, ok := lastReading(b.Times, s.Values)
		if !ok {
			continue
		}
		switch s.Name {
		case cpuUtilization:
			if len(s.Labels) == 0 {
				next.CPU = &now.Value
			}
		case memoryLimit:
			next.MemoryLimit = &now.Value
		case memoryUsage:
			if s.Labels["state"] == "used" {
				next.MemoryUsed = &now.Value
			}
		case diskIO:
			key := s.Labels["device"] + " " + s.Labels["direction"]
			next.Counters[key] = now
			disks.add(s.Labels["direction"], previousReading(b.Times, s.Values, l.Counters[key]), now)
		case filesystemUsage:
			addFilesystem(filesystems, s.Labels, now.Value)
		}
	}
	disks.into(&next)
	if len(next.Counters) == 0 {
		next.Counters = l.Counters
	}
	if len(filesystems) > 0 {
		next.Filesystems = sortedFilesystems(filesystems)
	}
	return next
}

// lastReading returns the newest value that is not null.
func lastReading(times []int64, values []wire.Value) (reading, bool) {
	for i := len(values) - 1; i >= 0; i-- {
		if !values[i].IsNull() {
			return reading{TimeMS: times[i], Value: values[i].Float64()}, true
		}
	}
	return reading{}, false
}

// previousReading returns the value before the newest one, or fallback if there
// is none.
func previousReading(times []int64, values []wire.Value, fallback reading) reading {
	newest := true
	for i := len(values) - 1; i >= 0; i-- {
		if values[i].IsNull() {
			continue
		}
		if !newest {
			return reading{TimeMS: times[i], Value: values[i].Float64()}
		}
		newest = false
	}
	return fallback
}

// rates sums the rates of counters over devices. They are nil until there is a
// rate.
type rates struct {
	read, write *float64
}

// add adds the rate between two readings. It skips the first reading of a
// counter, and a counter that was reset.
func (r *rates) add(direction string, previous, now reading) {
	if previous.TimeMS == 0 || now.TimeMS <= previous.TimeMS || now.Value < previous.Value {
		return
	}
	rate := (now.Value - previous.Value) * 1000 / float64(now.TimeMS-previous.TimeMS)
	var sum **float64
	switch direction {
	case "read":
		sum = &r.read
	case "write":
		sum = &r.write
	default:
		return
	}
	if *sum == nil {
		*sum = new(float64)
	}
	**sum = finite(**sum + finite(rate))
}

// finite limits a sum to the numbers that JSON can express.
func finite(v float64) float64 { return max(-math.MaxFloat64, min(v, math.MaxFloat64)) }

func (r *rates) into(l *latest) {
	if r.read != nil {
		l.DiskRead = r.read
	}
	if r.write != nil {
		l.DiskWrite = r.write
	}
}

func addFilesystem(all map[[2]string]*wire.Filesystem, labels wire.Attributes, bytes float64) {
	key := [2]string{labels["mountpoint"], labels["device"]}
	fs := all[key]
	if fs == nil {
		fs = &wire.Filesystem{Mountpoint: key[0], Device: key[1]}
		all[key] = fs
	}
	fs.Size = finite(fs.Size + bytes)
	if labels["state"] == "used" {
		fs.Used = finite(fs.Used + bytes)
	}
}

func sortedFilesystems(all map[[2]string]*wire.Filesystem) []wire.Filesystem {
	out := make([]wire.Filesystem, 0, len(all))
	for _, fs := range all {
		out = append(out, *fs)
	}
	slices.SortFunc(out, func(a, b wire.Filesystem) int {
		return cmp.Or(cmp.Compare(a.Mountpoint, b.Mountpoint), cmp.Compare(a.Device, b.Device))
	})
	return out
}
