package shiptest

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
)

// TickName names the series whose value is the number of its tick.
const TickName = "shiptest.tick"

// Producer feeds a queue with ticks numbered from 1, as the collectors would.
// Make one with NewProducer. Tick and Run are for one goroutine at a time,
// Ticks for any.
type Producer struct {
	queue    *ship.Queue
	points   int
	tick     metric.Desc
	padding  metric.Desc
	snapshot *metric.Snapshot
	ticks    atomic.Int64
}

// NewProducer returns a producer of ticks that hold so many points, at least
// 1: the number of the tick, and numbers that follow from it.
func NewProducer(queue *ship.Queue, points int) *Producer {
	return &Producer{
		queue: queue, points: max(points, 1), snapshot: metric.NewSnapshot(0),
		tick:    metric.Desc{Name: TickName, Unit: "{ticks}", Kind: metric.Counter},
		padding: metric.Desc{Name: "shiptest.padding", Unit: "1"},
	}
}

// Tick puts one tick, dated now.
func (p *Producer) Tick() {
	n := p.ticks.Load() + 1
	p.snapshot.Reset(time.Now().UnixMilli())
	p.snapshot.Int(&p.tick, n)
	for i := 1; i < p.points; i++ {
		p.snapshot.Int(&p.padding, n*7919+int64(i), metric.L("n", strconv.Itoa(i)))
	}
	p.queue.Put(p.snapshot)
	p.ticks.Store(n)
}

// Run puts a tick at every interval until ctx ends.
func (p *Producer) Run(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.Tick()
		}
	}
}

// Ticks returns how many ticks were put.
func (p *Producer) Ticks() int64 { return p.ticks.Load() }
