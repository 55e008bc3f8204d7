package store

import "slices"

// tally counts the ticks in a stretch of an agent's stream: those that exist,
// and those that would fit into its gaps.
type tally struct {
	ticks, missing int64
}

// count returns the tally of times, which must be sorted and distinct. A step
// of up to 1.5 intervals counts as jitter. A longer step is a gap of as many
// ticks as fit.
func count(times []int64, intervalMS int64) tally {
	t := tally{ticks: int64(len(times))}
	for i := 1; i < len(times); i++ {
		if step := times[i] - times[i-1]; 2*step > 3*intervalMS {
			t.missing += (step+intervalMS/2)/intervalMS - 1
		}
	}
	return t
}

// added returns by how much the tally of the stretch around changes when times
// are added. around must reach from the tick before times to the tick after
// times, so that the gaps on both sides are counted. It need not be sorted.
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
