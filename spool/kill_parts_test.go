//go:build unix

package spool_test

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// partSaid is what a process said of a part of a record.
type partSaid struct {
	seq uint64
	spool.Mark
}

// newPartSaid reads what line makes.
func newPartSaid(dead bool, n uint64) partSaid {
	fate := spool.PartDelivered
	if dead {
		fate = spool.PartDead
	}
	return partSaid{n >> 8, spool.Mark{Part: uint16(n & 0xff), Fate: fate}}
}

func (p partSaid) line() uint64 { return p.seq<<8 | uint64(p.Part) }

func left(points []spool.PartFate) (n int64) {
	for _, f := range points {
		if f == 0 {
			n++
		}
	}
	return n
}

// apply takes what a process said of parts, and returns the points that this
// settles. What is found must say the same, but for what the process was about
// to say when it died.
func (k *killed) apply(h heard, found map[uint64][]spool.PartFate) (delivered, dead int64) {
	k.t.Helper()
	k.maimed = partSaid{}
	for _, p := range h.parts {
		points := k.waiting[p.seq]
		before := left(points)
		spool.Settle(points, p.Mark)
		n := before - left(points)
		if p.Fate == spool.PartDelivered {
			delivered += n
			continue
		}
		dead += n
		if n > 0 && p == h.lastMaimed {
			k.maimed = p
		}
	}
	for seq, points := range found {
		said := slices.Clone(k.waiting[seq])
		if seq == h.parting.seq && !slices.Equal(said, points) {
			spool.Settle(said, h.parting.Mark)
		}
		if said != nil && !slices.Equal(said, points) {
			k.t.Errorf("record %d has points %v, want %v", seq, points, said)
		}
	}
	return delivered, dead
}

// findLetter looks for the letter of the part that was set aside last.
func (k *killed) findLetter(dir string) {
	k.t.Helper()
	if k.maimed == (partSaid{}) {
		return
	}
	letters, err := filepath.Glob(filepath.Join(dir, "dead", fmt.Sprintf("*-%016x-%04x.dead", k.maimed.seq, k.maimed.Part)))
	must(k.t, err)
	if len(letters) != 1 {
		k.t.Fatalf("part %d of record %d, set aside last, has no letter", k.maimed.Part, k.maimed.seq)
	}
}
