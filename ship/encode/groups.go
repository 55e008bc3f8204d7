package encode

import (
	"slices"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// A document is what backends that are not columnar keep together: the readings
// of one tick whose labels are the same, each under its own name.
type document struct {
	tick   int
	labels []metric.Label
	series []int // indexes in the batch; each has a value in the tick
}

// documents returns all points of a batch, each once, tick by tick. Of two
// series that would have the same name and labels each has a document of its own.
func documents(b *metric.Batch) []document {
	groups := byLabels(b)
	var all []document
	for tick := range b.Times {
		for _, group := range groups {
			d := document{tick: tick, labels: b.Series[group[0]].Series.Labels}
			for _, i := range group {
				if !b.Series[i].Values[tick].IsNull() {
					d.series = append(d.series, i)
				}
			}
			if len(d.series) > 0 {
				all = append(all, d)
			}
		}
	}
	return all
}

// places returns the points of a document.
func (d *document) places() []metric.Place {
	places := make([]metric.Place, len(d.series))
	for i, series := range d.series {
		places[i] = metric.Place{Series: series, Time: d.tick}
	}
	return places
}

// byLabels groups the indexes of series with the same labels and another name, in
// the order of the batch.
func byLabels(b *metric.Batch) [][]int {
	var groups [][]int
	named := make(map[string][]int) // groups with these labels
	for i := range b.Series {
		key := string(appendLabels(nil, b.Series[i].Series.Labels))
		at := slices.IndexFunc(named[key], func(at int) bool {
			return !slices.ContainsFunc(groups[at], func(j int) bool { return b.Series[j].Name == b.Series[i].Name })
		})
		if at < 0 {
			named[key] = append(named[key], len(groups))
			groups = append(groups, []int{i})
			continue
		}
		groups[named[key][at]] = append(groups[named[key][at]], i)
	}
	return groups
}
