package ship

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// bodyVariant is another form of the same points.
type bodyVariant uint8

const (
	asConfigured bodyVariant = iota
	uncompressed
	withoutResource
)

// otherBodies are the forms to try when nothing at all is accepted.
func (s *Shipper) otherBodies() []bodyVariant {
	var others []bodyVariant
	if s.compress.kind != CompressionNone {
		others = append(others, uncompressed)
	}
	if len(s.cfg.Resource) > 0 && !s.bare {
		others = append(others, withoutResource)
	}
	return others
}

// adopt sends everything in another form from now on.
func (s *Shipper) adopt(v bodyVariant) {
	switch v {
	case uncompressed:
		_ = s.recompress(CompressionNone)
	case withoutResource:
		s.bare = true
	case asConfigured:
	}
	s.say.adopted(s.log, v)
}

// prepare returns what is to be sent of a batch, nil if that is nothing for now,
// or if the batch could be settled.
func (s *Shipper) prepare(now time.Time, h *held) *dispatch {
	d := s.deliveries[h.ID]
	plain := d == nil && len(h.Note) == 0 && !s.bare && s.refused.idle() && !s.age.rules() && s.sizes.allows(now, h.Items)
	if plain && !s.forbids(now, len(h.Payload)) {
		return s.dispatch(h, nil, nil)
	}
	if d = s.deliveryOf(h); d == nil {
		return s.dispatch(h, nil, nil) // it cannot be read, so it is one piece
	}
	for {
		p := s.nextOf(now, h, d)
		if p == nil {
			return nil
		}
		out := s.dispatch(h, d, p)
		out.purpose = d.portions[len(d.portions)-1].purpose
		tooLarge := s.forbids(now, len(out.payload.Body)) || !s.sizes.allows(now, p.count())
		if !tooLarge || !d.split() {
			s.keepNote(h, d)
			return out
		}
	}
}

// nextOf returns the points to send next of a batch, nil if there are none now.
func (s *Shipper) nextOf(now time.Time, h *held, d *delivery) points {
	s.age.apply(now, h, d, s.newestMS)
	if s.refused.acquits(d) {
		d.acquit()
	}
	for {
		if d.open {
			if p := d.next(); p != nil {
				return p
			}
		}
		if len(d.noted) > 0 {
			next := d.noted[0]
			d.noted = d.noted[1:]
			d.begin(next)
			continue
		}
		switch next := s.nextPortion(now, h, d); {
		case !next.points.empty():
			d.begin(next)
		case s.finish(now, h, d):
			return nil
		default:
			s.rest(h, d)
			return nil
		}
	}
}

// nextPortion returns what to send of a batch after all before was answered: the
// series that may travel together or, of a fresh batch, one to retest.
func (s *Shipper) nextPortion(now time.Time, h *held, d *delivery) portion {
	if p := s.together(now, d); !p.empty() {
		return portion{points: p}
	}
	x, due := s.refused.dueOf(now, d.rest)
	fresh := !h.late || now.Sub(time.UnixMilli(h.TimeMS)) < oldBatch*s.cfg.Rules.BatchInterval
	return portion{
		points:  d.of(func(y seriesHash) bool { return due && fresh && x == y }),
		purpose: ofRetest,
	}
}

// together returns the points to send next of what is left of a batch: those of
// the series that may travel together.
func (s *Shipper) together(now time.Time, d *delivery) points {
	group, found := 0, false
	for _, x := range d.rest {
		if g := s.refused.group(now, x); !s.refused.leavesOut(x) && (!found || g == 0) {
			group, found = g, true
		}
	}
	return d.of(func(x seriesHash) bool {
		return found && !s.refused.leavesOut(x) && s.refused.group(now, x) == group
	})
}

// rest leaves a batch for later.
func (s *Shipper) rest(h *held, d *delivery) {
	h.late = true
	d.unload()
	for id, other := range s.deliveries {
		if len(s.deliveries) > maxDeliveries && other.grid == nil {
			delete(s.deliveries, id) // its note has the ids; what was accepted is sent again
		}
	}
}

// maxDeliveries bounds the batches of which it is known what was accepted. The
// spool may have given some of them up.
const maxDeliveries = 4096

// deliveryOf returns the delivery of a batch, with its points at hand, nil if
// the batch cannot be read.
func (s *Shipper) deliveryOf(h *held) *delivery {
	d := s.deliveries[h.ID]
	if d != nil && d.grid != nil {
		return d
	}
	b, err := s.decode(h.Payload)
	if err != nil {
		return nil
	}
	if d == nil {
		d = newDelivery(&h.Entry, b)
		s.deliveries[h.ID] = d
	} else {
		d.load(b)
	}
	return d
}

// dispatch makes a body of points of a batch; nil is all of it.
func (s *Shipper) dispatch(h *held, d *delivery, p points) *dispatch {
	return s.dispatchAs(h, d, p, asConfigured)
}

