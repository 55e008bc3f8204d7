package spool

import (
	"maps"
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// simLetter is a dead letter: points of a batch, by their number in it.
type simLetter struct {
	batch    *simBatch
	from, to int
}

// bury notes what is set aside now: what counts as dead is what the letter is
// of, and nothing else.
func (b *books) bury(part ship.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch, from, to := b.find(part.String())
	b.burying = simLetter{batch, from, to}
	b.letter = deadDir + "/" + letterName(batch.waits.timeMS, ID(part))
	b.condemned(part.String(), b.burying)
}

// buries compares the points that count as dead after an operation.
func (b *books) buries(op string, now map[simName]*view, dead int64) {
	var sum int64
	if l := b.burying; op == opBury && dead > 0 {
		v := now[l.batch.simName]
		for i := l.from; i < l.to; i++ {
			left := l.batch.waits.left[i]
			if v != nil {
				left -= min(left, v.left[i])
			}
			sum += int64(left)
			l.batch.dead[i] = l.batch.dead[i] || left > 0
		}
		b.letters[b.letter] = l
	}
	if sum != dead {
		b.failf("%s: %d points are set aside, and %d count as dead", op, sum, dead)
	}
}

// trimmed notes that a letter is removed, or may be.
func (b *books) trimmed(name string) { delete(b.letters, name) }

// risen takes a letter off the books of which a point waits again: it will be
// replaced.
func (b *books) risen(batch *simBatch, i int) {
	batch.dead[i] = false
	maps.DeleteFunc(b.letters, func(_ string, l simLetter) bool { return l.batch == batch && l.from <= i && i < l.to })
}

// readLetters checks that each letter is there and has its points; those that a
// power cut may have taken are forgotten.
func (b *books) readLetters(vague bool) {
	for _, name := range slices.Sorted(maps.Keys(b.letters)) {
		if err := b.letters[name].check(&memFS{names: b.disk.names}, name); err == "" {
			continue
		} else if vague {
			b.trimmed(name)
		} else {
			b.failf("after %v the letter %s %s", b.how, name, err)
		}
	}
}

// check says what is wrong with the letter.
func (l simLetter) check(disk looker, name string) string {
	r, reason, err := readLetter(disk, name)
	if err != nil {
		return "cannot be read: " + err.Error()
	}
	m, err := decodeBody(r.Payload)
	switch {
	case err != nil:
		return "has no body: " + err.Error()
	case reason == "":
		return "has no reason"
	case !strings.HasPrefix(m.ID(), l.batch.String()), r.Items != int64(l.to-l.from), !slices.Equal(simPoints(m), l.batch.points[l.from:l.to]):
		return "is of other points"
	}
	return ""
}
