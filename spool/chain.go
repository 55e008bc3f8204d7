package spool

// maxMissing bounds what a name can claim, so that with what it makes missing
// the ledger stays within maxCount.
const maxMissing = maxCount / 8

// chain finds out how many points were in segments that are not there, or of
// which nothing can be read: a segment's name says how many were appended
// before it, and the ledger how many when it was last written.
type chain struct {
	origin uint64 // points that the totals leave out: see ledger
	known  int64  // points that are accounted for
	ever   uint64 // points that were appended, as the newest witness says
	begun  bool
	// uncertain says that somebody else knows what is in a segment.
	uncertain bool
}

// newChain starts with what the ledger has. Without one the chain starts at
// its first segment. The elder slot of a new ledger is of generation 0 too.
func newChain(l *ledger) chain {
	begun := l.generation > 0 || l.ever > 0 || l.origin > 0
	return chain{origin: l.origin, known: l.totals.appended, ever: l.ever, begun: begun}
}

// add takes the next segment, by age. Those that the ledger counts as gone are
// left out.
func (c *chain) add(seg *segment) {
	if !c.begun {
		c.begun, c.origin = true, min(seg.base, maxMissing)
	}
	c.uncertain = c.uncertain || seg.foreign > 0 || seg.unreadable
	c.known += seg.tally.appended
	c.ever = max(c.ever, seg.base+uint64(seg.tally.appended))
}

// missing returns the points that nothing accounts for.
func (c *chain) missing() int64 {
	if c.uncertain || c.ever > c.origin+maxMissing {
		return 0
	}
	return max(0, int64(c.ever)-int64(c.origin)-c.known)
}
