package store

import "slices"

// tally counts the ticks in a stretch of an agent's stream: how many there
// are, and how many more its holes leave room for.
type tally struct {
	ticks, missing int64
}

// count tallies times, sorted and without repeats. A step of up to 1.5
// intervals is jitter; a longer one is a hole of as many ticks as fit.
func count(times []int64, intervalMS int64) tally {
	t := tally{ticks: int64(len(times))}
	for i := 1; i < len(times); i++ {
		if step := times[i] - times[i-1]; 2*step > 3*intervalMS {
			t.missing += (step+intervalMS/2)/intervalMS - 1
		}
	}
	return t
}

// added returns what adding times to the stretch around changes in its tally.
// around must reach from the tick before times to the one after, so that the
// holes on both sides are weighed; it need not be sorted.
func added(around, times []int64, intervalMS int64) tally {
	before := count(merge(around, nil), intervalMS)
	after := count(merge(around, times), intervalMS)
	return tally{ticks: after.ticks - before.ticks, missing: after.missing - before.missing}
}

func merge(a, b []int64) []int64 {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
