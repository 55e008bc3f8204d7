package ship

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// fleetFigures sum a simulation up: a row of the table.
type fleetFigures struct {
	peakSteady, peakMean float64 // the busiest second after the return, to steady and to the mean until all have drained
	dead                 float64 // requests in the outage, to steady
	refused              float64 // of the requests after the return, until all have drained
	contact50, contact99 time.Duration
	fresh99              time.Duration
	drained              time.Duration // the last agent
	onset                float64       // the busiest second of the outage, to steady
}

// fleetPeak is how many steady requests the shortest peak spans: in a small
// fleet a second's are few, and their peak would be of chance.
const fleetPeak = 600

// figures sums the fleet up once it has run.
func (f *fleet) figures() fleetFigures {
	s := f.server
	between := func(from, to time.Duration) []fleetSecond { return s.seconds[from/time.Second : to/time.Second] }
	steady := rateOf(between(fleetSteady/4, s.dies))
	after := between(s.returns, f.drained)
	outage := between(s.dies, s.returns)
	width := int(math.Ceil(fleetPeak / steady))
	peak := peakOf(after, width)
	var refused int
	for _, second := range after {
		refused += second.refused
	}
	return fleetFigures{
		peakSteady: peak / steady,
		peakMean:   peak / rateOf(after),
		dead:       rateOf(outage) / steady,
		refused:    float64(refused) / (rateOf(after) * float64(len(after))),
		contact50:  f.percentile(50, func(a *fleetAgent) time.Duration { return a.contact }),
		contact99:  f.percentile(99, func(a *fleetAgent) time.Duration { return a.contact }),
		fresh99:    f.percentile(99, func(a *fleetAgent) time.Duration { return a.fresh }),
		drained:    f.drained - s.returns,
		onset:      peakOf(outage, width) / steady,
	}
}

// rateOf is the mean of requests a second.
func rateOf(seconds []fleetSecond) float64 {
	var n int
	for _, s := range seconds {
		n += s.arrived
	}
	return float64(n) / float64(len(seconds))
}

// peakOf is the greatest mean of so many seconds.
func peakOf(seconds []fleetSecond, width int) (peak float64) {
	for bucket := range slices.Chunk(seconds[:len(seconds)/width*width], width) {
		peak = max(peak, rateOf(bucket))
	}
	return peak
}

func (f *fleet) percentile(p int, of func(*fleetAgent) time.Duration) time.Duration {
	all := make([]time.Duration, 0, len(f.agents))
	for _, a := range f.agents {
		all = append(all, of(a))
	}
	slices.Sort(all)
	return all[(len(all)*p+99)/100-1]
}

// fleetLimits are the pass figures. 0 is no limit.
type fleetLimits struct {
	peakSteady, peakMean, dead, refused float64
	contact99                           time.Duration
}

// misses lists the limits that a fleet misses.
func (l fleetLimits) misses(r fleetFigures) (misses []string) {
	for _, figure := range []struct {
		name      string
		got, most float64
	}{
		{"peak/steady", r.peakSteady, l.peakSteady},
		{"peak/mean", r.peakMean, l.peakMean},
		{"load on the dead server", r.dead, l.dead},
		{"refused", r.refused, l.refused},
		{"seconds to the first contact, p99", r.contact99.Seconds(), l.contact99.Seconds()},
	} {
		if figure.most > 0 && !(figure.got <= figure.most) { // NaN is a miss
			misses = append(misses, fmt.Sprintf("%s: %.3g, want at most %g", figure.name, figure.got, figure.most))
		}
	}
	return misses
}

// row is the figures as a line of a Markdown table.
func (r fleetFigures) row(name string) string {
	return fmt.Sprintf("| %s | %.2f | %.2f | %.2f | %.2f %% | %.0f s | %.0f s | %.0f s | %.0f min |\n", name,
		r.peakSteady, r.peakMean, r.dead, 100*r.refused, r.contact50.Seconds(), r.contact99.Seconds(), r.fresh99.Seconds(), r.drained.Minutes())
}
