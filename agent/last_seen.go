package agent

import (
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// lookPatience is how long a look at the spool may take: a tick must not wait
// for a disk, nor for whoever waits for it.
const lookPatience = 100 * time.Millisecond

// lastSeen looks at the spool and its ledger without waiting for a disk that
// hangs. Owned by one goroutine.
type lastSeen struct {
	spool   *spool.Spool // nil when there is none
	ledger  ship.Ledger
	seen    sight
	pending chan sight // of the look that hangs; nil when there is none
}

// sight is what was seen.
type sight struct {
	stats  spool.Stats
	losses []metric.Loss
}

// look returns what there is to see: now, or if the disk hangs, when it last
// did not, with the cause set.
func (l *lastSeen) look() sight {
	if l.pending == nil {
		l.pending = make(chan sight, 1)
		go l.ask(l.pending)
	}
	patience := time.NewTimer(lookPatience)
	defer patience.Stop()
	select {
	case l.seen = <-l.pending:
		l.pending = nil
		return l.seen
	case <-patience.C:
		before := l.seen
		before.stats.Cause = errDiskHangs
		return before
	}
}

func (l *lastSeen) ask(answer chan<- sight) {
	now := sight{losses: ship.AllLosses(l.ledger)}
	if l.spool != nil {
		now.stats = l.spool.Stats()
	}
	answer <- now
}
