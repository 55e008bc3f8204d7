package naming_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/collect/naming"
)

// hours is a number of ticks after which a snapshot has forgotten a silent
// series.
const hours = 2000

// TestATotalIsNotDoubledAfterALongSilence: when a disk answers again after
// hours, only what it read meanwhile is added.
func TestATotalIsNotDoubledAfterALongSilence(t *testing.T) {
	out := &totals{t: t}
	sink := naming.NewSink(naming.Config{Scheme: naming.Heka}, out)
	s := metric.NewSnapshot(0)
	var first *metric.Series
	for tick := range hours {
		s.Reset(int64(tick) * 1000)
		if tick == 0 || tick == hours-1 {
			s.Int(diskIO, int64(1000+tick), metric.L("device", "sda"), metric.L("direction", "read"))
		}
		sink.Put(s)
		if tick == 0 {
			first = s.Points[0].Series
		}
	}
	if s.Points[0].Series == first {
		t.Fatal("the snapshot has not forgotten the series: the silence is too short to tell anything")
	}
	if out.last != 1000+hours-1 {
		t.Errorf("the total is %d, the disk read %d", out.last, 1000+hours-1)
	}
}

// TestSumsThatAreGoneAreForgotten: on a container host, mounts come and go by
// the thousand. The mapper must forget them too.
func TestSumsThatAreGoneAreForgotten(t *testing.T) {
	sink := naming.NewSink(naming.Config{Scheme: naming.Node}, nothing{})
	s := metric.NewSnapshot(0)
	churn := func(from int) uint64 {
		for i := range 20 * hours {
			s.Reset(int64(i))
			for _, state := range []string{"used", "free", "reserved"} {
				s.Int(filesystem, 1, metric.L("device", "/dev/vda"), metric.L("mountpoint", fmt.Sprint("/mnt/", from+i)),
					metric.L("type", "ext4"), metric.L("mode", "rw"), metric.L("state", state))
			}
			sink.Put(s)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := churn(0)
	if after := churn(20 * hours); after > before+before/4 {
		t.Errorf("the heap grows from %d to %d bytes", before, after)
	}
	runtime.KeepAlive(sink)
}
