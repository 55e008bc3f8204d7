package store

import (
	"cmp"
	"math"
	"slices"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// The series that the host list is made of (docs/metrics.md).
const (
	cpuUtilization  = "system.cpu.utilization"
	memoryUsage     = "system.memory.usage"
	memoryLimit     = "system.memory.limit"
	diskIO          = "system.disk.io"
	filesystemUsage = "system.filesystem.usage"
)

// latest is a host's newest readings, with the counters that the next batch
// needs to compute rates when it has but one tick.
type latest struct {
	wire.Latest
	Counters map[string]reading `json:"counters,omitempty"`
}

// reading is a counter's value at a tick.
type reading struct {
	TimeMS int64   `json:"t"`
	Value  float64 `json:"v"`
}

// after returns the newest readings once b, which ends with a newer tick, has
// arrived. A part of a batch may lack series, as may a batch that leaves
// refused ones out: what it lacks stays as it was.
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

// lastReading returns the newest value that is there.
func lastReading(times []int64, values []wire.Value) (reading, bool) {
	for i := len(values) - 1; i >= 0; i-- {
		if !values[i].IsNull() {
			return reading{TimeMS: times[i], Value: values[i].Float64()}, true
		}
	}
	return reading{}, false
}

// previousReading returns the value before the newest one, or else fallback.
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

// rates sums up counters' rates over devices; nil until there is one.
type rates struct {
	read, write *float64
}

// add leaves out a counter's first reading and one that started anew.
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

// finite keeps what the host list adds up within what JSON can write.
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
