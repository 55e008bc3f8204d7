package store

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

func column(name string, labels wire.Attributes, values ...wire.Value) wire.Series {
	return wire.Series{Name: name, Labels: labels, Values: values}
}

func TestLatest(t *testing.T) {
	i, null := wire.Int, wire.Value{}
	disk := func(device, direction string) wire.Attributes {
		return wire.Attributes{"device": device, "direction": direction}
	}
	mount := func(at, state string) wire.Attributes {
		return wire.Attributes{"device": "/dev/sda1", "mountpoint": at, "state": state}
	}
	steps := []struct {
		name  string
		batch wire.Batch
		want  string
	}{
		{"everything", wire.Batch{Times: []int64{1000, 2000, 4000}, Series: []wire.Series{
			column(cpuUtilization, nil, null, wire.Float(0.5), wire.Float(0.25)),
			column(cpuUtilization, wire.Attributes{"cpu": "0"}, i(1), i(1), i(1)),
			column(memoryUsage, wire.Attributes{"state": "used"}, i(10), i(11), null),
			column(memoryUsage, wire.Attributes{"state": "free"}, i(90), i(89), i(88)),
			column(memoryLimit, nil, i(100), i(100), i(100)),
			column(diskIO, disk("sda", "read"), i(0), i(100), i(300)),
			column(diskIO, disk("sdb", "read"), i(0), null, i(400)),
			column(diskIO, disk("sda", "write"), i(5), i(5), i(5)),
			column(filesystemUsage, mount("/", "used"), i(1), i(2), i(3)),
			column(filesystemUsage, mount("/", "free"), i(5), i(5), i(5)),
			column(filesystemUsage, mount("/", "reserved"), i(2), i(2), i(2)),
			column(filesystemUsage, mount("/a", "used"), i(2), i(2), i(2)),
		}}, `{"cpu_utilization":0.25,"memory_used_bytes":11,"memory_limit_bytes":100,"disk_read_bytes_per_second":233.33333333333334,"disk_write_bytes_per_second":0,` +
			`"filesystems":[{"mountpoint":"/","device":"/dev/sda1","used_bytes":3,"size_bytes":10},{"mountpoint":"/a","device":"/dev/sda1","used_bytes":2,"size_bytes":2}]}`},
		{"one tick: the rate is since the last batch", wire.Batch{Times: []int64{5000}, Series: []wire.Series{
			column(diskIO, disk("sda", "read"), i(800)), column(memoryLimit, nil, i(200)),
		}}, `{"cpu_utilization":0.25,"memory_used_bytes":11,"memory_limit_bytes":200,"disk_read_bytes_per_second":500,"disk_write_bytes_per_second":0,` +
			`"filesystems":[{"mountpoint":"/","device":"/dev/sda1","used_bytes":3,"size_bytes":10},{"mountpoint":"/a","device":"/dev/sda1","used_bytes":2,"size_bytes":2}]}`},
		{"a reset is no rate", wire.Batch{Times: []int64{6000}, Series: []wire.Series{
			column(diskIO, disk("sda", "read"), i(7)), column(diskIO, disk("sdc", "read"), i(7)),
		}}, `{"cpu_utilization":0.25,"memory_used_bytes":11,"memory_limit_bytes":200,"disk_read_bytes_per_second":500,"disk_write_bytes_per_second":0,` +
			`"filesystems":[{"mountpoint":"/","device":"/dev/sda1","used_bytes":3,"size_bytes":10},{"mountpoint":"/a","device":"/dev/sda1","used_bytes":2,"size_bytes":2}]}`},
	}
	var l latest
	for _, step := range steps {
		l = l.after(&step.batch)
		got, err := json.Marshal(l.Latest)
		if err != nil || string(got) != step.want {
			t.Errorf("%s: %v\n%s\nwant %s", step.name, err, got, step.want)
		}
	}
}

// JSON cannot express a sum beyond a float64. Such a sum must not prevent the
// batch from being stored.
func TestLatestOfHugeValues(t *testing.T) {
	huge := wire.Float(math.MaxFloat64)
	filesystem := func(state string) wire.Attributes { return wire.Attributes{"mountpoint": "/", "state": state} }
	l := latest{}.after(&wire.Batch{Times: []int64{1, 2}, Series: []wire.Series{
		column(diskIO, wire.Attributes{"device": "sda", "direction": "read"}, wire.Float(-math.MaxFloat64), huge),
		column(diskIO, wire.Attributes{"device": "sdb", "direction": "read"}, wire.Int(0), huge),
		column(filesystemUsage, filesystem("used"), huge, huge),
		column(filesystemUsage, filesystem("free"), huge, huge),
	}})
	if _, err := json.Marshal(l); err != nil || l.DiskRead == nil || l.Filesystems[0].Size != math.MaxFloat64 {
		t.Errorf("latest readings are %+v (%v)", l, err)
	}
}
