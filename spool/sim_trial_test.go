package spool

import (
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
)

// trials are what a process was told, by which it may condemn: docs/delivery.md,
// Refusals.
type trials struct {
	acks    int             // answers so far
	refused map[string]int  // acks before the first refusal, or failure, of anything that held the series
	named   map[string]bool // series that the server named as left out
	// slandered: the network refused, or cut off, what may have been good.
	slandered bool
}

func newTrials() trials { return trials{refused: map[string]int{}, named: map[string]bool{}} }

// answered notes an ack or a refusal of points. Any failure may be one.
func (t *trials) answered(points []simPoint, m *metric.Batch, o ship.Outcome) {
	if o.Verdict == ship.Acked {
		t.acks++
		for _, i := range o.RejectedSeries {
			t.named[m.Series[i].Labels[0].Value] = true
		}
		return
	}
	for _, p := range points {
		if _, known := t.refused[p.series]; !known {
			t.refused[p.series] = t.acks
		}
	}
}

// blames reports whether anything of a batch was refused, and something accepted
// since.
func (t *trials) blames(batch *simBatch) bool {
	return slices.ContainsFunc(batch.points, func(p simPoint) bool {
		acks, refused := t.refused[p.series]
		return refused && acks < t.acks
	})
}

// condemned checks that there is reason to give up a point: the server has left
// it out, or its series was refused, and something was accepted since. And unless
// the network slanders, the server has to have something against it.
func (b *books) condemned(batch *simBatch, i int) {
	p := batch.points[i]
	acks, refused := b.trials.refused[p.series]
	unreadable := b.server.unread == ship.Decline && b.server.isUnreadable(batch.simName, batch.points[0].value)
	switch {
	case b.server.rejected[simPlace{batch.simName, p.value}], b.trials.named[p.series], unreadable:
	case (!refused || acks == b.trials.acks) && b.trials.slandered && b.trials.blames(batch):
		// A batch of which nothing passes is given up as a whole.
	case !refused, acks == b.trials.acks:
		b.failf("%s is given up, refused %t, without an acceptance since", batch.point(i), refused)
	case !b.trials.slandered && !b.server.culpable(batch, p):
		b.failf("%s is given up, and is good", batch.point(i))
	}
}

// keyed checks that what is sent has the points that were sent under its id
// before, in any life, and none that this process was told to be accepted, but in
// what it does not know to be a repetition.
func (b *books) keyed(id string, points []simPoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := b.find(id)
	at, ok := batch.places(points)
	if was, known := b.ids[id]; !known {
		b.ids[id] = simSent{points: points, epoch: b.epoch}
	} else if !slices.Equal(was.points, points) {
		ok = false
	}
	if !ok {
		b.failf("%s has other points than before, or than its batch", id)
		return
	}
	for _, i := range at {
		if batch.acked[i] == b.epoch && len(batch.settled) == 0 && batch.lost == 0 {
			b.failf("%s is sent; it has %s", id, batch.point(i))
			return
		}
	}
}

// mayRepeat says that a point may be stored again, though it was under another
// id. It is of a letter (see settle); a crash may have forgotten that id; a
// process knows that an earlier one had cut the whole, but not how deep; what is
// stored may have been refused nevertheless; or something was left out of it, and
// the server does not know what. See docs/ingest.md, Limits.
func (b *books) mayRepeat(batch *simBatch, was, id string) bool {
	path, _, _ := strings.Cut(id, "-")
	sent := b.ids[was]
	forgot := sent.epoch != b.epoch && strings.HasPrefix(was, path) && strings.Contains(path, "/")
	return batch.of != nil || batch.unsure || forgot || sent.disowned || strings.Contains(was, "-")
}
