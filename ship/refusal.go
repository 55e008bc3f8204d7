package ship

import (
	"hash/fnv"
	"slices"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// piecesOf returns what is left of a batch that is delivered in parts, nil for
// one that is delivered as a whole. One batch at a time is in parts; of one
// that a spool remembers to be, the marks tell.
func (s *Shipper) piecesOf(h *held) *pieces {
	if s.pieces != nil && s.pieces.id == h.ID {
		return s.pieces
	}
	if len(h.Marks) == 0 {
		return nil
	}
	return s.cutUp(h, false)
}

// cutUp begins the delivery in parts. A batch that is refused for a reason
// which parts would share stays whole, for as long as that is the reason, and
// so does one whose body cannot be read.
func (s *Shipper) cutUp(h *held, declined bool) *pieces {
	depth := maxCuts
	if declined {
		depth = 0
	} else if _, err := s.decode(h.Payload); err != nil {
		depth = 0
	}
	s.pieces = newPieces(h.Entry, depth)
	s.pieces.declined = declined
	return s.pieces
}

// payload returns what of a batch to send now: all of it, or the next part.
// There is none when the whole batch had to be given up, or when it has to wait
// for another batch's fate or for the disk.
func (s *Shipper) payload(now time.Time, h *held) (p Payload, part uint16, ok bool) {
	todo := s.piecesOf(h)
	if todo == nil && s.forbids(now, len(h.Payload)) {
		todo = s.cutUp(h, false)
	}
	if todo == nil {
		return s.wire(h.ID, h.Items, h.Payload), wholePart, true
	}
	for {
		discarded := s.discard(now, h, todo)
		if len(todo.todo) == 0 || todo.stuck() {
			return Payload{}, 0, false
		}
		if part, ok := todo.next(); ok {
			body := s.body(h, part)
			if !todo.mayCut(piece{part: part, tooLarge: true}) || !s.forbids(now, len(body)) {
				return s.wire(h.part(part), itemsOf(part, h.Items), body), part, true
			}
			todo.refuse(part, "too large", true)
		} else if part, ok := todo.cut(); ok {
			s.mark(h, Mark{part, PartCut})
		} else if discarded {
			todo.again()
		} else {
			return Payload{}, 0, false
		}
	}
}

// discard gives up what is bad of a batch. It reports false while that has to
// wait for the disk.
func (s *Shipper) discard(now time.Time, h *held, todo *pieces) bool {
	for {
		bad, found := todo.bad()
		if !found {
			return true
		}
		if !s.giveUp(now, h, bad) {
			return false
		}
		s.settled(h, Mark{bad.part, PartDead})
	}
}

// settled notes that a part of a batch, or all of it, is delivered or dead, and
// forgets the batch when that was the last. It reports whether the batch was
// still there: one that was evicted meanwhile is counted already.
func (s *Shipper) settled(h *held, m Mark) (there bool) {
	todo := s.piecesOf(h)
	if todo == nil {
		return s.forget(h)
	}
	there = true
	if m.Part != wholePart {
		there = s.mark(h, m)
	}
	if todo.settled(m); len(todo.todo) == 0 {
		s.pieces = nil
		there = s.forget(h) && there
	}
	return there
}

// mark remembers what became of a part, wherever the batch is kept.
func (s *Shipper) mark(h *held, m Mark) (there bool) {
	for _, other := range s.memory {
		if other.ID == h.ID {
			other.Marks = append(other.Marks, m)
		}
	}
	if m.Fate == PartDead && s.spool != nil {
		return true // SetAsidePart has told the spool
	}
	return !h.spooled || s.spool.Mark(h.ID, m)
}

// giveUp takes a bad part, or all of a batch, out of the way: to the spool's
// dead letters, or if there is no spool it is lost. It reports whether it did:
// while the disk is unusable the part waits.
func (s *Shipper) giveUp(now time.Time, h *held, bad piece) bool {
	items := itemsOf(bad.part, h.Items)
	if s.spool == nil {
		s.ledger.Lose(LostRejected, items)
		s.say.gaveUp(s.log, now, h.part(bad.part), items, bad.refused, false)
		return true
	}
	if !h.spooled {
		if s.spool.Append(h.Entry) != nil {
			return false
		}
		h.spooled = true
	}
	var err error
	if bad.part == wholePart {
		err = s.spool.SetAside(h.ID, bad.refused)
	} else {
		err = s.spool.SetAsidePart(h.ID, Piece{bad.part, s.body(h, bad.part)}, bad.refused)
	}
	if err == nil {
		s.say.gaveUp(s.log, now, h.part(bad.part), items, bad.refused, true)
	}
	return err == nil
}

// rejected makes a dead letter of the points that the backend left out of what
// it acknowledged, if it says which: under an epoch of their own, or a backend
// that has the rest of the batch would take them for its duplicate when they
// are replayed. They are in the spool before the batch is forgotten.
func (s *Shipper) rejected(now time.Time, h *held, part uint16, o Outcome) {
	s.say.rejected(s.log, now, o)
	e, ok := s.leftOut(h, part, o)
	ok = ok && s.spool != nil && s.spool.Append(e) == nil
	if !s.settled(h, Mark{part, PartDelivered}) {
		if ok {
			s.spool.Ack(e.ID) // what was evicted is counted
		}
		return
	}
	if ok {
		_ = s.spool.SetAside(e.ID, o.Cause) // else it waits there, and is refused again
		o.RejectedPoints -= e.Items
	}
	if o.RejectedPoints > 0 {
		s.ledger.Lose(LostRejected, o.RejectedPoints)
	}
}

// leftOut makes a batch of what was rejected of a batch, if that is known.
func (s *Shipper) leftOut(h *held, part uint16, o Outcome) (e Entry, ok bool) {
	b, err := s.decode(h.Payload)
	if err != nil || len(o.RejectedSeries)+len(o.RejectedPlaces) == 0 {
		return e, false
	}
	b = choose(carve(b, part), o.RejectedSeries, o.RejectedPlaces)
	hash := fnv.New64a()
	hash.Write([]byte(h.part(part).String()))
	b.Part, b.Agent.Epoch, b.Agent.Seq = "", max(hash.Sum64(), 1), 1
	e = Entry{ID: ID{Epoch: b.Agent.Epoch, Seq: 1}, Items: b.Points(), TimeMS: h.TimeMS}
	e.Payload = s.encode(b)
	return e, e.Items > 0
}

// body returns the native body of a part.
func (s *Shipper) body(h *held, part uint16) []byte {
	if part == wholePart {
		return h.Payload
	}
	b, err := s.decode(h.Payload)
	if err != nil { // cutUp has decoded it
		return h.Payload
	}
	return s.encode(carve(b, part))
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
