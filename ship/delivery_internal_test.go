package ship

import (
	"slices"
	"testing"
)

// A part of a batch of which nobody knows whether it was stored is the first thing
// that is sent again, as it was, whichever part it is and however the rest is cut;
// the rest holds every other point once.
func TestAPartOfUnknownFateIsSentAgain(t *testing.T) {
	for _, size := range [][2]int{{1, 2}, {1, 9}, {3, 5}, {60, 1}, {4, 33}} {
		b := full(size[0], size[1])
		newGrid(b).each(func(p part) {
			if p.path == "" {
				return
			}
			d := newDelivery(&Entry{ID: ID{1, 2}}, b)
			d.begin(portion{points: d.grid.whole(), parts: true})
			sent := d.grid.in(p)
			d.fix(sent)
			again := newDelivery(&Entry{ID: ID{1, 2}, Note: d.note()}, b)
			first := again.noted[0]
			if len(again.noted) != 2 || !slices.Equal(first.points, sent) || first.parts {
				t.Fatalf("%v: after part %s the note is of %+v", size, p.path, again.noted)
			}
			rest := again.noted[1].points
			if !rest.clone().and(sent).empty() || !slices.Equal(rest.clone().with(sent), again.grid.whole()) {
				t.Errorf("%v, part %s: the rest is %v", size, p.path, rest)
			}
		})
	}
}
