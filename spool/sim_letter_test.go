package spool

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/ship"
)

// setAside notes a letter: it has the points that have just been counted as
// dead, none that this process was told to be accepted, and there is reason to
// give them up.
func (b *books) setAside(l ship.Letter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := b.batches[nameOf(l.Of)]
	if b.disk.dead && b.owed == 0 {
		return
	}
	points, ok := letterPoints(batch, l.Payload)
	at, _ := batch.places(points)
	if !ok || l.Items != int64(len(points)) || l.Items != b.owed || b.owedOf != nil && b.owedOf != batch {
		b.failf("%d points of %v are set aside for %q, of %d that died of %v", l.Items, batch, l.Reason, b.owed, b.owedOf)
		return
	}
	if own := b.batches[nameOf(l.ID)]; own != batch {
		if own == nil || !slices.Equal(own.points, points) {
			b.failf("the letter %v has other points than its id", l.ID)
			return
		}
		own.of = batch
	}
	b.log("set aside %d points of %v as %v: %s", l.Items, batch, l.ID, l.Reason)
	b.owed, b.owedOf = 0, nil
	b.aside += l.Items
	for _, i := range at {
		b.condemned(batch, i)
		if batch.acked[i] == b.epoch && len(batch.settled) <= 1 { // else it waited twice
			b.failf("%s counts as dead", batch.point(i))
		}
		batch.dead[i] = true
	}
	batch.excuse(b.server, batch.flying > 0)
}

// letterPoints decodes a letter's body; ok says that all points are of the batch.
func letterPoints(batch *simBatch, body []byte) (points []simPoint, ok bool) {
	m, err := decodeBody(body)
	if err != nil || batch == nil {
		return nil, false
	}
	points = simPoints(m)
	_, ok = batch.places(points)
	return points, ok
}

// readLetters checks that what letters hold is settled as dead, as far as a
// power cut leaves anything certain.
func (b *books) readLetters(vague bool) {
	disk := &memFS{names: b.disk.names}
	for name := range b.disk.names {
		if !strings.HasPrefix(name, deadDir+"/") || vague {
			continue
		}
		_, err := readLetter(disk, name, func(e letterEntry) error {
			batch := b.batches[nameOf(ship.ID(e.Of))]
			points, ok := letterPoints(batch, e.Payload)
			if !ok || int64(len(points)) != e.Items || e.Reason == "" {
				b.failf("after %v %s has %d points of %v for %q", b.how, name, e.Items, batch, e.Reason)
				return nil
			}
			at, _ := batch.places(points)
			for _, i := range at {
				if !batch.dead[i] {
					b.failf("after %v %s has %s", b.how, name, batch.point(i))
				}
			}
			return nil
		})
		if err != nil {
			b.failf("%s: %v", name, err)
		}
	}
}

// resend asks for all letters to be sent again, as a person would.
func (d *simDisk) resend() {
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		if strings.HasSuffix(name, letterSuffix) {
			d.change(d.names[name], name, stem(name)+replaySuffix)
		}
	}
}

// removed notes that a file is removed, or may be.
func (b *books) removed(name string) {
	if id, ok := parseLetterName(path.Base(name)); ok && isReplay(name) {
		b.resent += int64(id.points)
	}
}
