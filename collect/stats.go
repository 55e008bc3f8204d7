package collect

import (
	"math"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

var (
	selfDuration = metric.Desc{
		Name: "heka.agent.collect.duration", Unit: "s", Kind: metric.Gauge, Detailed: true, Labels: []string{"collector"},
		Help: "Time that the collector took in this tick.", Source: "the scheduler",
	}
	selfErrors = metric.Desc{
		Name: "heka.agent.collect.errors", Unit: "{errors}", Kind: metric.Counter, Labels: []string{"collector"},
		Help: "Ticks in which something could not be read, or not in time; the log says what.", Source: "the scheduler",
	}
	selfTimeouts = metric.Desc{
		Name: "heka.agent.collect.timeouts", Unit: "{timeouts}", Kind: metric.Counter, Detailed: true, Labels: []string{"collector"},
		Help: "Those of these ticks in which something did not answer in time, such as a dead mount.", Source: "the scheduler",
	}
	selfSkipped = metric.Desc{
		Name: "heka.agent.ticks.skipped", Unit: "{ticks}", Kind: metric.Counter,
		Help: "Ticks that were missed, for overload, and not made up for.", Source: "the scheduler",
	}
	selfJumps = metric.Desc{
		Name: "heka.agent.clock.jumps", Unit: "{jumps}", Kind: metric.Counter, Detailed: true,
		Help: "Times that the wall clock was set, or went on while the host slept.", Source: "the scheduler",
	}
	selfDropped = metric.Desc{
		Name: "heka.agent.series.dropped", Unit: "{points}", Kind: metric.Counter, Detailed: true,
		Help: "Points dropped because there were more series than HEKA_MAX_SERIES.", Source: "the scheduler",
	}
)

// SchedulerDescs lists the metrics that the [Scheduler] itself adds to each
// tick. The caller owns the slice.
func SchedulerDescs() []*metric.Desc {
	return []*metric.Desc{&selfDuration, &selfErrors, &selfTimeouts, &selfSkipped, &selfJumps, &selfDropped}
}

// Stats holds statistics since the scheduler was created.
type Stats struct {
	// Ticks counts the ticks passed to the sink, SkippedTicks the missed ones.
	Ticks, SkippedTicks int64
	// ClockJumps counts jumps of the wall clock.
	ClockJumps int64
	// DroppedPoints counts points dropped because of [Config].MaxSeries.
	DroppedPoints int64
	// LastTick is the time at which the last tick began; zero before the first
	// tick.
	LastTick time.Time
	// Collectors has one entry for each collector, in the order in which they
	// run.
	Collectors []CollectorStats
}

// CollectorStats holds statistics of one collector.
type CollectorStats struct {
	// Name is the name of the collector.
	Name string
	// Duration is how long the last call took.
	Duration time.Duration
	// Errors counts the ticks in which a reading failed. Timeouts counts those
	// of them in which a reading did not answer in time.
	Errors, Timeouts int64
	// LastError is the error of the last tick; empty if there was none.
	LastError string

	last error
}

// emit adds the scheduler's own metrics, all of them if detailed. They count
// from startMS, the start of this process.
func (st *Stats) emit(s *metric.Snapshot, startMS int64, detailed bool) {
	s.Since(startMS)
	s.Int(&selfSkipped, st.SkippedTicks)
	for i := range st.Collectors {
		c := &st.Collectors[i]
		label := metric.L("collector", c.Name)
		s.Int(&selfErrors, c.Errors, label)
		if detailed {
			s.Float(&selfDuration, math.Round(c.Duration.Seconds()*1e6)/1e6, label)
			s.Int(&selfTimeouts, c.Timeouts, label)
		}
	}
	if detailed {
		s.Int(&selfJumps, st.ClockJumps)
		s.Int(&selfDropped, st.DroppedPoints)
	}
}