func (s *Shipper) dispatchAs(h *held, d *delivery, p points, v bodyVariant) *dispatch {
	out := &dispatch{held: h, d: d, points: p, variant: v}
	bare := s.bare || v == withoutResource
	if d == nil || !bare && p.count() == int64(d.n) {
		out.payload = s.wire(h.ID.String(), h.Items, h.Payload)
	} else {
		var b *metric.Batch
		b, out.series, out.ticks = d.grid.carve(p)
		if bare {
			b.Resource = nil
		}
		out.payload = s.wire(b.ID(), p.count(), s.encode(b))
	}
	if v == uncompressed {
		if plain, err := Decompress(out.payload.Body); err == nil {
			out.payload.Body, out.payload.Compression = plain, CompressionNone
		}
	}
	return out
}

// pointsOf returns the points of the batch that have these places in the body.
func (d *dispatch) pointsOf(series []int, places []metric.Place) points {
	at := make(map[metric.Place]bool, len(places))
	for _, place := range places {
		at[place] = true
	}
	row, column := positions(d.series), positions(d.ticks)
	return d.d.grid.where(func(s, t int) bool {
		r, c := row(s), column(t)
		return slices.Contains(series, r) || at[metric.Place{Series: r, Time: c}]
	}).and(d.points)
}

// positions returns where a number stands in a list; nil stands for all numbers.
func positions(list []int) func(int) int {
	if list == nil {
		return func(i int) int { return i }
	}
	return func(i int) int {
		at, found := slices.BinarySearch(list, i)
		if !found {
			return -1
		}
		return at
	}
}

// keepNote has the spool remember the portions of a batch, if there is anything
// to remember.
func (s *Shipper) keepNote(h *held, d *delivery) { s.note(h, d.note()) }

func (s *Shipper) note(h *held, note []byte) {
	if slices.Equal(note, h.Note) {
		return
	}
	h.Note = note
	for _, other := range s.memory {
		if other.ID == h.ID {
			other.Note = note
		}
	}
	if h.spooled {
		s.spool.Note(h.ID, note)
	}
}

// finish settles a batch of which nothing waits but what is given up. It
// reports whether it did.
func (s *Shipper) finish(now time.Time, h *held, d *delivery) bool {
	given := d.of(func(x seriesHash) bool { return s.refused.final(now, x) })
	if s.refused.finalPoints(now, d) {
		given.with(d.bad)
	}
	if !given.covers(d.left) {
		return false
	}
	for _, i := range d.grid.seriesOf(given) {
		if x := s.refused.condemned[d.grid.hashes[i]]; x != nil {
			d.reason = cmp.Or(d.reason, x.reason)
		}
	}
	d.refused(given)
	s.settled(h, d)
	return true
}

// settled forgets a batch that is delivered but for its dead points.
func (s *Shipper) settled(h *held, d *delivery) {
	delete(s.deliveries, h.ID)
	if d == nil || d.dead.empty() {
		s.forget(h, 0)
		return
	}
	s.giveUp(h, d.dead.count(), s.letter(h, d))
}

// giveUp forgets a batch of which so many points are dead. They are counted
// here, unless the spool has evicted the batch meanwhile and counted it, and the
// spool keeps a copy.
func (s *Shipper) giveUp(h *held, dead int64, l Letter) {
	switch there := s.forget(h, dead); {
	case !there:
	case s.spool == nil:
		s.ledger.Lose(LostRejected, dead)
	default:
		if !h.spooled {
			s.spool.Refuse(dead)
		}
		s.spool.SetAside(l)
	}
}

// letter makes a batch of its own of the dead points: under the id of the batch
// a replay would be taken for a repetition.
func (s *Shipper) letter(h *held, d *delivery) Letter {
	if d.grid == nil {
		if b, err := s.decode(h.Payload); err == nil {
			d.load(b)
		}
	}
	b, _, _ := d.grid.carve(d.dead)
	hash := fnv.New64a()
	hash.Write([]byte(b.ID()))
	b.Part, b.Agent.Epoch, b.Agent.Seq = "", max(hash.Sum64(), 1), 1
	e := Entry{ID: ID{Epoch: b.Agent.Epoch, Seq: 1}, Items: b.Points(), TimeMS: h.TimeMS, Payload: s.encode(b)}
	return Letter{Of: h.ID, Reason: cmp.Or(d.reason, "the backend gave no reason"), Entry: e}
}

func (s *Shipper) decode(payload []byte) (*metric.Batch, error) {
	plain, err := Decompress(payload)
	if err != nil {
		return nil, err
	}
	return s.codec.Decode(plain)
}

// encode returns a batch's body, compressed, in memory of its own.
func (s *Shipper) encode(b *metric.Batch) []byte {
	s.scratch = s.codec.Append(s.scratch[:0], b)
	body, err := s.compress.compress(s.scratch)
	if err != nil { // a bytes.Buffer does not fail; a plain body is as good
		body = slices.Clone(s.scratch)
	}
	return body
}
