package ship

import "slices"

const (
	// strikesMax is how many refusals of a batch, with others accepted between
	// any two of them, mean that the batch is bad: one of which no part was
	// ever accepted.
	strikesMax = 3
	// hopelessAfter is how many refusals of parts of a batch, none of which was
	// accepted, end the search for a good one.
	hopelessAfter = 16
	// exhaustedAfter is how many refusals of parts of a batch end its cutting:
	// what is refused then is given up as it is.
	exhaustedAfter = 256
)

// pieces is what there still is to deliver of a batch that the backend refused
// as a whole. Parts are tried before any is cut further, so that a bad point
// is found in at most 2 log2 N requests, with an acceptance beside each refusal. All arithmetic, no I/O; docs/delivery.md has the rules.
type pieces struct {
	id    ID
	items int64
	// depth is how often a part may be halved; 0 for a batch that is declined,
	// or cannot be read.
	depth    int
	declined bool    // refused for a reason that its parts would share
	todo     []piece // in order of points

	accepted bool // a part was, so what is refused is bad itself
	refusals int
	// doubt: nothing was accepted since the last refusal, so that it may be the
	// endpoint that is bad. strikes counts how often other batches were.
	doubt   bool
	strikes int
}

// piece is a part that is not delivered.
type piece struct {
	part     uint16
	refused  string // why; empty if it is to be tried
	tooLarge bool   // was the last refusal's reason
	refusals int
}

// newPieces returns what the marks leave of a batch.
func newPieces(e Entry, depth int) *pieces {
	p := &pieces{id: e.ID, items: e.Items, depth: min(depth, maxCuts-depthOf(e.Part))}
	fates := make(map[uint16]PartFate, len(e.Marks))
	inside := make(map[uint16]bool) // parts in which there is a mark
	for _, m := range e.Marks {
		if m.Fate == PartCut {
			inside[m.Part] = true
		} else {
			fates[m.Part] = m.Fate
			p.accepted = p.accepted || m.Fate == PartDelivered
		}
		for part := m.Part / 2; part >= wholePart; part /= 2 {
			inside[part] = true
		}
	}
	p.grow(wholePart, fates, inside)
	return p
}

func (p *pieces) grow(part uint16, fates map[uint16]PartFate, inside map[uint16]bool) {
	switch {
	case fates[part] != 0:
	case inside[part] && p.divisible(part):
		p.grow(2*part, fates, inside)
		p.grow(2*part+1, fates, inside)
	default:
		p.todo = append(p.todo, piece{part: part})
	}
}

func (p *pieces) divisible(part uint16) bool {
	return itemsOf(part, p.items) > 1 && depthOf(part) < p.depth
}

// mayCut reports whether a refused part is worth halving. Of one that was only
// too large nobody has refused the points, however hopeless the rest is.
func (p *pieces) mayCut(q piece) bool {
	return p.divisible(q.part) && (q.tooLarge || !p.hopeless()) && p.refusals < exhaustedAfter
}

// next returns the part to try next, if there is one.
func (p *pieces) next() (part uint16, ok bool) {
	for _, piece := range p.todo {
		if piece.refused == "" {
			return piece.part, true
		}
	}
	return 0, false
}

// cut halves a refused part that can be halved, and returns which.
func (p *pieces) cut() (part uint16, ok bool) {
	for i, piece := range p.todo {
		if p.mayCut(piece) {
			p.todo = slices.Replace(p.todo, i, i+1, halves(piece.part)...)
			return piece.part, true
		}
	}
	return 0, false
}

func halves(part uint16) []piece { return []piece{{part: 2 * part}, {part: 2*part + 1}} }

// settled takes a part out: it is delivered, or a dead letter.
func (p *pieces) settled(m Mark) {
	p.todo = slices.DeleteFunc(p.todo, func(q piece) bool { return q.part == m.Part })
	if m.Fate == PartDelivered {
		p.accepted, p.doubt = true, false
	}
}

// refuse notes why a part was refused. A part that is only too large says
// nothing about its points.
func (p *pieces) refuse(part uint16, cause string, tooLarge bool) {
	for i := range p.todo {
		if p.todo[i].part == part {
			p.todo[i].refused, p.todo[i].tooLarge = cause, tooLarge
			p.todo[i].refusals++
		}
	}
	if !tooLarge || !p.divisible(part) {
		p.refusals++
		p.doubt = true
	}
}

// vouch notes that the backend has accepted another batch.
func (p *pieces) vouch() {
	if p.doubt {
		p.strikes++
	}
	p.doubt = false
}

// hopeless: no part of the batch is accepted, while other batches are.
func (p *pieces) hopeless() bool {
	return !p.accepted && p.refusals >= hopelessAfter && p.strikes >= strikesMax
}

// bad returns a refused part that nothing can be made of any more: it was
// refused twice, while the backend took others of the batch in between. Of a
// batch of which it takes none, one refusal of each part is enough.
func (p *pieces) bad() (q piece, ok bool) {
	if p.doubt {
		return piece{}, false
	}
	condemned := !p.accepted && p.strikes >= strikesMax && p.tried()
	for _, q := range p.todo {
		if q.refused != "" && !p.mayCut(q) && (condemned || p.accepted && q.refusals > 1) {
			return q, true
		}
	}
	return piece{}, false
}

// tried: all that is left was refused, and cannot be halved.
func (p *pieces) tried() bool {
	return !slices.ContainsFunc(p.todo, func(q piece) bool { return q.refused == "" || p.mayCut(q) })
}

// stuck: nothing is left to try until the backend was seen to be well.
func (p *pieces) stuck() bool { return p.doubt && len(p.todo) > 0 && p.tried() }

// again gives refused parts another try: one refusal of each is not enough.
func (p *pieces) again() {
	for i := range p.todo {
		p.todo[i].refused = ""
	}
}
