package spool

import (
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// trials are what a process was told, by which it may condemn: docs/delivery.md,
// Refusals.
type trials struct {
	acks int // answers so far
	of   map[simName]*trial
}

// trial is of one batch. Refusals are given by how many acks there were before.
type trial struct {
	refusals []int
	byPart   map[string][]int // by the id sent
}

func newTrials() trials { return trials{of: map[simName]*trial{}} }

// answered notes an ack or a refusal. A 5xx may be one.
func (t *trials) answered(name simName, id string, o ship.Outcome) {
	switch {
	case o.Verdict == ship.Acked:
		t.acks++
		return
	case o.Verdict == ship.Retry && (o.Status < 500 || o.Status == 503):
		return
	case o.Verdict == ship.Pause, o.Verdict == ship.Unsupported:
		return
	}
	of := t.of[name]
	if of == nil {
		of = &trial{byPart: map[string][]int{}}
		t.of[name] = of
	}
	of.refusals = append(of.refusals, t.acks)
	of.byPart[id] = append(of.byPart[id], t.acks)
}

// condemns says whether the answers are reason enough to give up a part of so
// many points: it was refused, and something accepted since, and either it is a
// single point that was refused before, with something accepted in between, or
// its batch was, thrice, for long enough.
func (t *trials) condemns(name simName, id string, points int) bool {
	of := t.of[name]
	if of == nil || len(of.byPart[id]) == 0 {
		return false
	}
	own := of.byPart[id]
	if own[0] == t.acks {
		return false
	}
	strikes := len(slices.Compact(slices.Clone(of.refusals)))
	if of.refusals[len(of.refusals)-1] == t.acks {
		strikes--
	}
	whole := !strings.Contains(id, "/")
	switch {
	case points == 1 && own[len(own)-1] > own[0]:
		return true
	case len(of.refusals) >= 256:
		return true
	default: // each point by itself, or 16 refusals, or of a kind that parts share
		return strikes >= 3 && (points == 1 || len(of.refusals) >= 16 || whole)
	}
}

// condemned checks that there is reason to set a part aside: the server has
// named all that is in a batch of what it left out, or it was refused.
func (b *books) condemned(id string, l simLetter) {
	name := l.batch.simName
	if l.batch.leftOut && b.trials.of[name] == nil {
		return
	}
	if !b.trials.condemns(name, id, l.to-l.from) {
		b.failf("%s is given up after %+v, and %d acks", id, b.trials.of[name], b.trials.acks)
	}
}

// keyed checks that what is sent has the points that its id names, and none that
// was delivered under another id, unless a crash may have forgotten that.
func (b *books) keyed(id string, points []int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch, from, to := b.find(id)
	if batch == nil || !slices.Equal(batch.points[from:to], points) {
		b.failf("%s has not the points %d to %d of the batch", id, from, to)
		return
	}
	for i := from; i < to; i++ {
		if as := batch.ackedAs[i]; as != "" && as != id && !batch.unsure {
			b.failf("%s is sent; %s of it was acknowledged", id, as)
			return
		}
	}
}
